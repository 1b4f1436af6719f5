"""Settings of the run and of the images."""

from typing import Literal, Optional

from tfssl.config.modes import MODES, TASKS
from tfssl.config.schema import DATA, RUN, Schema, group, knob
from tfssl.config.values import NO_DATA, NOT_EMPTY, POSITIVE, PROBABILITY, RANGE, SIZE, at_least


@group
class RunOptions(Schema):
    """Mode, directory, seed and precision of the run."""

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
        "google-research/simclr's flag for what to train. A command line with this flag "
        "is read as one of that project: flags not given take its defaults, which "
        "the run prints. (It does not distill: for distill the defaults are tfssl's.)",
        choices=TASKS,
    )
    model_dir: Optional[str] = knob(
        None,
        RUN,
        "Directory of the run: checkpoints, TensorBoard files, results. Not given: a "
        "name derived from the settings, under runs/. The same command again continues the run.",
        common=True,
    )
    seed: int = knob(
        0,
        RUN,
        "Seed of all randomness. It determines initial weights, order of the data, "
        "augmentation, the embedded dataset.",
        (lambda x: 0 <= x < 2**31, "an integer from 0 to 2147483647"),
        common=True,
    )
    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = knob(
        "auto",
        RUN,
        "Dtype policy of the network's layers. auto: mixed_bfloat16 if the processor "
        "or GPU computes in bfloat16, mixed_float16 on older GPUs with Tensor cores, otherwise "
        "float32; float32 too on a processor for networks that begin with fewer than 16 channels. "
        "Losses and statistics are always float32.",
    )
    dry_run: bool = knob(
        False,
        RUN,
        "Print what a training would do, make a few of its steps, estimate its time and memory, "
        "and stop: nothing is written.",
    )
    full: bool = knob(
        False,
        RUN,
        "--mode=doctor: also check the steps of all methods, in all precisions, with and without "
        "XLA and --augment_on=device, which takes many minutes.",
    )
    deterministic: bool = knob(
        False,
        RUN,
        "Enable TensorFlow's op determinism: the same command then gives the same bits on a GPU "
        "too, but more slowly. On a processor it always does. Recorded in result.json.",
    )


