"""What is done, and with which images."""

from typing import Literal, Optional

from tfssl.config.modes import MODES, TASKS
from tfssl.config.schema import DATA, RUN, Schema, group, knob
from tfssl.config.values import NOT_EMPTY, POSITIVE, PROBABILITY, RANGE, SIZE


@group
class RunOptions(Schema):
    """What is done, where, and how exactly."""

    mode: str = knob(
        "pretrain",
        RUN,
        " ".join(["What to do.", *(f"{name}: {mode.help}." for name, mode in MODES.items())]),
        common=True,
        choices=MODES,
    )
    train_mode: Optional[str] = knob(
        None,
        RUN,
        "google-research/simclr's spelling of what to train. A command line that gives this flag "
        "is read as one of its runner: flags not given take the defaults they have there, which "
        "the run prints. (Its runner does not distill: there the defaults are ours.)",
        choices=TASKS,
    )
    model_dir: Optional[str] = knob(
        None,
        RUN,
        "Directory of the run: checkpoints, TensorBoard files, results. Not given: a "
        "name made from the settings, under runs/. The same command again continues the run.",
        common=True,
    )
    seed: int = knob(
        0,
        RUN,
        "Seed of everything random: initial weights, order of the data, "
        "augmentation, the embedded dataset.",
        (lambda x: 0 <= x < 2**31, "an integer from 0 to 2147483647"),
        common=True,
    )
    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = knob(
        "auto",
        RUN,
        "Numbers of the network's layers. auto: mixed_bfloat16 where the processor "
        "or GPU computes in it, float32 elsewhere, and on a processor for networks that begin "
        "with fewer than 16 channels. Losses and statistics are float32 always.",
    )
    deterministic: bool = knob(
        False,
        RUN,
        "TensorFlow's op determinism: on a GPU too, the same command then gives the "
        "same bits, more slowly. On a processor it does so without. Recorded in result.json.",
    )


@group
class DataOptions(Schema):
    """Which images there are, and how they are read."""

    dataset: str = knob(
        "cifar10",
        DATA,
        "shapes (embedded, no download), folder (your own images in --data_dir, "
        "as DIR/<split>/<class>/*, DIR/<class>/*, or without classes), or the name of a "
        "tensorflow_datasets builder of images: cifar10, cifar100, "
        "imagenette/160px-v2, imagenet2012 and others. Not given with --mode=predict: folder "
        "where there is a --data_dir, else what the network learned from.",
        NOT_EMPTY,
        common=True,
    )
    data_dir: Optional[str] = knob(
        None,
        DATA,
        "Where tensorflow_datasets keeps prepared datasets (not given: its default), "
        "or the folder of --dataset=folder.",
        common=True,
    )
    max_bad_fraction: float = knob(
        0.1,
        DATA,
        "Share of the files of --dataset=folder that may be unreadable; they are named "
        "and left out. With more, nothing starts. What is neither an image nor a text counts too.",
        PROBABILITY,
    )
    max_image_megapixels: float = knob(
        89.0,
        DATA,
        "Images of --dataset=folder with more pixels, in millions, are left out: one "
        "that is decoded takes three bytes a pixel and more.",
        POSITIVE,
    )
    folder_layout: Literal["auto", "splits", "classes", "flat"] = knob(
        "auto",
        DATA,
        "What the folders of --dataset=folder are. splits: DIR/<split>/<class>/*; "
        "classes: DIR/<class>/*; flat: nothing, all images are without labels. auto: what can be "
        "meant; where that is not one thing, nothing starts.",
    )
    reading_rules: Literal[2, 1] = knob(
        2,
        DATA,
        "How files of --dataset=folder are read. 1: as tfssl 0.1 did, which a run that "
        "was begun with it keeps: known extensions alone, cut to 8 bits, EXIF orientation "
        "ignored.",
    )
    train_split: str = knob(
        "train",
        DATA,
        "Split to learn from; a slice such as train[:90%] too.",
        NOT_EMPTY,
        common=True,
    )
    eval_split: Optional[str] = knob(
        None,
        DATA,
        "Split to evaluate on. Not given: the dataset's test split, or validation; "
        "with --mode=predict, all images of a folder that has no splits.",
        common=True,
    )
    max_shared_fraction: float = knob(
        0.01,
        DATA,
        "Share of the evaluation images that may be training images too, by their "
        "files or pixels; how many are is said. With more, nothing starts.",
        PROBABILITY,
    )
    image_size: Optional[str] = knob(
        None,
        DATA,
        "Size of the views in pixels: a side, or HEIGHTxWIDTH. Not given: the "
        "dataset's own size (32 for CIFAR), 32 for shapes, 128 for imagenette, 224 for images of "
        "mixed sizes. Images of any size are brought to it.",
        SIZE,
        common=True,
    )
    cache_dataset: Optional[bool] = knob(
        None,
        DATA,
        "Hold the whole dataset in memory, decoded. Not given: when it takes less than 2 GiB.",
    )
    value_range: str = knob(
        "auto",
        DATA,
        "Values of the images that are taken as black and white, for images of more "
        "than 8 bits. auto: those of the number of bits that hold the largest value found, or of "
        "fractions; 8 bits as they are. dtype: what the type can hold (fractions: 0 to 1). "
        "LOW,HIGH: these, such as 0,4095; what lies beyond is clipped.",
        RANGE,
    )
