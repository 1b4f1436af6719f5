"""Checks of settings before TensorFlow is loaded: types, ranges, contradictions."""

import math
import os
import re

from tfssl.config import forms
from tfssl.config.defaults import default_of
from tfssl.config.google import check_schema
from tfssl.config.method import LOCAL
from tfssl.config.methods import METHODS
from tfssl.config.modes import MODES, SERVING, TASKS
from tfssl.config.schema import MORE_VIEW, VIEW, VIEW2, kind
from tfssl.config.values import JOINED_BY, LIMITS, MOST_FLOAT, sides, written
from tfssl.domains import DOMAINS
from tfssl.errors import UsageError, told

NO_PROBE = (
    "--probe_dataset concerns pretraining, distillation and their evaluation; {} evaluates "
    "on --dataset. Received: {}"
)
ORDERED = (
    ("crop_area_min", "crop_area_max"),
    ("crop_aspect_min", "crop_aspect_max"),
    ("blur_sigma_min", "blur_sigma_max"),
    ("gamma_min", "gamma_max"),
    ("erase_area_min", "erase_area_max"),
)
VIEWS = (VIEW, VIEW2, MORE_VIEW)  # groups of knobs
STORED = (forms.FOLDER, *forms.FORMS)
LOCAL_FORMS = {*STORED} - {"tfrecord"}  # read from this machine alone
PATHS = ("model_dir", "checkpoint", "teacher", "label_list", "output")


def check_type(field, value):
    """Converts a value to the type of its setting.

    Integers are accepted as floats, and tuples or lists of integers as sizes or lists.

    Raises:
        UsageError: another type, or not one of the choices.
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
    """Raises UsageError if a value fails the check of its setting, or does not fit in 32 bits."""
    check = field.metadata["check"]
    expected = check and value is not None and not check[0](value) and check[1]
    for wrong, limits in LIMITS.get(type(value), ()):
        expected = limits if wrong(value) else expected
    if expected:
        raise UsageError(f"--{field.name} must be {expected}. Received: {told(value)}")


def check_together(config):
    """Raises UsageError for the first contradiction between settings."""
    for check in (
        check_paths,
        check_views,
        check_batch,
        check_decay,
        check_method,
        check_mode,
        check_task,
        check_weights,
    ):
        check(config)


def check_paths(config):
    """Raises UsageError for an address such as gs://bucket in place of a local path."""
    names = [*PATHS]
    names += ["data_dir"] if config.dataset in LOCAL_FORMS else []
    names += ["probe_data_dir"] if config.probe_dataset in LOCAL_FORMS else []
    for name in names:
        value = getattr(config, name) or ""
        if re.match(r"[a-z][a-z0-9]*://", value, re.IGNORECASE):
            raise UsageError(
                f"--{name} must be a path on this machine: copy the files "
                "here (gcloud storage cp -r), or mount the bucket "
                f"(gcsfuse). Received: {value}"
            )
    if config.trains and config.dataset == forms.FOLDER and config.data_dir and config.model_dir:
        check_outside(config.model_dir, config.data_dir)


def check_outside(model_dir, folder):
    """Raises UsageError if pictures of a run would be among the images that it learns from."""
    run, images = map(os.path.abspath, (model_dir, folder))
    if os.path.commonpath((run, images)) == images:
        raise UsageError(
            "--model_dir must be outside of the folder of the images, which would contain the "
            "pictures of the run too: --model_dir=../runs/NAME, for example. "
            f"Received: {told(model_dir)} in {told(folder)}"
        )


def check_views(config):
    if config.own_views:
        check_own_views(config)
    for view, prefix in ((1, ""), (2, "view2_")):
        for low, high in ORDERED:
            least, most = config.of_view(low, view), config.of_view(high, view)
            if least > most:
                raise UsageError(
                    f"--{prefix}{low} must not exceed --{prefix}{high}. "
                    f"Received: {least} and {most}"
                )
        if config.local_crop_area_min > config.local_crop_area_max:
            raise UsageError(
                "--local_crop_area_min must not exceed --local_crop_area_max. "
                f"Received: {config.local_crop_area_min} and {config.local_crop_area_max}"
            )
        hue = config.of_view("color_jitter_strength", view) * config.of_view("jitter_hue", view)
        if hue > 0.5:
            raise UsageError(
                f"--{prefix}color_jitter_strength times --{prefix}jitter_hue must "
                "be at most 0.5, half of the colour circle. "
                f"Received: {hue:.4g}"
            )


