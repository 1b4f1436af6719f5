"""`--mode=plan`: settings for a training within --minutes on this machine, as a flagfile."""

import dataclasses
import math
import os
from typing import NamedTuple, Optional

import numpy as np

from tfssl import files
from tfssl.config import STANDARD
from tfssl.data import channels
from tfssl.errors import UsageError
from tfssl.runner import cost, edge, parser, pretrain, recipes, recorded, sources, timing
from tfssl.runner.job import Job, open_images, resolve
from tfssl.text import printable

FILE = "plan.flags"
START = 25.0  # seconds of a run besides: loading TensorFlow, building graphs, writing the report
SPARE = 0.05  # of the time, for what varies
BASELINE = 0.05  # of the time: what the untrained network may take, of which there is less to learn
WARMUP = 0.03  # of the training
FEWEST_STEPS = 20
MOST_EPOCHS = 1000.0  # SimCLR's longest training on CIFAR-10
SMALLEST, OF_PATCHES = 16, 32  # pixels of views, and of those that are cut into patches
PEEK = dict(image_size=32, eval_image_size=32, width_multiplier=0.25, train_batch_size=2)
NOT_PLANNED = {"mode", "minutes", "output", "train_mode", "quiet", "json"}
PLANNED = ("train_epochs", "train_steps")  # what follows from the time


class Rung(NamedTuple):
    """A network and its sizes: the next rung costs more for each view.

    Attributes:
        width: of ResNet-18.
        view, crop: sides of the training views and of the evaluation crops, as shares of the
            shorter side of the images.
        most: pixels of the views, at most.
        views: number of views that a training must process; with fewer, the rung before is better.
    """

    width: float
    view: float
    crop: float
    most: int
    views: float


# Quarter against half of the width on CIFAR-10: results/README.md, fast_cifar10. In 4 minutes, or
# 320,000 views by the half, the quarter is 5 points better; with 2.1 million the half was chosen.
# The full width, in 1 million views and 47 minutes, was 1 to 5 points behind these in 28.
RUNGS = (
    Rung(0.25, 1 / 2, 3 / 4, 32, 0.0),
    Rung(0.5, 5 / 8, 1.0, 64, 1.2e6),
    Rung(1.0, 5 / 8, 1.0, 96, 5e6),
)
FAST = "that of flags/fast/cifar10.flags"
# {setting: (value, reason)} of SimCLR in short trainings.
SHORT = {
    "temperature": (0.2, FAST),
    "optimizer": ("momentum", FAST),
    "learning_rate": (0.15, f"{FAST}, for batches of 256; it grows with the batch"),
    "weight_decay": (5e-4, FAST),
}
EASY = {  # of photographs
    "crop_area_min": (0.3, "2 points better than 0.15 in a short training"),
    "color_jitter_strength": (0.5, "SimCLR's for small images"),
}


class Measured(NamedTuple):
    """A rung's settings, and what they cost on this machine.

    Attributes:
        rung: the `Rung`.
        chosen: {setting: (value, reason)}, of those that were not given.
        job: the `Job`.
        seconds: of a training step.
        building: seconds until the first step was made.
        cost: the `Cost` of an evaluation; None: there is none.
    """

    rung: Rung
    chosen: dict
    job: Job
    seconds: float
    building: float
    cost: Optional[cost.Cost]

    def evaluation(self, seconds):
        """Seconds of the evaluations of a run of so many seconds, of which most is training."""
        if self.cost is None:
            return 0.0
        extent = cost.affordable(self.cost, seconds / 2, self.baseline(seconds))
        again = {
            cost.WHOLE: self.cost.total,
            cost.THINNED: self.cost.total - self.cost.linear,
            cost.NONE: 0.0,
        }
        return self.cost.total + again[extent]

    def baseline(self, seconds):
        """--eval_baseline: as given, otherwise False where it would take much of the time."""
        config = self.job.config
        if "eval_baseline" in config.asked or self.cost.total <= BASELINE * seconds:
            return config.eval_baseline
        return False

    def overhead(self, seconds):
        """What of so many seconds is not training."""
        return SPARE * seconds + START + self.building + self.evaluation(seconds)

    @property
    def most(self):
        """The steps of the longest training that is planned, whatever the time."""
        return MOST_EPOCHS * self.job.train_source.num_examples / self.job.config.train_batch_size

    def steps(self, seconds):
        """The steps of a run of so many seconds; less than 1 if the time is for none."""
        return min((seconds - self.overhead(seconds)) / self.seconds, self.most)

    def parts(self, steps, seconds):
        """{part of a run: its seconds}, for so many steps."""
        return {
            "training": steps * self.seconds,
            "evaluation": self.evaluation(seconds),
            "start and report": START + self.building,
        }

    def views(self, seconds):
        """The views of these steps."""
        config = self.job.config
        return self.steps(seconds) * config.train_batch_size * config.num_views


