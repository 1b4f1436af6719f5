"""Refuses objectives whose gradient is 0 by construction, whatever the images are.

Settings that are merely unwise are accepted.
"""

from tfssl import encoders
from tfssl.config import MODES
from tfssl.errors import UsageError


def check(job):
    """Raises UsageError if the objective has no gradient."""
    config = job.config
    if MODES[config.task if config.trains else config.mode].classifies:
        check_classes(job)
    if config.trains:
        check_projections(config)
        check_positives(job)
        check_parts(job)


def check_projections(config):
    """Raises UsageError if normalized projections have one dimension, so that they are 1 or -1."""
    facts = config.facts
    if config.task != "pretrain" or not facts.normalizes(config.hidden_norm):
        return
    if config.proj_out_dim == 1 and config.proj_head_mode != "none":
        norm = "with --hidden_norm" if facts.normalized == "flag" else "which it normalizes"
        raise UsageError(
            f"--proj_out_dim must be at least 2 for --method={config.method}: "
            f"a projection of one number, {norm}, is 1 or -1 and has no gradient. "
            "Received: 1"
        )


def check_classes(job):
    """Raises UsageError if there is only one class."""
    source = job.labelled_source
    mode = job.config.task if job.config.trains else job.config.mode
    if source.num_classes == 1:
        raise UsageError(
            f"--train_split must have two classes or more for --mode={mode}: "
            "with one there is nothing to learn. Received: "
            f"{source.split} of {source.name}, with 1"
        )


def check_positives(job):
    """Raises UsageError if positives are defined by classes that the images do not have."""
    config, source = job.config, job.train_source
    if config.task != "pretrain" or not config.by_class:
        return
    labelled = source.num_labelled
    if source.num_classes < 2 or not labelled:
        flag = f"--method={config.method}" if config.facts.by_class else "--positives=classes"
        received = "no label" if source.num_classes else "no classes"
        raise UsageError(
            f"{flag} needs images of two classes or more in "
            f"--train_split. Received: {source.split} of {source.name}, with "
            f"{source.num_classes if labelled else received}"
        )


def check_parts(job):
    """Raises UsageError if batch normalization of single images removes all information."""
    config, images = job.config, images_at_once(job)
    why = images == 1 and effect_of_normalization(job)
    if why:
        flags = "--train_batch_size / --accumulate_steps" + (
            "" if config.global_bn else " / replicas without --global_bn"
        )
        raise UsageError(
            f"{flags} must be at least 2, or batch normalization sees one image at a "
            f"time: {why}. Received: {config.train_batch_size} / "
            f"{config.accumulate_steps}"
        )


def images_at_once(job):
    """Number of images that batch normalization computes its statistics from."""
    config = job.config
    apart = 1 if config.global_bn else job.distribution.replicas
    return config.train_batch_size // config.accumulate_steps // apart


def effect_of_normalization(job):
    """How batch normalization of a single image removes all information; "" if it does not."""
    config = job.config
    ours = config.encoder == "resnet"
    point = ours and max(job.size) <= encoders.output_stride(job.stem)
    constant = "every image gets the same values"
    if config.task != "pretrain":
        selected = config.ft_proj_selector and normalizes(config)
        return constant if selected or (point and config.fine_tune_after_block < 4) else ""
    if config.facts.passes == "together" and normalizes(config):
        return "its two views get opposite projections, whatever it shows"
    apart = config.facts.passes == "apart"
    return constant if apart and (point or normalizes(config)) else ""


def normalizes(config):
    """Whether the projector has batch normalization."""
    if not config.proj_batch_norm or config.facts.projector is None:
        return False
    if config.facts.projector in ("byol", "mlp", "gelu"):
        return config.proj_head_mode == "nonlinear" and config.num_proj_layers > 1
    return config.proj_head_mode != "none"