def check_own_views(config):
    """Raises UsageError if flags of augmentation are given together with views of the user's."""
    fields = type(config).__dataclass_fields__
    useless = [
        name
        for name, field in fields.items()
        if field.metadata["group"] in VIEWS
        and name != "views"
        and getattr(config, name) != default_of(field, config)
    ]
    if useless:
        why = "" if ".py:" in config.views else f" as it is none of {', '.join(DOMAINS)}"
        raise UsageError(
            f"--{useless[0]} has no effect with --views={config.views}, which defines the views"
            f"{why}."
        )


def check_batch(config):
    if config.train_batch_size % config.accumulate_steps:
        raise UsageError(
            "--accumulate_steps must divide --train_batch_size. Received: "
            f"{config.accumulate_steps} and {config.train_batch_size}"
        )


def check_decay(config):
    """Raises UsageError for a schedule of the weight decay that has no ratio."""
    if config.weight_decay_end and not config.weight_decay:
        raise UsageError(
            "--weight_decay_end needs a --weight_decay above 0, from which it goes. Received: "
            f"{config.weight_decay_end:g} and {config.weight_decay:g}"
        )


def check_method(config):
    takes = config.facts.takes
    if config.memory_size and "memory_size" not in takes:
        raise UsageError(
            f"--memory_size concerns {methods_with('memory_size')}. Received: "
            f"{config.memory_size} with --method={config.method}"
        )
    if config.facts.transformer and config.encoder == "resnet" and config.task == "pretrain":
        raise UsageError(
            f"--method={config.method} needs a Vision Transformer, such as --encoder=vit_tiny. "
            f"Received: --encoder={config.encoder}"
        )
    check_number_of_views(config)
    if config.positives == "classes" and "positives" not in takes:
        raise UsageError(
            f"--positives=classes concerns {methods_with('positives')}. "
            f"Received: --method={config.method}"
        )


def check_number_of_views(config):
    """Raises UsageError if the method does not take that many views, or no smaller ones.

    Only for its own training: other modes take the encoder of any method with settings of another.
    """
    if not (config.trains and config.task == "pretrain"):
        return
    takes, views = config.facts.num_views, config.num_views
    if takes is not None and views != takes or takes is None and views < 2:
        expected = "at least 2" if takes is None else takes
        raise UsageError(
            f"--num_views must be {expected} for --method={config.method}. Received: {views}"
        )
    if config.local_views and not config.facts.multi_crop:
        raise UsageError(
            f"--local_views concerns {named(of=lambda facts: facts.multi_crop)}. "
            f"Received: {config.local_views} with --method={config.method}"
        )
    for name in LOCAL if not config.local_views else ():
        field = type(config).__dataclass_fields__[name]
        if getattr(config, name) != default_of(field, config) and name != "local_views":
            raise UsageError(
                f"--{name} has no effect without --local_views. Received: {getattr(config, name)}"
            )
    if config.local_views and config.image_size and config.local_size:
        check_local_size(config)
    if config.pred_hidden_dim and not config.facts.predictor:
        raise UsageError(
            f"--pred_hidden_dim concerns {named(of=lambda facts: facts.predictor)}. "
            f"Received: {config.pred_hidden_dim} with --method={config.method}"
        )


def check_local_size(config):
    """Raises UsageError if the smaller views are larger."""
    pairs = zip(sides(config.local_size), sides(config.image_size))
    if any(local > large for local, large in pairs):
        raise UsageError(
            "--local_size must not exceed --image_size. "
            f"Received: {config.local_size} and {config.image_size}"
        )


def methods_with(name):
    """The methods that accept a setting, for messages."""
    return named(of=lambda facts: name in facts.takes)


def named(of):
    """The methods whose `Method` fulfils a condition, for messages."""
    *some, last = (f"--method={name}" for name, facts in METHODS.items() if of(facts))
    return " and ".join(filter(None, (", ".join(some), last)))


