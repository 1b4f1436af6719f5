"""report.html: what a page tells of a run, from its files and its encoder."""

import dataclasses
import os
import shlex

import numpy as np
from PIL import Image

from tfssl import data, files, report
from tfssl.callbacks import heldout
from tfssl.config import Config
from tfssl.data import channels
from tfssl.errors import TrainingError
from tfssl.runner import edge, evaluate
from tfssl.storage import rundir
from tfssl.verdict import Verdict

FILE = "report.html"
MOST, FEW = 1000, 400  # images of a page, where they have at most SMALL pixels, and otherwise
SMALL = 64
SIDE = 64  # pixels of a picture


def write_page(job, encoder, step, path=None):
    """Writes report.html of a run, unless that fails; returns its path, or None.

    Args:
        job: the `Job` of the run.
        encoder: its encoder.
        step: integer, the step of the encoder.
        path: where to write; None: FILE in --model_dir.
    """
    path = path or os.path.join(job.config.model_dir, FILE)
    try:
        images = sample_of(job, encoder)
    except TrainingError as error:
        print(f"{FILE} is without images: {error}")
        images = None
    try:
        files.write_text(path, report.page_of(run_of(job.config, step), images, job.config.seed))
    except OSError as error:
        print(f"no {FILE}: {files.why(error)}")
        return None
    print(f"report: {path}", flush=True)
    return path


def is_missing(job):
    """Whether a finished run lacks the page that it should have."""
    there = os.path.exists(os.path.join(job.config.model_dir, FILE))
    return job.config.report and job.distribution.chief and not there


def sample_of(job, encoder):
    """The `report.Sample` of random images of the evaluation split, or of the training split."""
    config, source = job.config, job.eval_source or job.train_source
    count = min(MOST if max(job.eval_size) <= SMALL else FEW, source.num_examples)
    chosen = np.random.default_rng(config.seed).permutation(source.num_examples)[:count]
    part = data.subset(source, np.sort(chosen))
    encode = evaluate.encoder_function(config, encoder, job.eval_size)
    _, batches = evaluate.crops(config, part, job.eval_size)
    h, labels, pictures = [], [], []
    for batch in evaluate.read(batches, part):
        what = f"representations of {part.name} {part.split}"
        h.append(evaluate.finite(encode(batch["image"]).numpy(), what))
        labels.append(batch["label"].numpy())
        pictures += [picture(image) for image in np.asarray(channels.shown(batch["image"]))]
    return report.Sample(
        names=[str(name) for name in part.ids()],
        pictures=np.stack(pictures),
        h=np.concatenate(h),
        labels=np.concatenate(labels),
        classes=list(map(str, source.classes)),
    )


def picture(image):
    """An image in [0, 1] as uint8 [SIDE, SIDE, 3]; of other sides with black bars."""
    whole = Image.fromarray((image * 255).round().astype(np.uint8))
    scale = SIDE / max(whole.size)
    size = [max(1, round(side * scale)) for side in whole.size]
    whole = whole.resize(size, Image.NEAREST if scale >= 2 else Image.BILINEAR)
    square = Image.new("RGB", (SIDE, SIDE))
    square.paste(whole, ((SIDE - size[0]) // 2, (SIDE - size[1]) // 2))
    return np.asarray(square)


PICTURES = ("views", "reconstructions", "attention")  # of a run, as NAME.png


def run_of(config, step):
    """The `report.Run` of the files of a run."""
    directory = config.model_dir
    result = rundir.read_json(directory, "result.json") or {}
    at_step = result if result.get("global_step") == step else {}
    judged = heldout.verdict_at(directory, step).get("verdict")
    pictures = {name: os.path.join(directory, f"{name}.png") for name in PICTURES}
    return report.Run(
        name=directory,
        about=(
            f"{config.task}, {config.method} on {config.dataset} {config.train_split}, "
            f"step {step:,}"
        ),
        verdict=in_flags(judged) if judged else None,
        accuracies={
            name: at_step[name]
            for name in ("untrained", "pretrained", "finetuned", "distilled")
            if at_step.get(name)
        },
        scalars=scalars(directory),
        settings=unusual(config),
        facts=facts(at_step),
        command=f"python run.py --flagfile={shlex.quote(os.path.join(directory, 'flags.flags'))} "
        "--model_dir=AGAIN",
        **{name: files.read(at) for name, at in pictures.items() if os.path.exists(at)},
    )


def in_flags(judged):
    """A recorded verdict in which arguments are flags."""
    found = Verdict.of(judged)
    told = {name: edge.with_flags(getattr(found, name)) for name in ("why", "advice")}
    return dataclasses.replace(found, **told)


def scalars(directory):
    """{tag: [(step, value), ...]} of the charts, from the TensorBoard files of a run."""
    import tensorflow as tf
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(directory, size_guidance={"tensors": 0}).Reload()
    wanted = {tag for of in report.CHARTS.values() for tag in of.values()}
    found = {}
    for tag in wanted & set(events.Tags()["tensors"]):
        points = {e.step: float(tf.make_ndarray(e.tensor_proto)) for e in events.Tensors(tag)}
        found[tag] = full(sorted(points.items()))  # of a step made twice, the later one
    return found


def full(points):
    """Points without the last one if that is of much fewer steps than the others, and so noisy."""
    steps = [step for step, _ in points[-3:]]
    if len(steps) == 3 and steps[2] - steps[1] < 0.5 * (steps[1] - steps[0]):
        return points[:-1]
    return points


def unusual(config):
    """{setting: value} that differ from the defaults of the mode and method."""
    given = {name: getattr(config, name) for name in ("method", "checkpoint", "teacher")}
    usual = Config(mode=config.task, **given).to_dict()
    return {
        name: value
        for name, value in config.to_dict().items()
        if value != usual.get(name) and name not in ("model_dir", "mode", "train_mode", "report")
    }


def facts(result):
    """{name: text} of a result: times, device, versions."""
    found = {}
    if "train_seconds" in result:
        found["trained for"] = f"{result['train_seconds'] / 60:.1f} minutes"
    if "images_per_second" in result:
        found["images per second"] = f"{result['images_per_second']:,.0f}"
    for name in ("device", "precision"):
        if name in result:
            found[name] = str(result[name])
    for name, count in (result.get("parameters") or {}).items():
        found[f"parameters, {name}"] = f"{count:,}"
    for name, version in (result.get("versions") or {}).items():
        found[name] = str(version)
    return found