@group
class DataOptions(Schema):
    """The dataset, and how images are read."""

    dataset: str = knob(
        "cifar10",
        DATA,
        "shapes (embedded, no download), your own images by their path (a folder, or FILE.npz, "
        ".npy, .h5, .csv, .tsv, .parquet, .tfrecord), or a builder of tensorflow_datasets: "
        "cifar10, cifar100, imagenette/160px-v2, imagenet2012 and others. A folder is "
        "DIR/<split>/<class>/*, DIR/<class>/*, or has no classes; a path begins with / or ./, or "
        "has one of these endings. folder, npz, npy, h5, csv, parquet and tfrecord take it in "
        "--data_dir. Not given with --mode=predict: folder if --data_dir is given, otherwise the "
        "dataset that the network was trained on.",
        NOT_EMPTY,
        common=True,
    )
    data_dir: Optional[str] = knob(
        None,
        DATA,
        "Directory of prepared tensorflow_datasets (not given: its default), "
        "or the path of your own images.",
        common=True,
    )
    image_key: Optional[str] = knob(
        None,
        DATA,
        "Name of the images: of an array (not given: images), or of the column of paths in a table "
        "(not given: path).",
        NOT_EMPTY,
    )
    label_key: Optional[str] = knob(
        None,
        DATA,
        "Name of the labels: of an array (not given: labels), or of a column (not given: label).",
        NOT_EMPTY,
    )
    split_key: Optional[str] = knob(
        None,
        DATA,
        "Name of the array or column with the split of each image. Not given: split, if there is "
        "one.",
        NOT_EMPTY,
    )
    group_by: Optional[str] = knob(
        None,
        DATA,
        "What slices and few-label lists must not divide, such as a patient: the name of an array "
        "or a column; in a folder, a regular expression for the names of files, whose first "
        "parentheses are the group.",
        NOT_EMPTY,
    )
    max_bad_fraction: float = knob(
        0.1,
        DATA,
        "Maximum fraction of unreadable files in --dataset=folder; they are listed and left out. "
        "With more, nothing starts. Files that are neither images nor texts count too.",
        PROBABILITY,
    )
    max_image_megapixels: float = knob(
        89.0,
        DATA,
        "Images of --dataset=folder with more pixels, in millions, are left out: a decoded image "
        "takes at least three bytes per pixel.",
        POSITIVE,
    )
    folder_layout: Literal["auto", "splits", "classes", "flat", "bands"] = knob(
        "auto",
        DATA,
        "Meaning of the folders of --dataset=folder. splits: DIR/<split>/<class>/*; "
        "classes: DIR/<class>/*; flat: none, all images are unlabelled; "
        "bands: one of these, with a folder of files, one for each band, in place of each image. "
        "auto: detected, but for bands; if it is ambiguous, nothing starts.",
    )
    reading_rules: Literal[2, 1] = knob(
        2,
        DATA,
        "Version of the rules for reading files of --dataset=folder. 1: those of tfssl 0.1, kept "
        "by runs that began with it: only known extensions, cut to 8 bits, EXIF orientation "
        "ignored.",
    )
    train_split: str = knob(
        "train",
        DATA,
        "Split to learn from, or a slice such as train[:90%].",
        NOT_EMPTY,
        common=True,
    )
    eval_split: Optional[str] = knob(
        None,
        DATA,
        "Split to evaluate on; none: a training is not evaluated. Not given: the dataset's test "
        "split, or validation; with --mode=predict, all images of a folder that has no splits.",
        common=True,
    )
    max_shared_fraction: float = knob(
        0.01,
        DATA,
        "Maximum fraction of evaluation images that are also training images, compared by "
        "files or pixels; their number is printed. With more, nothing starts.",
        PROBABILITY,
    )
    max_similar_fraction: float = knob(
        0.05,
        DATA,
        "Maximum fraction of evaluation images that look like a training image, as recompressed, "
        "resized or brightened copies do; their number is printed. With more, nothing starts.",
        PROBABILITY,
    )
    image_size: Optional[str] = knob(
        None,
        DATA,
        "Size of the views in pixels: a side, or HEIGHTxWIDTH. Not given: the "
        "dataset's own size (32 for CIFAR), 32 for shapes, 128 for imagenette, 224 for images of "
        "mixed sizes. Images of other sizes are resized.",
        SIZE,
        common=True,
    )
    cache_dataset: Optional[bool] = knob(
        None,
        DATA,
        "Keep the whole decoded dataset in memory. Not given: if it takes less than 2 GiB.",
    )
    shuffle: Literal["auto", "whole", "blocks"] = knob(
        "auto",
        DATA,
        "How images that do not fit in memory are shuffled. whole: all orders of an epoch are as "
        "likely, as in memory; files are read at random places. blocks: they are read in their "
        "order and shuffled within blocks of 8,192, for disks that are slow to seek. auto: whole, "
        "unless the images cannot be read in any order, as in compressed files, or are on an "
        "object store.",
    )
    channels: Optional[int] = knob(
        None,
        DATA,
        "Channels of the images. Not given: those of arrays, and 3 for image files and "
        "tensorflow_datasets, where grey images get three equal channels. 1: colours become grey. "
        "The encoder takes as many; a checkpoint says how many its own takes.",
        at_least(1),
    )
    value_range: str = knob(
        "auto",
        DATA,
        "Values that are scaled to 0 and 1, for images of more than 8 bits. auto: the range of the "
        "number of bits that the largest value needs, or of fractions; 8-bit images are unchanged. "
        "dtype: the range of the type (fractions: 0 to 1). LOW,HIGH: these values, such as 0,4095; "
        "values outside are clipped. percentiles: of each channel by itself, its 1st and 99th "
        "percentile in 256 training images; percentiles:LOW,HIGH: others.",
        RANGE,
    )
    no_data: Optional[str] = knob(
        None,
        DATA,
        "Values that stand for no data, such as -9999 or nan or nan,0. They do not count for "
        "--value_range, and become --no_data_fill.",
        NO_DATA,
    )
    no_data_fill: float = knob(
        0.0, DATA, "What the values of --no_data become, in [0, 1].", PROBABILITY
    )
