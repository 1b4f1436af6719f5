"""The `Job`: the resolved plan of a run, with its data, sizes, optimizer and batches."""

import contextlib
import dataclasses
import functools
import math
import os
import re
from typing import Optional

import keras
import numpy as np
import tensorflow as tf

from tfssl import data, domains, encoders, layers, optim
from tfssl.callbacks.board import Board
from tfssl.callbacks.checkpoints import STOP
from tfssl.config import DECOUPLED, MODES, Config, sides
from tfssl.config.defaults import default_of
from tfssl.data import Source, values
from tfssl.data.channels import Mismatch
from tfssl.data.pipeline import shuffled_as_whole
from tfssl.distribute import strategy
from tfssl.errors import UsageError
from tfssl.runner import (
    build,
    demand,
    device,
    objective,
    optimizers,
    plugins,
    protocols,
    sources,
)
from tfssl.runner.recipes import compiled, function_of
from tfssl.storage import networks, rundir, runs
from tfssl.storage.networks import describe, network
from tfssl.text import printable

UNSCORED = "none"  # the --eval_split of a training that is not evaluated
NOTHING_SCORED = f"nothing is evaluated, as --eval_split={UNSCORED}"
FEWEST_NEIGHBOURS = 1  # of kNN, where there are fewer labels than by default
MOST_WHITE, MOST_BLACK = 0.5, 0.99  # of the values of images, beyond which it is told


@dataclasses.dataclass(frozen=True)
class Opened:
    """The images of a run, and the settings with what the images decide.

    Attributes:
        config: the `tfssl.Config`.
        train_source: `Source` of the training.
        labelled_source: `Source` that linear classifiers and kNN are fitted to.
        eval_source: `Source` that is scored; None: there are no labels to evaluate with.
        label_indices: indices of the images whose labels are used; None: all.
        readable: integer, images in --train_split, including those whose labels are not used.
    """

    config: Config
    train_source: Source
    labelled_source: Source
    eval_source: Optional[Source]
    label_indices: Optional[np.ndarray]
    readable: int


@dataclasses.dataclass(frozen=True)
class Job(Opened):
    """The plan of a run: sources are open and sizes known; nothing is computed or written yet."""

    size: tuple[int, int]  # height, width of the training views in pixels
    eval_size: tuple[int, int]  # likewise of the evaluation crops
    stem: str
    precision: str
    total_steps: int
    warmup_steps: int
    checkpoint_every: int
    learning_rate: float
    distribution: strategy.Distribution

    @property
    def channels(self):
        return networks.channels(self.config)

    @property
    def evaluates(self):
        return self.config.evaluates and self.eval_source is not None

    @property
    def devices(self):
        """The devices, for messages."""
        device_name, distribution = device.describe()["device"], self.distribution
        return (
            device_name
            if distribution.replicas == 1
            else f"{distribution}, this one on {device_name}"
        )

    @property
    def network(self):
        """The network, for messages."""
        stem = f", {self.stem} stem" if self.config.encoder == "resnet" else ""
        return network(self.config.to_dict()) + stem

    @property
    def schedule(self):
        """The length of the training and its optimizer, for messages."""
        config = self.config
        epochs = self.total_steps * config.train_batch_size / self.train_source.num_examples
        short = ", which it does not outlast" if self.total_steps <= self.warmup_steps else ""
        steps = f"{self.total_steps} step{'s' if self.total_steps > 1 else ''}"
        return (
            f"{steps} of {config.train_batch_size} images ({epochs:.4g} "
            f"epochs), {config.optimizer}, peak learning rate {self.learning_rate:.4g}, "
            f"{self.warmup_steps} steps of warm-up{short}, weight decay "
            f"{config.weight_decay:.4g}"
            + (
                f" to {config.weight_decay_end:.4g}"
                if config.weight_decay_end is not None and config.optimizer in DECOUPLED
                else ""
            )
        )

    def writer(self):
        """The `Board` of the run on the chief; None on other workers."""
        if self.distribution.chief:
            return Board(self.config.model_dir)

    @functools.cached_property
    def holder(self):
        """The device that holds all training images; None: batches are sent to it."""
        if self.config.augment_on != "device" or self.distribution.replicas > 1:
            return None
        if not self.train_source.arrays:
            return None
        return device.holder(sum(array.nbytes for array in self.train_source.arrays))

    @property
    def about(self):
        """The description stored with the weights."""
        more = {"value_ranges": self.value_ranges}
        if self.config.no_data:
            more |= {name: getattr(self.config, name) for name in ("no_data", "no_data_fill")}
        return describe(self.config, self.stem, self.size, **more)

    @property
    def value_ranges(self):
        """{dtype: [value scaled to 0, value scaled to 1]} of the images, or lists of channels."""
        ranges = self.train_source.value_ranges
        return {dtype: values.as_lists(pair) for dtype, pair in ranges.items()}

    @property
    def data(self):
        """The content of data.json: identity of the training images."""
        used = plugins.digests(self.config)
        return {
            "train": {**self.train_source.identity, "readable": self.readable},
            "value_ranges": self.value_ranges,
            **({"plugins": used} if used else {}),
        }


