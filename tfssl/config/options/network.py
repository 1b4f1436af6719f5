"""Settings of the network and the method."""

from typing import Literal, Optional

from tfssl.config.defaults import by_length
from tfssl.config.methods import METHODS, STANDARD
from tfssl.config.schema import METHOD, NET, Schema, group, knob
from tfssl.config.values import (
    INPUT_RANGE,
    NON_NEGATIVE,
    NORMALIZATION,
    NOT_EMPTY,
    POSITIVE,
    PROBABILITY,
    SIZE,
    at_least,
    within,
)


@group
class NetworkOptions(Schema):
    """The encoder."""

    encoder: str = knob(
        "resnet",
        NET,
        "resnet, as the flags below describe it; vit_tiny, small or base; "
        "convnext_atto, femto, pico, nano or tiny; "
        "keras.applications.NAME, with random weights; "
        "keras_hub:CLASS; FILE.py:FUNCTION, which is run for a layer; FILE.keras, "
        "with its weights; or a name of a plug-in. Arguments may follow: NAME(a=1).",
        NOT_EMPTY,
        common=True,
    )
    encoder_size: Optional[str] = knob(
        None,
        NET,
        "Fixed input size of another --encoder: side in pixels, or HEIGHTxWIDTH. "
        "Not given: any size, which not every encoder supports.",
        SIZE,
    )
    input_range: str = knob(
        "auto",
        NET,
        "Pixel values that another --encoder expects: 0,1 or 0,255 or -1,1 or LOW,HIGH; imagenet: "
        "with its means and deviations of the channels taken away. auto: determined from the "
        "Rescaling and Normalization layers that it begins with; otherwise 0,1.",
        INPUT_RANGE,
    )
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
        "with stride 2. keep: that of --checkpoint; with another stem, only these layers get new "
        "weights. auto: keep if there is a checkpoint, otherwise cifar up to 64 px.",
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
    input_normalization: str = knob(
        "none",
        NET,
        "Normalization of images in [0, 1]: none, or subtract a mean from each channel and divide "
        "it by a standard deviation: imagenet, those of ImageNet (by default, of images of other "
        "than 3 channels their own); dataset, those of the training images, which are recorded; "
        "or numbers, M,M,M/S,S,S. It is a layer of the encoder, saved with it.",
        NORMALIZATION,
    )


@group
class MethodOptions(Schema):
    """The self-supervised method and its heads."""

    method: str = knob(
        STANDARD,
        METHOD,
        "Self-supervised method. Defaults of other flags depend on it: --method=NAME --help lists "
        f"those of a method next to those of {STANDARD}, and its own options.",
        common=True,
        choices=METHODS,
    )
    temperature: float = knob(
        0.25,
        METHOD,
        "Temperature of contrastive losses, swav and dino. Table 4 has that of NT-Xent.",
        POSITIVE,
        common=True,
    )
    hidden_norm: bool = knob(True, METHOD, "L2-normalize projections before comparing them.")
    proj_head_mode: Literal["none", "linear", "nonlinear"] = knob(
        "nonlinear",
        METHOD,
        "Projector (and BYOL's predictor): none, one dense layer, or an MLP.",
    )
    proj_out_dim: int = knob(128, METHOD, "Dimension of the projection z.", at_least(1))
    proj_hidden_dim: Optional[int] = knob(
        None,
        METHOD,
        "Width of the hidden layers of the projector (and predictor). Not given: the width of h.",
        at_least(1),
    )
    num_proj_layers: int = knob(
        3,
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
    pred_hidden_dim: Optional[int] = knob(
        None,
        METHOD,
        "Width of the hidden layer of the predictor of simsiam, fastsiam, mocov3 and nnclr. Not "
        "given: --proj_hidden_dim.",
        at_least(1),
    )
    positives: Literal["views", "classes"] = knob(
        "views",
        METHOD,
        "npair and triplet: the positives of an image. views: its other view; negatives are "
        "views of all other images. classes: a view of another image of its class, which needs "
        "labels; negatives are of other classes. An image without a label, or alone in its class, "
        "has its other view as positive.",
    )
    memory_size: int = knob(
        0,
        METHOD,
        "Number of queued projections of earlier batches. simclr: every image is also contrasted "
        "with them, made by a moving-average copy of the network (SimCLRv2's memory). mocov2: the "
        "negatives. nnclr: the support set. swav: they take part in the assignment. 0: none.",
        NON_NEGATIVE,
    )
    memory_decay: float = knob(
        0.999,
        METHOD,
        "simclr, mocov2, with --memory_size: decay of that copy's moving average.",
        PROBABILITY,
    )
    triplet_margin: float = knob(
        0.8,
        METHOD,
        "triplet: margin between the squared distances to positive and negative; with "
        "--hidden_norm, distances are from 0 to 4.",
        NON_NEGATIVE,
    )
    cpc_patch: Optional[int] = knob(
        None,
        METHOD,
        "cpc: side of the patches in pixels. Not given: a quarter of the shorter "
        "side of the views, but at least 16; below 32 px, half of the side.",
        at_least(2),
    )
    cpc_stride: Optional[int] = knob(
        None,
        METHOD,
        "cpc: pixels from one patch to the next. Not given: half of a patch.",
        at_least(1),
    )
    base_target_decay: float = knob(
        0.99,
        METHOD,
        "byol, mocov3, dino: decay of the target network at the start; it rises to 1 along a "
        "cosine." + by_length("base_target_decay"),
        PROBABILITY,
    )
    plugin: Optional[str] = knob(
        None,
        METHOD,
        "Python files, separated by commas, that register methods and others (tfssl.register). "
        "They are run: name only files that you trust. A run of such a method always needs them.",
        NOT_EMPTY,
    )
    method_options: Optional[str] = knob(
        None,
        METHOD,
        "NAME=VALUE,...: options of the method. Each is also a flag, which --method=NAME --help "
        "lists.",
        NOT_EMPTY,
    )
    lineareval_while_pretraining: bool = knob(
        True,
        METHOD,
        "Train a linear classifier during pretraining, on the representation with "
        "the gradient stopped (most of the thesis's accuracies are of this head).",
    )
