"""Every knob of tfssl, once: its type, default, meaning and check.

The command line (`flags/`), the record of a run (`flags.flags`, `flags.json`) and the checks of
bad input are all made from the table in this file. It uses the standard library alone, so that a
wrong flag is refused before TensorFlow is loaded.

"Table n" in a help text is a table of Sáez Maldonado, *Mutual Information in Self-Supervised
Learning* (Granada, 2021); "SimCLR" is Chen et al., arXiv:2002.05709.
"""

import dataclasses
import hashlib
import json
import math
import numbers
import os
import re
import types
import typing
from typing import Literal, Optional

from tfssl.errors import UsageError, told

# A check is (predicate, what was expected). None always passes: it means "not given".
POSITIVE = (lambda x: x > 0, "a number above 0")
NON_NEGATIVE = (lambda x: x >= 0, "0 or more")
PROBABILITY = (lambda x: 0 <= x <= 1, "a probability in [0, 1]")
FRACTION = (lambda x: 0 < x <= 1, "a fraction in (0, 1]")
NOT_EMPTY = (lambda x: bool(x.strip()), "a name")


# What a knob's number can be at most: what is computed holds 32 bits of it.
MOST_INTEGER = 2**31 - 1
LEAST_FLOAT, MOST_FLOAT = 2.0**-126, 2.0**127 * (2 - 2**-23)
WHOLE = "[0-9]{1,9}"  # the digits of an integer in a text


def at_least(low):
    return (lambda x: x >= low, f"an integer of at least {low}")


def within(low, high):
    return (lambda x: low <= x <= high, f"from {low} to {high}")


def sides(size):
    """An image size such as 128 or 48x64 as (height, width); None for anything else."""
    match = re.fullmatch(f"({WHOLE})(?:x({WHOLE}))?", str(size))
    pair = match and (int(match[1]), int(match[2] or match[1]))
    return pair if pair and min(pair) >= 1 else None


def value_range(text):
    """What --value_range says: "auto", "dtype" or (low, high); None for anything else."""
    if text in ("auto", "dtype"):
        return text
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        return None
    return (low, high) if math.isfinite(high - low) and low < high else None


def counts(text):
    """Different numbers separated by commas, as a tuple of integers from 1 up; None otherwise."""
    words = [word.strip() for word in str(text).split(",") if word.strip()]
    if not all(re.fullmatch(WHOLE, word) for word in words):
        return None
    numbers_ = tuple(map(int, words))
    return numbers_ if len({0, *numbers_}) == len(numbers_) + 1 else None


SIZE = (lambda x: sides(x) is not None, "a side in pixels, or HEIGHTxWIDTH such as 48x64")
RANGE = (lambda x: value_range(x) is not None, "auto, dtype, or LOW,HIGH such as 0,4095")
SUFFIX = (
    lambda x: re.fullmatch(r"[\w.-]{0,100}", x) is not None,
    "at most 100 letters, digits, dots, dashes and underscores",
)
COUNTS = (lambda x: counts(x) is not None, "different positive integers separated by commas")
JOINED_BY = {SIZE: "x", COUNTS: ","}  # how several integers are written where these are checked


def written(value, check):
    """Integers, given in Python for a knob that is such text, as it; other values unchanged."""
    values = value if isinstance(value, (tuple, list)) else [value]
    whole = all(
        isinstance(v, numbers.Integral) and not isinstance(v, bool) and abs(v) <= MOST_INTEGER
        for v in values
    )
    return JOINED_BY[check].join(str(int(v)) for v in values) if whole else value


class ByMethod:
    """A default that differs by --method; a callable makes it of the other settings.

    Args:
        simclr: SimCLR's, and that of every method that is not named.
        **others: {method: its default}.
    """

    def __init__(self, simclr, **others):
        self.cases = {"simclr": simclr, **others}

    def of(self, config):
        return self.cases.get(config.method, self.cases["simclr"])


class ByTask:
    """A default that differs by what is trained; each may be a ByMethod."""

    def __init__(self, pretrain, finetune, distill):
        self.cases = {"pretrain": pretrain, "finetune": finetune, "distill": distill}

    def of(self, config):
        return self.cases[config.task]


class EpochTable:
    """A default that follows --train_epochs: the given values, and between them, interpolated.

    Interpolation is linear over the logarithm of the epochs; outside the table its ends hold.

    Args:
        values: {epochs: value}.
        complement: interpolate the logarithm of 1 - value, for decay rates close to 1.
    """

    def __init__(self, values, complement=False):
        self.values, self.complement = dict(sorted(values.items())), complement

    def __call__(self, epochs):
        points = list(self.values)
        epochs = min(max(epochs, points[0]), points[-1])
        if epochs in self.values:
            return self.values[epochs]
        low, high = next(pair for pair in zip(points, points[1:]) if epochs < pair[1])
        left, right = self.values[low], self.values[high]
        share = math.log(epochs / low) / math.log(high / low)
        if self.complement:
            return 1 - (1 - left) ** (1 - share) * (1 - right) ** share
        return left + (right - left) * share

    def __str__(self):
        return "by --train_epochs: " + ", ".join(f"{k}: {v}" for k, v in self.values.items())


def knob(default, group, help, check=None, common=False):  # `help` is argparse's and absl's word
    """One setting: a dataclass field that carries its group, its help text and its check.

    A `default` of type ByMethod or ByTask is None in the dataclass, until the Config knows its
    method and task. `common`: --help lists it too, with the first sentence of its help text.
    """
    plain = None if isinstance(default, (ByMethod, ByTask)) else default
    return dataclasses.field(
        default=plain,
        metadata={
            "group": group,
            "help": help,
            "check": check,
            "default": default,
            "common": common,
        },
    )


def second_view(field, byol=None):
    """The knob for view 2 alone beside one for both views."""
    default = None if byol is None else ByMethod(simclr=None, byol=byol)
    return knob(
        default,
        VIEW2,
        "As the flag without view2_, for view 2 alone. Not given: the same as there.",
        field.metadata["check"],
    )