def plan(config, distributed=None, ranges=None, usual_size=None):
    """Opens the data and resolves all sizes and lengths of the run.

    Args:
        config: a `tfssl.Config`, with the architecture of the checkpoint, if any.
        distributed: the `Distribution` that trains; None: one device.
        ranges: the `value_ranges` of a trained network; None: to be determined.
        usual_size: (height, width) of the views where the images have several sizes and none is
            given; None: that of `sources.image_size`.

    Returns:
        A `Job`.

    Raises:
        UsageError: the settings do not fit the dataset or each other.
    """
    opened = open_images(config, ranges)
    if usual_size and not config.image_size and None in opened.train_source.image_shape:
        size = "x".join(map(str, usual_size))
        print(f"--image_size={size}, that of --checkpoint, as the images have several", flush=True)
        config = opened.config.replace(image_size=size)
        opened = dataclasses.replace(opened, config=config)
    return resolve(opened, distributed)


def open_images(config, ranges=None):
    """Opens the images; args and errors as for `plan`. Returns an `Opened`."""
    mode = MODES[config.mode]
    protocols.registered(config)  # refuses unknown protocols early
    plugins.check_encoder(config.encoder)
    if config.task == "pretrain" and config.trains:
        build.class_of(config.method)  # refuses a plug-in's class that is no method
        if config.own_views:
            function_of(config.views)  # refuses what is no function
    if not (config.trains or mode.evaluates or config.probe_dataset):
        split = getattr(config, mode.split)
        split = config.train_split if split == UNSCORED else split
        train_source = sources.load(config, split, mode.split, ranges)
        labelled_source = eval_source = train_source
    else:
        if config.probe_dataset or config.eval_split not in (None, UNSCORED):
            sources.check_split(probed(config), config.eval_split, "eval_split")
        train_source = sources.load(config, config.train_split, ranges=ranges)
        tell_levels(config, train_source, ranges)
        tell_grey(config, train_source)
        tell_alike(train_source)
        labelled_source, eval_source = evaluation_sources(
            config.replace(channels=train_source.channels), train_source
        )
    config = sources.with_moments(sources.with_channels(config, train_source), train_source)
    distills = config.task == "distill" and (config.trains or mode.needs_run)
    whole = labelled_source if mode.takes_labels else train_source
    learns = config.trains or mode.evaluates
    label_indices = sources.label_indices(config, whole) if learns else None
    readable = train_source.num_examples
    if label_indices is not None and not distills:
        part = data.subset(whole, label_indices)
        train_source, labelled_source = (
            part if source is whole else source for source in (train_source, labelled_source)
        )
    config = with_neighbours(config, labelled_source, eval_source)
    return Opened(config, train_source, labelled_source, eval_source, label_indices, readable)


