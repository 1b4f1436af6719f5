"""What command lines of google-research/simclr (tf2, 383d414) mean here."""

import re

from tfssl.errors import UsageError

METHOD = "simclr"  # the one that its runner has

# Its defaults that differ from ours. They are taken for
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


def google_defaults(train_mode, method=METHOD):
    """Its defaults for a --train_mode and a --method, where they are not ours."""
    if train_mode == "distill" or method != METHOD:
        return {}
    return GOOGLE_DEFAULTS | (GOOGLE_FINETUNE_DEFAULTS if train_mode == "finetune" else {})


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