RUN, DATA, VIEW, NET = "Run", "Data", "Augmentation", "Network"
VIEW2 = "Augmentation of view 2, where it differs"
METHOD, OPTIM, EVAL, LOG = "Method", "Optimizer and schedule", "Evaluation", "Checkpoints and logs"
LINEAR = "Linear evaluation (--mode=linear_eval)"
TRANSFER = (
    "Pretrained weights and labels (finetune, distill, linear_eval, knn, embed, export, predict)"
)
DISTILL = "Distillation (--mode=distill)"
EXPORT = "Export, embed and predict"
DEVICES = "Devices"
SPEED = "Speed (none of these changes what is computed, up to rounding)"
COMPAT = "Accepted for compatibility with google-research/simclr"


# BYOL's presets by the length of the training: deepmind-research byol/configs/byol.py, f5de0ed.
LEARNING_RATES = EpochTable({40: 0.45, 100: 0.45, 300: 0.3, 1000: 0.2})
WEIGHT_DECAYS = EpochTable({40: 1e-6, 100: 1e-6, 300: 1e-6, 1000: 1.5e-6})
TARGET_DECAYS = EpochTable({40: 0.97, 100: 0.99, 300: 0.99, 1000: 0.996}, complement=True)


@dataclasses.dataclass(frozen=True)
class Config:
    """A run, whole.

    Defaults with --method=simclr: the thesis's best ResNet-18 of batch 512 on CIFAR-10 (Tables 3
    and 4). With --method=byol: the recipe of BYOL (Grill et al. 2020, arXiv:2006.07733, Appendix B
    and Table 6), as in deepmind-research byol/configs/byol.py (f5de0ed).

    A knob whose default differs by method, or is made of other settings, is None until here: so
    what is stored, and recorded with the run, is always the value in force.

    Raises:
        UsageError: a value of the wrong type, outside its range, or at odds with another one.
    """

    # ---------------------------------------------------------------- run
    mode: Literal[
        "pretrain",
        "finetune",
        "distill",
        "eval",
        "linear_eval",
        "knn",
        "embed",
        "export",
        "predict",
        "train",
        "train_then_eval",
    ] = knob(
        "pretrain",
        RUN,
        "What to do. pretrain: learn the encoder, then evaluate it. finetune: train the encoder in "
        "--checkpoint with labels, then evaluate it. distill: train a network to answer as that of "
        "--teacher does, then evaluate it. linear_eval: train a linear classifier on the "
        "frozen encoder in --checkpoint, or that of the run in --model_dir, by DeepMind's "
        "protocol. knn: classify with it by nearest neighbours, which trains nothing. embed: write "
        "its representations of --eval_split, with a picture. export: write it as --format. "
        "predict: write the likeliest classes of every image of --eval_split, by the finetuned or "
        "distilled network in --checkpoint. eval: evaluate what is in --model_dir. "
        "train and train_then_eval are google-research/simclr's words: train only, or train and "
        "then evaluate, what --train_mode says.",
        common=True,
    )
    train_mode: Optional[Literal["pretrain", "finetune", "distill"]] = knob(
        None,
        RUN,
        "google-research/simclr's spelling of what to train. A command line that gives this flag "
        "is read as one of its runner: flags not given take the defaults they have there, which "
        "the run prints. (Its runner does not distill: there the defaults are ours.)",
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
    # ---------------------------------------------------------------- data
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
    # ---------------------------------------------------------------- augmentation
    crop_area_min: float = knob(
        0.08, VIEW, "Smallest random crop, as a fraction of the image's area.", FRACTION
    )
    crop_area_max: float = knob(1.0, VIEW, "Largest random crop, likewise.", FRACTION)
    crop_aspect_min: float = knob(3 / 4, VIEW, "Smallest width/height of a crop.", POSITIVE)
    crop_aspect_max: float = knob(4 / 3, VIEW, "Largest width/height of a crop.", POSITIVE)
    flip_p: float = knob(0.5, VIEW, "Probability of a left-right flip.", PROBABILITY)
    color_jitter_p: float = knob(0.8, VIEW, "Probability of colour jitter.", PROBABILITY)
    color_jitter_strength: float = knob(
        ByMethod(simclr=0.25, byol=1.0),
        VIEW,
        "Multiplies the four ranges --jitter_* (Table 4: 0.25 is best at batch 512, 0.75 at 1024).",
        NON_NEGATIVE,
        common=True,
    )
    jitter_brightness: float = knob(
        ByMethod(simclr=0.8, byol=0.4), VIEW, "Range of brightness at strength 1.", NON_NEGATIVE
    )
    jitter_contrast: float = knob(
        ByMethod(simclr=0.8, byol=0.4), VIEW, "Range of contrast at strength 1.", NON_NEGATIVE
    )
    jitter_saturation: float = knob(
        ByMethod(simclr=0.8, byol=0.2), VIEW, "Range of saturation at strength 1.", NON_NEGATIVE
    )
    jitter_hue: float = knob(
        ByMethod(simclr=0.2, byol=0.1),
        VIEW,
        "Range of hue at strength 1, in turns of the colour wheel.",
        NON_NEGATIVE,
    )
    brightness_mode: Literal["multiplicative", "additive"] = knob(
        ByMethod(simclr="multiplicative", byol="additive"),
        VIEW,
        "Brightness jitter: a factor (SimCLR) or a shift (BYOL).",
    )
    grayscale_p: float = knob(0.2, VIEW, "Probability of losing all colour.", PROBABILITY)
    use_blur: bool = knob(
        ByMethod(simclr=False, byol=True),
        VIEW,
        "Gaussian blur, by --blur_p and --blur_sigma_* (Table 8: it helps).",
        common=True,
    )
    blur_p: float = knob(
        ByMethod(simclr=0.5, byol=1.0),
        VIEW,
        "Probability of blur, where --use_blur is on.",
        PROBABILITY,
    )
    blur_sigma_min: float = knob(0.1, VIEW, "Smallest sigma of the blur, in pixels.", POSITIVE)
    blur_sigma_max: float = knob(2.0, VIEW, "Largest sigma of the blur, in pixels.", POSITIVE)
    blur_padding: Literal["reflect", "constant"] = knob(
        "reflect",
        VIEW,
        "What the blur sees beyond the border: the image mirrored, or black as in "
        "google-research/simclr.",
    )
    solarize_p: float = knob(0.0, VIEW, "Probability of solarization.", PROBABILITY)
    solarize_threshold: float = knob(0.5, VIEW, "Values from here up are inverted.", PROBABILITY)
    # ---------------------------------------------------------------- augmentation of view 2
    view2_crop_area_min: Optional[float] = second_view(crop_area_min)
    view2_crop_area_max: Optional[float] = second_view(crop_area_max)
    view2_flip_p: Optional[float] = second_view(flip_p)
    view2_color_jitter_p: Optional[float] = second_view(color_jitter_p)
    view2_color_jitter_strength: Optional[float] = second_view(color_jitter_strength)
    view2_jitter_brightness: Optional[float] = second_view(jitter_brightness)
    view2_jitter_contrast: Optional[float] = second_view(jitter_contrast)
    view2_jitter_saturation: Optional[float] = second_view(jitter_saturation)
    view2_jitter_hue: Optional[float] = second_view(jitter_hue)
    view2_grayscale_p: Optional[float] = second_view(grayscale_p)
    view2_blur_p: Optional[float] = second_view(blur_p, byol=0.1)
    view2_blur_sigma_min: Optional[float] = second_view(blur_sigma_min)
    view2_blur_sigma_max: Optional[float] = second_view(blur_sigma_max)
    view2_solarize_p: Optional[float] = second_view(solarize_p, byol=0.2)
    view2_solarize_threshold: Optional[float] = second_view(solarize_threshold)
    # ---------------------------------------------------------------- network
    resnet_depth: Literal[18, 34, 50, 101, 152, 200] = knob(
        18, NET, "Layers of the ResNet.", common=True
    )
    width_multiplier: float = knob(
        1.0,
        NET,
        "Multiplies every number of filters; fractions are fine.",
        (lambda x: x >= 1 / 64, "1/64 or more: one filter"),
        common=True,
    )
    stem: Literal["auto", "keep", "cifar", "imagenet"] = knob(
        "auto",
        NET,
        "First layers. cifar: 3x3, no pooling. imagenet: 7x7 and max-pooling, both "
        "with stride 2. keep: that of --checkpoint; another one starts with new weights in these "
        "layers alone. auto: keep where there is a checkpoint, else cifar up to 64 px.",
    )
    sk_ratio: float = knob(
        0.0, NET, "Selective kernels: 0.0625 as in SimCLRv2; 0: none.", within(0, 16)
    )
    se_ratio: float = knob(
        0.0, NET, "Squeeze-and-excitation: bottleneck ratio; 0: none.", within(0, 16)
    )
    batch_norm_decay: float = knob(
        0.9, NET, "Momentum of the moving averages of batch normalization.", PROBABILITY
    )
    input_normalization: Literal["none", "imagenet"] = knob(
        ByMethod(simclr="none", byol="imagenet"),
        NET,
        "What the encoder does to images in [0, 1] first: nothing, or subtract the mean of "
        "ImageNet's channels and divide by their standard deviation. It is part of the encoder, "
        "saved with it.",
    )
    # ---------------------------------------------------------------- method
    method: Literal["simclr", "byol", "npair", "triplet", "cpc"] = knob(
        "simclr",
        METHOD,
        "Self-supervised method. It decides the defaults of other flags too; "
        "where they differ, both are listed. What is listed for simclr holds for npair, triplet "
        "and cpc, where they have no value of their own.",
        common=True,
    )
    temperature: float = knob(
        0.25, METHOD, "Temperature of NT-Xent (Table 4) and of npair.", POSITIVE, common=True
    )
    hidden_norm: bool = knob(True, METHOD, "L2-normalize projections before comparing them.")
    proj_head_mode: Literal["none", "linear", "nonlinear"] = knob(
        "nonlinear",
        METHOD,
        "Projector (and BYOL's predictor): nothing, one dense layer, or an MLP.",
    )
    proj_out_dim: int = knob(
        ByMethod(simclr=128, byol=256), METHOD, "Dimension of the projection z.", at_least(1)
    )
    proj_hidden_dim: Optional[int] = knob(
        ByMethod(simclr=None, byol=4096),
        METHOD,
        "Width of the hidden layers of the projector (and predictor). Not given: the width of h.",
        at_least(1),
    )
    num_proj_layers: int = knob(
        ByMethod(simclr=3, byol=2),
        METHOD,
        "Layers of the nonlinear projector (and predictor).",
        within(1, 100),
    )
    proj_batch_norm: bool = knob(
        True,
        METHOD,
        "Batch normalization in the nonlinear and linear projector (and in BYOL's "
        "predictor). Without it, --num_proj_layers=2 is the head of SimCLR's paper, W2 ReLU(W1 h).",
    )
    positives: Literal["views", "classes"] = knob(
        "views",
        METHOD,
        "npair and triplet: what an image is drawn to. views: its other view, and "
        "away from those of all other images. classes: by the labels, a view of another image of "
        "its class, and away from other classes; where there is none, and without a label, its "
        "other view.",
    )
    memory_size: int = knob(
        0,
        METHOD,
        "simclr: projections of earlier batches that every image is contrasted with "
        "beside those of its own, made by a following copy of the network (SimCLRv2's memory; "
        "MoCo keeps 65536); 0: none.",
        NON_NEGATIVE,
    )
    memory_decay: float = knob(
        0.999, METHOD, "Where there is a memory: decay of that copy's moving average.", PROBABILITY
    )
    triplet_margin: float = knob(
        0.8,
        METHOD,
        "triplet: how much farther than the positive the negative must be, in squared "
        "distance; with --hidden_norm that is from 0 to 4.",
        NON_NEGATIVE,
    )
    cpc_patch: Optional[int] = knob(
        None,
        METHOD,
        "cpc: side of the patches in pixels. Not given: a quarter of the shorter "
        "side of the views; where that is below 16, 16 or half of the side.",
        at_least(2),
    )
    cpc_stride: Optional[int] = knob(
        None,
        METHOD,
        "cpc: pixels from one patch to the next. Not given: half of a patch.",
        at_least(1),
    )
    base_target_decay: float = knob(
        ByMethod(simclr=0.99, byol=lambda config: TARGET_DECAYS(config.train_epochs)),
        METHOD,
        f"BYOL: decay of the target network at the start; it rises to 1 along a cosine. With byol "
        f"{TARGET_DECAYS}.",
        PROBABILITY,
    )
    lineareval_while_pretraining: bool = knob(
        True,
        METHOD,
        "Train a linear classifier beside the encoder, on its representation with "
        "the gradient stopped (most of the thesis's accuracies are this head's).",
    )
    # ---------------------------------------------------------------- optimizer
    optimizer: Literal["lars", "momentum", "adam"] = knob(
        ByTask(pretrain="lars", finetune="momentum", distill="momentum"),
        OPTIM,
        "lars (You et al. 2017), momentum (SGD with Nesterov momentum) or adam.",
        common=True,
    )
    lars_form: Literal["classic", "popular"] = knob(
        ByMethod(simclr="classic", byol="popular"),
        OPTIM,
        "Where LARS multiplies by the learning rate: before the momentum (classic, "
        "google-research/simclr) or after it (popular, DeepMind's BYOL). The classic form leaves "
        "the online head out of its layer adaptation, the popular one does not, as they do there.",
    )
    learning_rate: float = knob(
        ByTask(
            ByMethod(simclr=1.0, byol=lambda config: LEARNING_RATES(config.train_epochs)),
            finetune=0.05,
            distill=0.1,
        ),
        OPTIM,
        f"Base learning rate; see --learning_rate_scaling. With byol {LEARNING_RATES}.",
        NON_NEGATIVE,
        common=True,
    )
    learning_rate_scaling: Literal["linear", "sqrt"] = knob(
        "linear", OPTIM, "Learning rate = base x batch/256 (linear) or base x sqrt(batch)."
    )
    warmup_epochs: float = knob(
        ByTask(pretrain=10.0, finetune=0.0, distill=5.0),
        OPTIM,
        "Epochs over which the learning rate rises from 0, before its cosine decay to 0.",
        NON_NEGATIVE,
    )
    weight_decay: float = knob(
        ByTask(
            ByMethod(simclr=1e-4, byol=lambda config: WEIGHT_DECAYS(config.train_epochs)),
            finetune=0.0,
            distill=1e-4,
        ),
        OPTIM,
        f"L2 penalty on the kernels of convolutions and dense layers. With byol {WEIGHT_DECAYS}.",
        NON_NEGATIVE,
        common=True,
    )
    momentum: float = knob(
        0.9, OPTIM, "Momentum of lars and momentum.", (lambda x: 0 <= x < 1, "a number in [0, 1)")
    )
    train_batch_size: int = knob(
        ByTask(pretrain=512, finetune=256, distill=256),
        OPTIM,
        "Images in a training batch, over all devices. In pretraining each gives two views.",
        at_least(2),
        common=True,
    )
    accumulate_steps: int = knob(
        1,
        OPTIM,
        "Parts that a batch is computed in, one after the other, for one step: the "
        "memory of a part, the learning of the batch. SimCLR contrasts every image with the whole "
        "batch all the same, at one more forward pass. Batch normalization sees a part at a time.",
        at_least(1),
    )
    train_epochs: float = knob(
        ByTask(pretrain=100.0, finetune=60.0, distill=100.0),
        OPTIM,
        "Length of the training in epochs.",
        POSITIVE,
        common=True,
    )
    train_steps: int = knob(
        0, OPTIM, "Length in steps; 0: from --train_epochs.", NON_NEGATIVE, common=True
    )
    # ---------------------------------------------------------------- evaluation
    eval_batch_size: int = knob(256, EVAL, "Images in an evaluation batch.", at_least(1))
    eval_steps: int = knob(0, EVAL, "Batches to evaluate; 0: the whole split.", NON_NEGATIVE)
    eval_image_size: Optional[str] = knob(
        None,
        EVAL,
        "Size of the evaluation crops, likewise. Not given: --image_size. Random "
        "crops magnify what they show, so views of 24 px suit whole images of 32 px, at half the "
        "cost.",
        SIZE,
    )
    eval_crop_proportion: Optional[float] = knob(
        None,
        EVAL,
        "Side of the central crop, as a fraction of the image's shorter side. Not "
        "given: 0.875, and 1 up to 32 px, where the reference does not crop.",
        FRACTION,
    )
    knn_k: str = knob(
        "20,200",
        EVAL,
        "Neighbours of the kNN evaluation, comma-separated; empty: no kNN evaluation.",
        COUNTS,
        common=True,
    )
    knn_temperature: float = knob(0.07, EVAL, "Votes are weighted by exp(cosine / this).", POSITIVE)
    linear_probe: bool = knob(
        True,
        EVAL,
        "After training, fit a logistic regression to the frozen "
        "representations of the whole training split, without augmentation.",
        common=True,
    )
    probe_dataset: Optional[str] = knob(
        None,
        EVAL,
        "Dataset to evaluate on by linear classifier and kNN, where it is not that of "
        "the pretraining, which may have no labels then. --eval_split is its.",
        NOT_EMPTY,
    )
    probe_data_dir: Optional[str] = knob(None, EVAL, "Its --data_dir. Not given: the same.")
    probe_train_split: str = knob(
        "train", EVAL, "Split of --probe_dataset that the classifiers learn from.", NOT_EMPTY
    )
    eval_baseline: Optional[bool] = knob(
        None,
        EVAL,
        "Evaluate the untrained encoder too, by the same protocols. Not given: as far "
        "as that takes no longer than the training did, or under a minute.",
    )
    # ---------------------------------------------------------------- pretrained weights
    checkpoint: Optional[str] = knob(
        ByTask(pretrain=None, finetune=None, distill="none"),
        TRANSFER,
        "Pretrained weights: the directory of a run, a checkpoint in it, an "
        "encoder.keras, or a checkpoint of google-research/simclr's tf2 code. They say what the "
        "network is; images may have any size. finetune and distill (there the student's) also "
        "take none: the network of the flags, from scratch. predict takes the directory of a "
        "finetuned or distilled run, or its classifier.keras.",
        NOT_EMPTY,
        common=True,
    )
    label_fraction: float = knob(
        1.0,
        TRANSFER,
        "Share of --train_split to learn from: a subset with equal numbers of "
        "every class, drawn by --seed. distill learns from all images, and from the labels of "
        "these.",
        FRACTION,
        common=True,
    )
    label_list: Optional[str] = knob(
        None,
        TRANSFER,
        "In place of --label_fraction: a file with the places of these images in "
        "--train_split, one number a line, from 0 (results/labels/ has lists).",
        NOT_EMPTY,
    )
    fine_tune_after_block: int = knob(
        -1,
        TRANSFER,
        "What finetuning trains. -1: everything; 0: all after the stem; 1, 2, 3: all "
        "after that group of blocks; 4: the head alone. What is not trained keeps its batch "
        "statistics too.",
        (lambda x: -1 <= x <= 4, "an integer from -1 to 4"),
    )
    ft_proj_selector: int = knob(
        0,
        TRANSFER,
        "Layer of the projector that the finetuned head reads, trained with it: 0: "
        "none, the representation; 1: the first (SimCLRv2); -1: the last.",
        at_least(-1),
    )
    zero_init_logits_layer: bool = knob(
        False, TRANSFER, "Start the finetuned head at 0 instead of at random."
    )
    # ---------------------------------------------------------------- distillation
    teacher: Optional[str] = knob(
        None,
        DISTILL,
        "Directory of a finetuned or distilled run, or its classifier.keras. It "
        "answers once for every image of --train_split, labelled or not, as it was evaluated.",
        NOT_EMPTY,
        common=True,
    )
    distill_temperature: float = knob(
        1.0,
        DISTILL,
        "Temperature of both softmaxes: 1 for a smaller student, 0.1 for one of the "
        "teacher's form (SimCLRv2).",
        POSITIVE,
    )
    distill_alpha: float = knob(
        1.0,
        DISTILL,
        "Weight of the teacher's answers in the loss; 1 minus it is that of the "
        "labels, of which 1 needs none.",
        PROBABILITY,
    )
    # ---------------------------------------------------------------- linear evaluation
    linear_epochs: float = knob(
        80,
        LINEAR,
        "Passes over the training split, as random crops and "
        "flips (Grill et al. 2020, Appendix C.1).",
        POSITIVE,
    )
    linear_learning_rate: float = knob(
        0.2,
        LINEAR,
        "Base learning rate of SGD with Nesterov momentum 0.9: times batch/256, and "
        "to 0 along a cosine.",
        POSITIVE,
    )
    linear_batch_size: int = knob(256, LINEAR, "Images in a batch.", at_least(1))
    # ---------------------------------------------------------------- export and embed
    format: Literal["keras", "saved_model", "onnx", "npz"] = knob(
        "keras",
        EXPORT,
        "What --mode=export writes: a .keras file of Keras's own layers, a "
        "TensorFlow SavedModel, ONNX (needs the onnx extra), or the bare weights for NumPy. Each "
        "takes images of any size.",
    )
    output: Optional[str] = knob(
        None,
        EXPORT,
        "File or directory that --mode=export writes, or file that --mode=predict "
        "does; it must not exist. Not given: a name beside the weights; or predictions.csv in "
        "--model_dir or, without one, where the command is run.",
        NOT_EMPTY,
    )
    embed_points: int = knob(
        2000,
        EXPORT,
        "Images in the picture (t-SNE) and in TensorBoard's projector, drawn by "
        "--seed; the representations of all are written.",
        at_least(10),
    )
    # ---------------------------------------------------------------- checkpoints and logs
    checkpoint_epochs: float = knob(1.0, LOG, "Epochs between checkpoints.", POSITIVE)
    checkpoint_steps: int = knob(
        0, LOG, "Steps between checkpoints; 0: see --checkpoint_epochs.", NON_NEGATIVE
    )
    keep_checkpoint_max: int = knob(5, LOG, "Newest checkpoints to keep; 0: all.", NON_NEGATIVE)
    train_summary_steps: int = knob(
        10, LOG, "Steps between TensorBoard points; 0: none while training.", NON_NEGATIVE
    )
    information_scalars: bool = knob(
        True,
        LOG,
        "Pretraining: say how much information the views are certified to share, how "
        "representations are spread, and at the end what they tell of the label: the scalars "
        "under information/ at every TensorBoard point, and information_bound in result.json.",
    )
    # ---------------------------------------------------------------- speed
    fused_batch_norm: bool = knob(
        True,
        SPEED,
        "Train with TensorFlow's fused batch-normalization kernel. Exported encoders "
        "carry Keras's own layer either way.",
    )
    product_gradients: bool = knob(
        True,
        SPEED,
        "On a processor, compute the weight gradients of convolutions with small "
        "outputs as matrix products. Exported encoders carry Keras's own layer either way.",
    )
    remat: bool = knob(
        False,
        SPEED,
        "Train with less memory: of the encoder keep only what its residual blocks "
        "begin with, and compute the inside of each again for the gradient, a third more work.",
    )
    compile_augmentation: bool = knob(
        True,
        SPEED,
        "Have XLA compile the augmentation; it then works through a batch in blocks "
        "that fit the processor's cache.",
    )
    augment_on: Literal["host", "device"] = knob(
        "host",
        SPEED,
        "Where what augmentation does to whole batches runs: beside the training, "
        "on the processor, or within the training step, on the GPU.",
    )
    steps_per_execution: int = knob(
        1,
        SPEED,
        "Training steps between two looks of Python, which shows progress, saves and "
        "stops: more of them for networks so small that the looks cost.",
        at_least(1),
    )
    blockwise_loss_from: int = knob(
        1024,
        SPEED,
        "SimCLR: from this --train_batch_size on, the loss is computed in blocks of "
        "the similarity matrix, whose memory does not grow with its square; 0: never.",
        NON_NEGATIVE,
    )
    # ---------------------------------------------------------------- devices
    distribute: Literal["auto", "none", "mirrored", "multi_worker", "tpu"] = knob(
        "auto",
        DEVICES,
        "Who computes a training. mirrored: all GPUs of this machine, each its "
        "part of the batch, together what one would compute. multi_worker: the processes that "
        "TF_CONFIG names, likewise, with a --model_dir that all of them share. auto: multi_worker "
        "where TF_CONFIG names several, mirrored where there are several GPUs, tpu with --use_tpu, "
        "else one device.",
    )
    replicas: int = knob(
        0,
        DEVICES,
        "GPUs that --distribute=mirrored uses; 0: all. Without a GPU, the processor "
        "acts as so many devices, to try it.",
        NON_NEGATIVE,
    )
    global_bn: bool = knob(
        True,
        DEVICES,
        "Batch normalization by the statistics of all replicas; otherwise each "
        "takes its own, and the first one's moving averages are kept.",
    )
    use_tpu: bool = knob(False, DEVICES, "google-research/simclr's spelling of --distribute=tpu.")
    tpu_name: Optional[str] = knob(
        None, DEVICES, "Name or address of the TPU; not given: the one of this machine."
    )
    # ---------------------------------------------------------------- compatibility
    tpu_zone: Optional[str] = knob(None, COMPAT, "Zone of the Cloud TPU; without one, ignored.")
    gcp_project: Optional[str] = knob(
        None, COMPAT, "Project of the Cloud TPU; without one, ignored."
    )
    master: Optional[str] = knob(
        None, COMPAT, "Address of the TPU, where --tpu_name is not given; without one, ignored."
    )
    keep_hub_module_max: int = knob(
        1, COMPAT, "Ignored: it concerns Hub exports only.", NON_NEGATIVE
    )
    eval_name: Optional[str] = knob(
        None, COMPAT, "Suffix of the TensorBoard folder of the evaluation.", SUFFIX
    )
    variable_schema: Optional[str] = knob(
        None,
        COMPAT,
        "Regular expression for the variables of --checkpoint that are loaded, by "
        "their names in google-research/simclr's tf1 code. What is loaded here is settled: the "
        "encoder, and the projector where --ft_proj_selector reads it; an expression that means "
        "this is accepted, another one refused.",
    )

    def __post_init__(self):
        fields = {field.name: field for field in dataclasses.fields(self)}
        for name in ("method", "mode", "train_mode"):  # defaults depend on them
            self._set(fields.pop(name), getattr(self, name))
        made_of_others = []
        for field in fields.values():
            value = getattr(self, field.name)
            if value is None:
                value = field.metadata["default"]
            while isinstance(value, (ByMethod, ByTask)):
                value = value.of(self)
            if callable(value):
                made_of_others.append((field, value))
            else:
                self._set(field, value)
        for field, value in made_of_others:
            self._set(field, value(self))
        self._check_together()

    def _set(self, field, value):
        value = check_type(field, value)
        check_range(field, value)
        object.__setattr__(self, field.name, value)

    def of_view(self, name, view):
        """An augmentation's setting for view 1 or 2."""
        own = getattr(self, f"view2_{name}", None) if view == 2 else None
        return getattr(self, name) if own is None else own

    def _check_together(self):
        self._check_paths()
        for view, prefix in ((1, ""), (2, "view2_")):
            for low, high in ORDERED:
                least, most = self.of_view(low, view), self.of_view(high, view)
                if least > most:
                    raise UsageError(
                        f"--{prefix}{low} must not exceed --{prefix}{high}. "
                        f"Received: {least} and {most}"
                    )
            hue = self.of_view("color_jitter_strength", view) * self.of_view("jitter_hue", view)
            if hue > 0.5:
                raise UsageError(
                    f"--{prefix}color_jitter_strength times --{prefix}jitter_hue must "
                    "be at most 0.5, half of the colour circle. "
                    f"Received: {hue:.4g}"
                )
        if self.train_batch_size % self.accumulate_steps:
            raise UsageError(
                "--accumulate_steps must divide --train_batch_size. Received: "
                f"{self.accumulate_steps} and {self.train_batch_size}"
            )
        if self.memory_size and self.method != "simclr":
            raise UsageError(
                "--memory_size concerns --method=simclr. Received: "
                f"{self.memory_size} with --method={self.method}"
            )
        if self.positives == "classes" and self.method not in ("npair", "triplet"):
            raise UsageError(
                "--positives=classes concerns --method=npair and --method=triplet. "
                f"Received: --method={self.method}"
            )
        if self.mode in TASKS and self.train_mode not in (None, self.mode):
            raise UsageError(
                f"--mode={self.mode} contradicts --train_mode={self.train_mode}; "
                "give one of them, or --mode=train_then_eval."
            )
        if self.probe_dataset and self.trains and self.task == "finetune":
            raise UsageError(NO_PROBE.format("finetuning", self.probe_dataset))
        if self.task == "finetune" and self.trains and self.checkpoint is None:
            raise UsageError(
                "--mode=finetune needs --checkpoint: the directory of a run, a "
                "checkpoint in it, an encoder.keras, or none to start from scratch."
            )
        if self.label_list and self.label_fraction < 1:
            raise UsageError(
                "--label_list says which labels there are; --label_fraction must not "
                f"be given with it. Received: {self.label_list} and "
                f"{self.label_fraction}"
            )
        if self.task == "distill" and self.trains:
            if self.teacher is None:
                raise UsageError(
                    "--mode=distill needs --teacher: the directory of a finetuned "
                    "run, or its classifier.keras."
                )
            if self.distill_alpha == 1 and (self.label_list or self.label_fraction < 1):
                raise UsageError(
                    "--label_fraction and --label_list say which labels are learned "
                    "from beside the teacher, which needs --distill_alpha below 1. "
                    "Received: 1.0"
                )
            self._refuse("distillation", "ft_proj_selector")
        elif self.trains:
            self._refuse(f"--mode={self.task}", "teacher", "distill_temperature", "distill_alpha")
        if self.trains and self.task == "pretrain":
            self._refuse(
                "--mode=pretrain",
                "checkpoint",
                "label_fraction",
                "label_list",
                "fine_tune_after_block",
                "ft_proj_selector",
                "zero_init_logits_layer",
            )
            if self.stem == "keep":
                raise UsageError(
                    "--stem=keep needs a --checkpoint; --mode=pretrain starts from scratch."
                )
        if self.variable_schema is not None and self.loads:
            check_schema(self.variable_schema, self.ft_proj_selector)

    def _check_paths(self):
        """Raises UsageError for an address such as gs://bucket where files of this machine are."""
        names = ["model_dir", "checkpoint", "teacher", "label_list", "output"]
        names += ["data_dir"] if self.dataset == "folder" else []
        names += ["probe_data_dir"] if self.probe_dataset == "folder" else []
        for name in names:
            value = getattr(self, name) or ""
            if re.match(r"[a-z][a-z0-9]*://", value, re.IGNORECASE):
                raise UsageError(
                    f"--{name} must be a path on this machine: copy what is at such "
                    "an address here (gcloud storage cp -r), or mount its bucket "
                    f"(gcsfuse). Received: {value}"
                )

    def _refuse(self, by, *names):
        """Raises UsageError where one of these knobs is not at its default."""
        for name in names:
            value = getattr(self, name)
            if value != type(self).__dataclass_fields__[name].default:
                concerns = (
                    "distillation" if name.startswith(("teacher", "distill")) else "finetuning"
                )
                raise UsageError(
                    f"--{name} concerns {concerns}; {by} does not take it. Received: {value}"
                )

    @property
    def task(self):
        """What is trained, one of TASKS."""
        return self.mode if self.mode in TASKS else self.train_mode or "pretrain"

    @property
    def trains(self):
        """Whether the encoder is."""
        return self.mode in (*TASKS, "train", "train_then_eval")

    @property
    def loads(self):
        """Whether a training starts from the weights in --checkpoint."""
        return self.trains and self.task != "pretrain" and self.checkpoint not in (None, "none")

    @property
    def evaluates(self):
        return self.mode != "train"

    @property
    def of_a_run(self):
        """Whether it works on the run in --model_dir, which says what the settings are."""
        return self.mode == "eval" or (not self.trains and self.checkpoint is None)

    @property
    def neighbours(self):
        """The numbers in --knn_k, as a tuple of integers."""
        return counts(self.knn_k)

    def replace(self, **changes):
        return dataclasses.replace(self, **changes)

    def to_dict(self):
        return dataclasses.asdict(self)


NO_PROBE = (
    "--probe_dataset concerns pretraining, distillation and their evaluation; {} evaluates "
    "on --dataset. Received: {}"
)
TASKS = ("pretrain", "finetune", "distill")
ORDERED = (
    ("crop_area_min", "crop_area_max"),
    ("crop_aspect_min", "crop_aspect_max"),
    ("blur_sigma_min", "blur_sigma_max"),
)

# The defaults of google-research/simclr tf2 (383d414) that differ from ours. They are taken for
# every flag that is not given on a command line that gives --train_mode, as only its users do.
GOOGLE_DEFAULTS = dict(
    mode="train",
    train_mode="pretrain",
    dataset="imagenet2012",
    resnet_depth=50,
    learning_rate=0.3,
    weight_decay=1e-6,
    temperature=0.1,
    color_jitter_strength=1.0,
    use_blur=True,
)

# Further ones, that differ from those of our finetuning.
GOOGLE_FINETUNE_DEFAULTS = dict(
    optimizer="lars", warmup_epochs=10.0, train_epochs=100.0, train_batch_size=512
)


# Those that are not taken, as our own defaults follow the dataset and the devices. For ImageNet
# the first two are what ours choose.
GOOGLE_DEFAULTS_LEFT = dict(image_size=224, eval_split="validation", use_tpu=True)

# What its tf1 code calls variables, of each kind that is loaded or left together.
GOOGLE_VARIABLES = {
    "the encoder": [
        f"base_model/{name}:0"
        for name in (
            "conv2d/kernel",
            "conv2d_52/kernel",
            "batch_normalization/gamma",
            "batch_normalization_52/beta",
            "batch_normalization_9/moving_mean",
            "batch_normalization_9/moving_variance",
        )
    ],
    "the projector": [
        f"head_contrastive/nl_{layer}/{name}:0"
        for layer in range(3)
        for name in ("dense/kernel", "batch_normalization/gamma", "batch_normalization/moving_mean")
    ],
    "the classifier": [
        f"head_supervised/linear_layer/dense/{name}:0" for name in ("kernel", "bias")
    ],
    "the optimizer's momentum": [
        f"{name}/Momentum:0"
        for name in (
            "base_model/conv2d/kernel",
            "base_model/batch_normalization_9/gamma",
            "head_supervised/linear_layer/dense/kernel",
        )
    ],
    "the step": ["global_step:0"],
}


def check_schema(schema, ft_proj_selector):
    """Raises UsageError for a --variable_schema that loads something else than we do."""
    try:
        matches = re.compile(schema).match  # from the start of the name, as tf.compat.v1 does
    except re.error as error:
        raise UsageError(
            f"--variable_schema must be a regular expression ({error}). Received: {schema}"
        ) from None
    for part, names in GOOGLE_VARIABLES.items():
        wanted = part == "the encoder" or (part == "the projector" and ft_proj_selector != 0)
        if part == "the projector" and not wanted:
            continue  # loaded or not, nothing reads it
        wrong = [name for name in names if bool(matches(name)) != wanted]
        if wrong:
            raise UsageError(
                f"--variable_schema must {'load' if wanted else 'leave out'} {part} "
                f"({wrong[0]}), which a training from --checkpoint "
                f"{'starts from' if wanted else 'makes anew'} here. Without this flag it does. "
                f"Received: {schema}"
            )


def google_defaults(train_mode):
    """The defaults of google-research/simclr for a --train_mode, where they are not ours."""
    if train_mode == "distill":
        return {}
    return GOOGLE_DEFAULTS | (GOOGLE_FINETUNE_DEFAULTS if train_mode == "finetune" else {})


# Knobs that say what a network is: a checkpoint brings its own. Of its stem, see the knob.
ARCHITECTURE = (
    "method",
    "resnet_depth",
    "width_multiplier",
    "sk_ratio",
    "se_ratio",
    "input_normalization",
    "proj_head_mode",
    "proj_out_dim",
    "proj_hidden_dim",
    "num_proj_layers",
    "proj_batch_norm",
)

# Knobs that do not change what is learned: a finished or interrupted run may be continued or
# evaluated with other values of these. model_dir is where the run is, not what it is.
FREE = frozenset(
    f.name
    for f in dataclasses.fields(Config)
    if f.metadata["group"] in (EVAL, LINEAR, EXPORT, LOG, DEVICES, COMPAT)
) - {"probe_dataset", "global_bn"} | {
    "mode",
    "train_mode",
    "model_dir",
    "data_dir",
    "eval_split",
    "cache_dataset",
    "max_shared_fraction",
}

# What a record that lacks one of these knobs means: it was written before there was one.
ABSENT = {
    "reading_rules": 1,
    "max_image_megapixels": 89.0,
    "folder_layout": "auto",
    "max_shared_fraction": 1.0,
    "value_range": "auto",
}

# The same of knobs that came later still, and what their defaults do: nothing new.
LATER = {"proj_batch_norm": True, "positives": "views"}


def kind(field):
    """The type of a knob as (python type, is it optional, choices or None)."""
    hint, optional = field.type, False
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        hint, optional = typing.get_args(hint)[0], True
    if typing.get_origin(hint) is Literal:
        choices = typing.get_args(hint)
        return type(choices[0]), optional, choices
    return hint, optional, None


def check_type(field, value):
    """The value, as its declared type; an integer serves as a float, several as a size or list.

    Raises:
        UsageError: any other type, or a value that is none of the choices.
    """
    of_type, optional, choices = kind(field)
    if value is None and optional:
        return None
    check = field.metadata["check"]
    if check in JOINED_BY:
        value = written(value, check)
    if choices is not None:
        if not isinstance(value, of_type) or value not in choices or isinstance(value, bool):
            raise UsageError(
                f"--{field.name} must be one of {', '.join(map(str, choices))}. "
                f"Received: {told(value)}"
            )
        return value
    if of_type is float and isinstance(value, int) and not isinstance(value, bool):
        beyond = math.inf if value > 0 else -math.inf
        value = float(value) if abs(value) < MOST_FLOAT else beyond
    if not isinstance(value, of_type) or (of_type is int and isinstance(value, bool)):
        expected = check[1] if check in JOINED_BY else f"of type {of_type.__name__}"
        given = repr(value) if isinstance(value, str) else told(value)
        raise UsageError(f"--{field.name} must be {expected}. Received: {given}")
    return value


def check_range(field, value):
    """Raises UsageError for a value that fails the knob's check, or that 32 bits do not hold."""
    check = field.metadata["check"]
    expected = check and value is not None and not check[0](value) and check[1]
    for wrong, limits in LIMITS.get(type(value), ()):
        expected = limits if wrong(value) else expected
    if expected:
        raise UsageError(f"--{field.name} must be {expected}. Received: {told(value)}")


# What no knob of a type takes, whatever its check: (is it so?, what was expected).
LIMITS = {
    int: [(lambda x: x > MOST_INTEGER, f"at most {MOST_INTEGER}")],
    float: [
        (
            lambda x: 0 < abs(x) < LEAST_FLOAT,
            f"0, or {LEAST_FLOAT:.3g} and more: what 32 bits hold",
        ),
        (
            lambda x: math.isfinite(x) and abs(x) > MOST_FLOAT,
            f"at most {MOST_FLOAT:.3g}: what 32 bits hold",
        ),
        (lambda x: not math.isfinite(x), "a finite number"),
    ],
    str: [(lambda x: bool(set(x) & set("\0\n\r")), "text of one line, without a NUL character")],
}


def differences(config, other, goes_on=False):
    """The knobs that two runs disagree on and that decide what is learned, in table order.

    Args:
        goes_on: whether one is to continue the other's training, in the order of its images.
    """
    free = FREE
    if goes_on:
        free -= {"cache_dataset"}  # images in memory are shuffled whole
        if config.dataset == "shapes":
            free -= {"eval_image_size"}  # which are drawn for the larger of both sizes
    return [
        f.name
        for f in dataclasses.fields(Config)
        if f.name not in free and getattr(config, f.name) != getattr(other, f.name)
    ]


def without_later(settings):
    """Settings but for knobs that came LATER and do what was done before: for names of old."""
    return {
        name: value for name, value in settings.items() if name not in LATER or value != LATER[name]
    }


def default_model_dir(config, data):
    """`runs/<what>-<dataset>-r<depth>-b<batch>-<digest>`: equal settings and data, equal name.

    Args:
        data: what the training images are, as JSON can hold it; None: as tfssl 0.1 named runs, by
            the settings that there were.
    """
    learned = without_later(
        {f.name: getattr(config, f.name) for f in dataclasses.fields(Config) if f.name not in FREE}
    )
    if data is None:
        learned = {name: value for name, value in learned.items() if name not in ABSENT}
    else:
        learned["data"] = json.dumps(data, sort_keys=True)
    digest = hashlib.sha256(repr(sorted(learned.items())).encode()).hexdigest()[:8]
    dataset = config.dataset.replace("/", "_").replace(":", "_")
    if not config.trains:
        return os.path.join("runs", f"{config.mode}-{dataset}-{digest}")
    task = config.method if config.task == "pretrain" else config.task
    return os.path.join(
        "runs", f"{task}-{dataset}-r{config.resnet_depth}-b{config.train_batch_size}-{digest}"
    )