def plan_training(config, given):
    """Plans a training within --minutes, prints it, and writes it as a flagfile.

    What was given is kept; the sizes, the network, the batch, the optimizer and the number of
    epochs are chosen otherwise, by the number of views that the machine can process in the time.
    A few steps of one to three candidates are made for that, and a few batches encoded.

    Args:
        config: a `tfssl.Config`.
        given: names of the flags that the user gave.

    Returns:
        A dict: "settings" {flag: value} of the flagfile, its path as "output", and as expected
        "steps", "views" and "seconds".

    Raises:
        UsageError: the settings do not fit the images, or the time is too short for any training.
    """
    for name in PLANNED:
        if name in given:
            raise UsageError(
                f"--{name} must not be given with --mode=plan, which determines it from --minutes. "
                f"Received: {getattr(config, name)}"
            )
    path = edge.output_file(config.output or FILE, replaced=False)
    kept = {name: getattr(config, name) for name in sorted(given - NOT_PLANNED)}
    opened = peek(config.replace(mode="pretrain", **dict.fromkeys(NOT_PLANNED - {"mode"})), kept)
    side, seconds = shorter_side(opened), 60 * config.minutes
    tell_images(opened, side)
    best = climb(opened, kept, side, seconds)
    found = finished(best, kept, seconds)
    reasons = reasons_of(best, kept, seconds)
    tell(best, found, reasons, seconds)
    files.write_text(os.path.abspath(path), flagfile(best, found, reasons, seconds))
    print(f"{printable(path)}: tfssl --flagfile={printable(path)}", flush=True)
    return {**found, "output": path}


def peek(config, kept):
    """The `Opened` images of a Config, with small sizes until others are chosen."""
    small = [name for name in PEEK if name not in kept]
    opened = open_images(config.replace(**{name: PEEK[name] for name in small}))
    return dataclasses.replace(opened, config=opened.config.replace(**dict.fromkeys(small)))


def shorter_side(opened):
    """The median shorter side of the first images, in pixels."""
    return int(np.median([min(image.shape[:2]) for image in sources.first(opened.train_source)]))


def climb(opened, kept, side, seconds):
    """The `Measured` highest rung on which the time is enough for the views that it needs."""
    best = None
    for rung in RUNGS:
        chosen = choices(opened, kept, side, rung)
        if best and values(chosen) == values(best.chosen):
            continue  # what was given leaves nothing to this rung
        if best and best.views(seconds) < rung.views:
            break  # a rung costs more than the one before
        found = measure(opened, rung, chosen)
        if best and found.views(seconds) < rung.views:
            break
        best = found
    fewest = min(FEWEST_STEPS, best.most)
    if best.steps(seconds) < fewest:
        least = (best.overhead(seconds) - SPARE * seconds + fewest * best.seconds) / (1 - SPARE)
        raise UsageError(
            f"--minutes must be at least {math.ceil(least / 6) / 10:g} with these images on this "
            f"machine: start, evaluation and {fewest:.0f} steps take as long. --nolinear_probe and "
            f"--knn_k= leave parts of the evaluation out. Received: {seconds / 60:g}"
        )
    return best


def values(chosen):
    """{setting: value} of {setting: (value, reason)}."""
    return {name: value for name, (value, _) in chosen.items()}