def resolve(opened, distributed=None):
    """Resolves sizes and lengths of a run of these images.

    Args:
        opened: an `Opened`.
        distributed, Returns, Raises: as for `plan`.
    """
    config, train_source = opened.config, opened.train_source
    n = train_source.num_examples
    if config.trains:
        config = with_batch(config, "train_batch_size", n)
    batch = config.train_batch_size
    if config.trains and batch > n:
        flag = "label_list" if config.label_list else "label_fraction"
        share = "" if opened.label_indices is None else f" by --{flag}"
        raise UsageError(
            f"--train_batch_size must be at most {n}, the number of examples in "
            f"{config.dataset} {config.train_split}{share}. Received: {batch}"
        )
    size = sources.image_size(config, train_source)
    eval_size = sides(config.eval_image_size) if config.eval_image_size else size
    stem = config.stem if config.stem != "auto" else "cifar" if min(size) <= 64 else "imagenet"
    check_sizes(config, stem, size, eval_size)
    total = config.train_steps or optim.train_steps(n, config.train_epochs, batch)
    config = device.choose(config, total, distributed.replicas if distributed else 1)
    config = sources.with_order(config, train_source)
    per_checkpoint = config.checkpoint_steps or round(config.checkpoint_epochs * n / batch)
    job = Job(
        **{**vars(opened), "config": config},
        size=size,
        eval_size=eval_size,
        stem=stem,
        precision=device.resolve_precision(config.precision, device.width_of(config.to_dict())),
        total_steps=total,
        warmup_steps=optim.warmup_steps(n, config.warmup_epochs, batch),
        checkpoint_every=max(1, per_checkpoint),
        learning_rate=optim.scaled_learning_rate(
            config.learning_rate, batch, config.learning_rate_scaling
        ),
        distribution=distributed or strategy.single(),
    )
    check(job)
    return job


def check_sizes(config, stem, size, eval_size):
    """Raises UsageError for sizes of views or crops that the network cannot take."""
    smallest = encoders.output_stride(stem)
    for flag, (height, width) in (("image_size", size), ("eval_image_size", eval_size)):
        check_fixed(config, flag, (height, width))
        if min(height, width) < smallest and config.encoder == "resnet":
            raise UsageError(
                f"--{flag} must be at least {smallest} for --stem={stem}. "
                f"Received: {height}x{width}"
            )
    if config.local_views and config.local_size:
        local = sides(config.local_size)
        if any(own > other for own, other in zip(local, size)):
            raise UsageError(
                f"--local_size must not exceed the size of the other views, {size[0]}x{size[1]}. "
                f"Received: {config.local_size}"
            )


def check(job):
    """Refuses what does not fit the memory, the measures or the other workers of a `Job`."""
    config, n = job.config, job.train_source.num_examples
    demand.check(job)
    objective.check(job)
    if config.memory_size > 2 * n and config.trains:
        print(
            f"--memory_size={config.memory_size} is more than two for each of the {n} images of "
            "--train_split, which are contrasted with themselves"
        )
    if job.eval_source:
        protocols.rehearse(config, job.labelled_source)
    images = {**job.data["train"], "black and white": job.value_ranges}
    job.distribution.require_same(
        {
            "labels learned from": data.fingerprint(job.label_indices),
            **{
                f"{runs.DIGESTS.get(name, name)} of the training images": value
                for name, value in images.items()
            },
        }
    )


def with_batch(config, name, count):
    """The Config without a default size of batches above the number of images, or of their half.

    Half of them at most, so that an epoch has two steps of other images; a power of two.
    """
    field, value = Config.__dataclass_fields__[name], getattr(config, name)
    fit = max(2, 2 ** int(math.log2(max(2, count / 2))))
    if value <= count or value != default_of(field, config) or fit > count:
        return config
    print(f"--{name}={fit}, as there are {count:,} images to learn from", flush=True)
    return config.replace(**{name: fit})


def with_neighbours(config, labelled, scored):
    """The Config without default values of --knn_k above the number of training labels.

    Raises:
        UsageError: it is such a value that was asked for.
    """
    mode, most = MODES[config.mode], labelled.num_labelled
    nearest = mode.neighbours or (config.task == "pretrain" and (config.trains or mode.needs_run))
    if not (nearest and scored and any(k > most for k in config.neighbours)):
        return config
    if config.knn_k != Config.__dataclass_fields__["knn_k"].default:
        raise UsageError(
            f"--knn_k must be at most {most}, the number of training labels. "
            f"Received: {config.knn_k}"
        )
    fit = [k for k in config.neighbours if k <= most] or [FEWEST_NEIGHBOURS]
    chosen = ",".join(map(str, fit))
    print(f"--knn_k={chosen}, as there are {most:,} training labels", flush=True)
    return config.replace(knn_k=chosen)


def scaled_as(config, given, about, there=None):
    """What becomes 0 and 1 and what is no data, as a network has learned it.

    Args:
        config: a `tfssl.Config`.
        given: names of the flags that the user gave.
        about: description of the network's weights; {} without any.
        there: the recorded Config of the run that goes on, which has its own; None: it begins.

    Returns:
        The Config, and the `ranges` for `plan`; None: to be determined.
    """
    own = there.to_dict() if there else about
    names = [name for name in ("no_data", "no_data_fill") if name in own and name not in given]
    config = config.replace(**{name: own[name] for name in names})
    if there:
        about = rundir.read_json(config.model_dir, rundir.DATA) or {}
    return config, about.get("value_ranges")


