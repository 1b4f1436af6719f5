"""Compatibility with command lines of google-research/simclr (tf2, 383d414)."""

import re

from tfssl.errors import UsageError

METHOD = "simclr"  # the only one of its runner

# Its defaults that differ from ours. They apply to command lines with --train_mode, a flag that
# only its users give.
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

# Further ones, for finetuning.
GOOGLE_FINETUNE_DEFAULTS = dict(
    optimizer="lars", warmup_epochs=10.0, train_epochs=100.0, train_batch_size=512
)


# Its defaults that do not apply, as ours depend on the dataset and the devices. For ImageNet the
# first two equal ours.
GOOGLE_DEFAULTS_LEFT = dict(image_size=224, eval_split="validation", use_tpu=True)


def google_defaults(train_mode, method=METHOD):
    """Its defaults for a --train_mode and a --method, if they differ from ours."""
    if train_mode == "distill" or method != METHOD:
        return {}
    return GOOGLE_DEFAULTS | (GOOGLE_FINETUNE_DEFAULTS if train_mode == "finetune" else {})


# Names of variables in its tf1 code, grouped by what is loaded together.
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
    """Raises UsageError if a --variable_schema selects other variables than tfssl loads."""
    try:
        matches = re.compile(schema).match  # from the start of the name, as tf.compat.v1 does
    except re.error as error:
        raise UsageError(
            f"--variable_schema must be a regular expression ({error}). Received: {schema}"
        ) from None
    for part, names in GOOGLE_VARIABLES.items():
        wanted = part == "the encoder" or (part == "the projector" and ft_proj_selector != 0)
        if part == "the projector" and not wanted:
            continue  # not used, whether loaded or not
        wrong = [name for name in names if bool(matches(name)) != wanted]
        if wrong:
            raise UsageError(
                f"--variable_schema must {'load' if wanted else 'leave out'} {part} "
                f"({wrong[0]}), which a training from --checkpoint "
                f"{'starts from' if wanted else 'makes anew'} here. Without this flag it does. "
                f"Received: {schema}"
            )