def choices(opened, kept, side, rung):
    """{setting: (value, reason)} of a rung, without those that were given."""
    config, images = opened.config, opened.train_source.num_examples
    view = min(rung.most, max(fours(rung.view * side), min(SMALLEST, side)))
    crop = max(view, min(3 * rung.most // 2, fours(rung.crop * side)))
    chosen = {}
    if config.facts.crops_only and "image_size" not in kept:
        whole = str(max(OF_PATCHES, min(rung.most, fours(side))))
        chosen["image_size"] = (whole, "large enough for rows of patches")
    elif not (config.encoder_size or "image_size" in kept):
        chosen["image_size"] = (str(view), "small views cost less: the time is for more of them")
        chosen["eval_image_size"] = (
            str(crop),
            "random crops magnify objects: whole images may be larger",
        )
    if config.encoder == "resnet":
        chosen["width_multiplier"] = (rung.width, "")  # see `reasons_of`, when it is measured
    chosen["train_batch_size"] = (
        batch_of(images),
        "steps enough in an epoch, and other images enough to tell apart",
    )
    if config.method == STANDARD:
        chosen |= SHORT
        if opened.train_source.channels == channels.RGB and not config.views:
            chosen |= EASY
    return {name: pair for name, pair in chosen.items() if name not in kept}


def batch_of(images):
    """The batch for a number of images: a power of two, from 32 to 256 where there are enough."""
    return 2 ** int(math.log2(max(2, min(256, max(images / 8, min(images, 32))))))


def fours(pixels):
    """The nearest multiple of 4."""
    return 4 * round(pixels / 4)


def measure(opened, rung, chosen):
    """The `Measured` candidate."""
    config = opened.config.replace(**values(chosen))
    job = resolve(dataclasses.replace(opened, config=config))
    print(f"measuring {job.network}, views of {job.size[0]}x{job.size[1]} px ...", flush=True)
    return Measured(rung, chosen, job, *timed(job))


def timed(job):
    """Seconds of a step of a `Job`, seconds until the first was made, the `Cost` of an evaluation.

    They are measured: a few steps are made, and a few batches encoded.
    """
    model = pretrain.build_model(job)
    watch = timing.steps(job, model, recipes.trained(job.config, job.size))
    return watch.seconds, watch.building, timing.evaluation(job, model.encoder)


def finished(best, kept, seconds):
    """{"settings", "steps", "views", "seconds"} of the plan; settings in the order to be read."""
    job = best.job
    images, batch = job.train_source.num_examples, job.config.train_batch_size
    steps = int(best.steps(seconds))
    epochs = float(f"{steps * batch / images:.3g}")
    more = {"warmup_epochs": float(f"{WARMUP * epochs:.2g}"), "train_epochs": epochs}
    if best.cost and best.baseline(seconds) is False:
        more["eval_baseline"] = False
    settings = {**kept, **values(best.chosen), **{k: v for k, v in more.items() if k not in kept}}
    return {
        "settings": settings,
        "steps": steps,
        "views": round(steps * batch * job.config.num_views),
        "seconds": round(sum(best.parts(steps, seconds).values()), 1),
    }


def tell_images(opened, side):
    """Prints what the images are."""
    source = opened.train_source
    labels = f"{source.num_classes} classes" if source.num_classes else "no labels"
    groups = f", {len(set(source.groups())):,} groups" if source.groups else ""
    print(
        f"{source.name} {source.split}: {source.num_examples:,} images of "
        f"{sources.counted(source)}, {side} px on their shorter side, {labels}{groups}",
        flush=True,
    )


def tell(best, found, reasons, seconds):
    """Prints the plan: a reason for each setting, the time, and what such trainings came to."""
    rows = {name: parser.spelled(name, value) for name, value in found["settings"].items()}
    wide = max(map(len, rows.values()))
    print()
    for name, text in rows.items():
        print(f"  {text.ljust(wide)}  {reasons[name]}")
    parts = best.parts(found["steps"], seconds)
    print(
        f"\n{found['steps']:,} steps, {found['views']:,} views, about "
        f"{cost.duration(found['seconds'])}: "
        + ", ".join(f"{name} {cost.duration(taken)}" for name, taken in parts.items() if taken)
    )
    if found["steps"] + 1 > best.most:
        print(
            f"it ends before the time does: {MOST_EPOCHS:,.0f} epochs are the most that is planned"
        )
    if best.job.config.method != STANDARD or best.job.config.encoder != "resnet":
        return
    near = recorded.like(found["views"])
    print("recorded trainings of SimCLR with about as many views:" if near else recorded.NONE)
    for line in near:
        print(f"  {line}")


def reasons_of(best, kept, seconds):
    """{setting: reason} of all settings of the plan."""
    higher = next((rung for rung in RUNGS if rung.width > best.rung.width), None)
    views = best.views(seconds)
    width = f"{views:,.0f} views; " + (
        "all of it is worth it"
        if not higher
        else f"a wider network needs {higher.views:,.0f}"
        if views < higher.views
        else f"a wider network would see fewer than the {higher.views:,.0f} that it needs"
    )
    return {
        **{name: reason for name, (_, reason) in best.chosen.items()},
        "width_multiplier": width,
        "train_epochs": f"{timing.milliseconds(best.seconds)} a step, as measured",
        "warmup_epochs": f"{WARMUP:.0%} of the training",
        "eval_baseline": "the evaluation of the untrained network would take much of the time",
        **dict.fromkeys(kept, "as given"),
    }


def flagfile(best, found, reasons, seconds):
    """The text of the flagfile."""
    job, source = best.job, best.job.train_source
    lines = [
        f"# {job.config.method} on {source.name} {source.split}, "
        f"{source.num_examples:,} images, in {seconds / 60:g} minutes of this machine "
        f"({job.devices}):",
        f"# {found['steps']:,} steps, {found['views']:,} views.",
    ]
    for name, value in found["settings"].items():
        lines += [f"# {reasons[name]}", parser.spelled(name, value)]
    return "\n".join(lines) + "\n"