def tell_grey(config, source):
    """Prints what to do where the training images are grey, but have three channels."""
    learns = config.trains and config.task == "pretrain"
    if learns and config.by_images and not config.channels and sources.grey(source):
        print(
            f"The first images are grey, in three equal channels: --channels=1 takes one, and "
            f"--views={domains.usual(1)} with it",
            flush=True,
        )


def tell_alike(source):
    """Prints the names of classes that people may have meant to be one."""
    meant = {}
    for name in map(str, source.classes):
        meant.setdefault(" ".join(name.casefold().replace("_", " ").split()), []).append(name)
    for names in [names for names in meant.values() if len(names) > 1]:
        print(
            f"WARNING: {' and '.join(repr(printable(name)) for name in names)} are different "
            f"classes of {source.name}, whose names differ in case and spaces alone.",
            flush=True,
        )


def tell_levels(config, source, ranges):
    """Prints which values become 0 and 1 if a network decides it, and whether images fit it.

    Args:
        config: the `tfssl.Config`.
        source: the `Source` of the training images.
        ranges: the `value_ranges` of a network, or None.
    """
    if source.dtype == np.uint8 or not source.value_ranges:
        return
    used = source.value_ranges
    if ranges and values.by_data(sources.value_range(config.value_range)):
        for name in [name for name in used if name in ranges]:
            line = values.range_summary(np.dtype(name), used[name])
            print(f"{line}, as the network has learned it", flush=True)
    low, high = sources.ends(source)
    if high > MOST_WHITE or low > MOST_BLACK:
        end, share = ("1, white", high) if high > MOST_WHITE else ("0, black", low)
        print(
            f"WARNING: {share:.0%} of the values of {source.name} {source.split} become {end}: "
            f"does --value_range={config.value_range} fit these images?",
            flush=True,
        )


def check_fixed(config, flag, size):
    """Raises UsageError if an encoder of a fixed size would get images of another size."""
    fixed = config.encoder_size and sides(config.encoder_size)
    if fixed and fixed != tuple(size) and not config.facts.crops_only:
        raise UsageError(
            f"--{flag} must be {fixed[0]}x{fixed[1]}, the size that --encoder_size has. "
            f"Received: {size[0]}x{size[1]}"
        )


def evaluation_sources(config, train_source):
    """Loads the images that classifiers are fitted to, and those that are scored.

    Returns:
        Two `Source`s; the second is None if the images have no labels, or for a training that is
        not evaluated.

    Raises:
        UsageError: labels are needed and missing, or the two share images.
    """
    other, labelled = probed(config), train_source
    ranges = train_source.value_ranges if other is config else None
    if not (config.trains or MODES[config.mode].evaluates):
        return labelled, sources.load(other, config.eval_split, "eval_split", ranges)
    if other is not config:
        try:
            labelled = sources.load(other, config.probe_train_split, "probe_train_split")
        except Mismatch as error:
            raise UsageError(
                f"--probe_dataset must have the channels of --dataset: {error}"
            ) from None
    flag = "train_split" if other is config else "probe_train_split"
    if not labelled.num_classes:
        does_without = config.task == "pretrain" or (
            config.task == "distill" and config.distill_alpha == 1
        )
        if other is not config or not (config.trains and does_without):
            raise UsageError(
                f"--{flag} must have labels ({sources.labels_by(other)}). Received: "
                f"{labelled.split} of {other.dataset} {other.data_dir}, without any"
            )
        return labelled, None
    if config.trains and config.eval_split == UNSCORED:
        return labelled, None
    scored = sources.load(other, config.eval_split, "eval_split", labelled.value_ranges, again=True)
    if not scored.num_classes:
        without = ", or be none, to train without evaluation" if config.trains else ""
        raise UsageError(
            f"--eval_split must have labels ({sources.labels_by(other)}){without}. Received: "
            f"{scored.split}, without any"
        )
    if config.evaluates:
        sources.refuse_shared(config, scored, {flag: labelled, "train_split": train_source})
    return labelled, scored