def check_mode(config):
    if config.mode in TASKS and config.train_mode not in (None, config.mode):
        raise UsageError(
            f"--mode={config.mode} contradicts --train_mode={config.train_mode}; "
            "give one of them, or --mode=train_then_eval."
        )
    if config.dry_run and not config.trains:
        raise UsageError(f"--dry_run is for trainings. Received: --mode={config.mode}")
    if config.mode in SERVING and config.data_service is None:
        raise UsageError(f"--mode={config.mode} needs --data_service=HOST:PORT, of the dispatcher.")
    for other, mode in MODES.items():
        for name in mode.own if other != config.mode else ():
            value = getattr(config, name)
            if value != default_of(type(config).__dataclass_fields__[name], config):
                raise UsageError(
                    f"--{name} is for --mode={other}. Received: {value} with --mode={config.mode}"
                )


def check_task(config):
    if config.trains and config.task == "finetune":
        check_finetuning(config)
    if config.label_list and config.label_fraction < 1:
        raise UsageError(
            "--label_list selects the labels; --label_fraction must not "
            f"be given with it. Received: {config.label_list} and "
            f"{config.label_fraction}"
        )
    if config.trains and config.task == "distill":
        check_distillation(config)
    elif config.trains:
        refuse(config, f"--mode={config.task}", "teacher", "distill_temperature", "distill_alpha")
    if config.trains and config.task != "pretrain" and config.own_views:
        raise UsageError(
            "--views must be one of "
            f"{', '.join(DOMAINS)} with --mode={config.task}: views of your own are for "
            f"pretraining. Received: {config.views}"
        )
    if config.mode == "plan" or config.trains and config.task == "pretrain":
        check_pretraining(config)
    if config.trains and config.stop_when:
        check_stop(config)


def check_finetuning(config):
    if config.probe_dataset:
        raise UsageError(NO_PROBE.format("finetuning", config.probe_dataset))
    if config.checkpoint is None:
        raise UsageError(
            "--mode=finetune needs --checkpoint: the directory of a run, a "
            "checkpoint in it, an encoder.keras, or none to start from scratch."
        )


def check_distillation(config):
    if config.teacher is None:
        raise UsageError(
            "--mode=distill needs --teacher: the directory of a finetuned "
            "run, or its classifier.keras."
        )
    if config.distill_alpha == 1 and (config.label_list or config.label_fraction < 1):
        raise UsageError(
            "--label_fraction and --label_list select labels to learn from "
            "besides the teacher, which needs --distill_alpha below 1. "
            "Received: 1.0"
        )
    refuse(config, "distillation", "ft_proj_selector", "layer_decay")


def check_pretraining(config):
    refuse(
        config,
        f"--mode={config.task if config.trains else config.mode}",
        "checkpoint",
        "label_fraction",
        "label_list",
        "fine_tune_after_block",
        "layer_decay",
        "ft_proj_selector",
        "zero_init_logits_layer",
    )
    if config.stem == "keep":
        raise UsageError("--stem=keep needs a --checkpoint; a pretraining starts from scratch.")


def check_stop(config):
    """The measures of a pretraining by which it is stopped are there."""
    why = None
    if config.task != "pretrain":
        why = f"is for --mode=pretrain, not for --mode={config.task}"
    elif not config.information_scalars:
        why = "follows from what --noinformation_scalars does not measure"
    elif not config.train_summary_steps:
        why = "follows from what --train_summary_steps=0 does not measure"
    elif config.distribute == "multi_worker":
        why = "is not for --distribute=multi_worker, whose workers would not stop together"
    if why:
        raise UsageError(f"--stop_when {why}. Received: {config.stop_when}")


def refuse(config, by, *names):
    """Raises UsageError if one of these settings differs from its default."""
    for name in names:
        value = getattr(config, name)
        if value != type(config).__dataclass_fields__[name].default:
            concerns = "distillation" if name.startswith(("teacher", "distill")) else "finetuning"
            raise UsageError(
                f"--{name} concerns {concerns}; {by} does not take it. Received: {value}"
            )


def check_weights(config):
    if config.variable_schema is not None and config.loads:
        check_schema(config.variable_schema, config.ft_proj_selector)