def probed(config):
    """The Config of the images that are evaluated: itself, or that of --probe_dataset."""
    if not config.probe_dataset:
        return config
    other = config.replace(
        dataset=config.probe_dataset, data_dir=config.probe_data_dir or config.data_dir
    )
    if other.dataset != config.dataset:  # names of arrays and columns are those of a form
        other = other.replace(**dict.fromkeys(sources.KEYS))
    return other


def reopen(config, given):
    """The `Job` of the run in --model_dir, for modes that use a trained network.

    Settings come from the record of the run; of the flags given here, those of evaluation and data
    directories override it, and others must not contradict it.

    Args:
        config: a `tfssl.Config` whose model_dir is set.
        given: names of the flags that the user gave.

    Raises:
        UsageError: there is no run, a flag contradicts it, or the directory is not writable.
    """
    there = runs.recorded(config.model_dir)
    if there is None:
        raise UsageError(
            "--model_dir must be the directory of a run. "
            f"Received: {config.model_dir}, which holds none"
        )
    mode = MODES[config.mode]
    check_places(there, config.model_dir, given)
    new_labels = {"label_fraction", "label_list"} if mode.takes_labels else set()
    runs.check_same(config, there, config.model_dir, set(given) - new_labels)
    names = set(given) | new_labels | {"mode", "model_dir", "plugin"}
    data_there = rundir.read_json(config.model_dir, rundir.DATA) or {}
    job = plan(
        there.replace(
            **{**{name: getattr(config, name) for name in names}, "train_mode": there.task}
        ),
        ranges=data_there.get("value_ranges"),
    )
    if mode.evaluates:
        check_data(job, there)
    rundir.make(config.model_dir)
    rundir.check_files(config.model_dir)
    return job


def check_places(there, model_dir, given):
    """Raises UsageError if the images of a run are at a relative path that is not here."""
    for name in ("data_dir", "probe_data_dir"):
        path = getattr(there, name) or ""
        elsewhere = os.path.isabs(path) or "://" in path or os.path.exists(path)
        if path and name not in given and not elsewhere:
            raise UsageError(
                f"--{name} must say where the images of --model_dir={model_dir} are, or the "
                "command be given where that run was begun, whose path is relative. "
                f"Received: {path}, which is not in {os.getcwd()}"
            )


def check_data(job, there, goes_on=False):
    """Raises UsageError if the run in --model_dir was trained on other images.

    Args:
        job: the `Job`.
        there: the recorded Config; tfssl 0.1 recorded only the location of the images.
        goes_on: whether its training is continued.
    """
    model_dir, here = job.config.model_dir, job.data["train"]
    recorded = (rundir.read_json(model_dir, rundir.DATA) or {}).get("train")
    if recorded is None:
        here = sources.identify(job.config, job.config.train_split)
        recorded = where_it_was(job.config, there, here)
    if not goes_on:  # the size of the embedded dataset depends on --eval_image_size
        here, recorded = ({k: v for k, v in one.items() if k != "size"} for one in (here, recorded))
    runs.check_images(model_dir, here, recorded)
    changed = changed_plugins(job)
    if changed and goes_on:
        raise UsageError(f"{changed} Give another --model_dir.")
    if changed:
        print(f"WARNING: {changed} Results are of the file that it is now.", flush=True)


def changed_plugins(job):
    """Says which plug-in of a run has changed since it began; "" if none has."""
    recorded = rundir.read_json(job.config.model_dir, rundir.DATA) or {}
    here, there = (one.get("plugins", {}) for one in (job.data, recorded))
    changed = [name for name in sorted(there) if here.get(name) != there[name]]
    if not changed:
        return ""
    return (
        f"{changed[0]} is not the file that the run in --model_dir={job.config.model_dir} was "
        "begun with."
    )


def where_it_was(config, there, here):
    """The identity of the images at the location in a Config; `here` if they are missing."""
    if (there.data_dir, there.dataset) != (config.data_dir, config.dataset):
        with contextlib.suppress(UsageError):
            return sources.identify(there, there.train_split, download=False)
    return here


def training_layers(job):
    """Layer classes for training: of normalizations, and {argument: class} for ResNets."""
    config = job.config
    normalization = (
        layers.FusedBatchNormalization
        if config.fused_batch_norm
        else keras.layers.BatchNormalization
    )
    if job.distribution.replicas > 1 and config.global_bn:
        normalization = functools.partial(normalization, synchronized=True)
    return normalization, {
        "convolution": (
            layers.ProductGradientConv2D if config.product_gradients else keras.layers.Conv2D
        ),
        "remat": layers.Rematerialized if config.remat else None,
    }


def compile_model(job, model, recipes):
    """Builds and compiles a model, within the scope of the distribution.

    Args:
        job: the `Job`.
        model: a `tfssl.methods.Learner`.
        recipes: list of `tfssl.augment.View`, one for each view.
    """
    config, several = job.config, job.distribution.workers > 1
    try:
        model.build((None, *job.size, job.channels))
    except ValueError as error:
        own = config.encoder == "resnet"
        which = f"--method={config.method}" if own else f"--encoder={config.encoder}"
        raise UsageError(f"{which}: {error}") from error
    at_once = config.train_batch_size // config.accumulate_steps // job.distribution.replicas
    try:
        model.check_batch(at_once)
    except ValueError as error:  # it names an argument of the method, which is a flag
        raise UsageError(re.sub(r"`(\w+)`", r"--\1", str(error))) from error
    model.compile(
        optimizers.build(job, model),
        weight_decay=None if config.optimizer in DECOUPLED else config.weight_decay,
        accumulate_steps=config.accumulate_steps,
        jit_compile=config.jit_compile == "on",
        prepare=preparation(job, recipes),
        also_log=(
            {STOP: keras.Variable(0.0, trainable=False, name="stop_asked")} if several else None
        ),
    )
    return model


def preparation(job, recipes):
    """The function batch -> batch to call within the training step, or None.

    With --augment_on=device it augments. With several workers it restores the batch size, which is
    unknown in their datasets.
    """
    config, steps = job.config, []
    if config.augment_on == "device":
        steps.append(
            data.finisher(
                job.train_source,
                recipes,
                compiled(config, recipes),
                in_blocks=False,
                parts=job.distribution.replicas,
                device=job.holder,
            )
        )
    if job.distribution.workers > 1:
        rows = config.train_batch_size // job.distribution.replicas
        steps.append(
            functools.partial(
                tf.nest.map_structure,
                lambda value: tf.ensure_shape(value, [rows, *value.shape[1:]]),
            )
        )
    if not steps:
        return None
    return lambda batch: functools.reduce(lambda made, step: step(made), steps, batch)


def training_batches(job, recipes, start):
    """Batches of views from a step to the end of the training.

    With --augment_on=device, `preparation` completes them.

    Args:
        job: the `Job`.
        recipes: list of `tfssl.augment.View`, one for each view.
        start: integer, first step.
    """
    config, source = job.config, job.train_source
    served = config.data_service and job.holder is None
    if served and source.arrays:  # one tensor, instead of a constant in each graph
        with tf.device("CPU:0"):
            source = dataclasses.replace(source, arrays=tuple(map(tf.constant, source.arrays)))
    make = functools.partial(
        data.views,
        source,
        recipes,
        batch_size=config.train_batch_size,
        seed=config.seed,
        compiled=compiled(config, recipes),
        finished=config.augment_on == "host",
        by_index=job.holder is not None,
        shuffle=config.shuffle,
    )
    if config.data_service and not served:
        print(
            "--data_service has no effect: the images are in the GPU's memory, which augments "
            "them; with --augment_on=host it has",
            flush=True,
        )

    if served and not shuffled_as_whole(source, config.shuffle):
        raise UsageError(
            "--data_service needs --shuffle=whole, as its workers make batches of any step, and "
            f"thus images that are not compressed together. Received: {config.shuffle}"
        )

    def of_share(share):
        """The batches of a `Share`."""

        def of_steps(first, last):
            return make(start_step=first, stop_step=last, share=share)

        if not served:
            return of_steps(start, job.total_steps)
        address = config.data_service
        return data.served(of_steps, start, job.total_steps, address, parts=share.count)

    return job.distribution.batches(of_share)


def train_as_worker(job, model, checkpoints, train):
    """Trains on a worker other than the chief, and waits until the chief has finished.

    Args:
        job: the `Job`.
        model: the compiled model.
        checkpoints: `Checkpoints` of the run.
        train: function (job, model, checkpoints, start) that trains from a step to the end.
    """
    start = job.distribution.agree()
    if start:
        checkpoints.restore(start)
    if start < job.total_steps:
        train(job, model, checkpoints, start)
    job.distribution.finish()
