"""Runs the mode of a Config."""

import contextlib
import dataclasses
import importlib
import importlib.util
import json
import math
import sys
from collections.abc import Callable, Iterable
from typing import Any

import tensorflow as tf

from tfssl.config import (
    ARCHITECTURE,
    COMPAT,
    GOOGLE_DEFAULTS_LEFT,
    MODES,
    Config,
    google_defaults,
    idle,
)
from tfssl.errors import UsageError
from tfssl.runner import build, plugins, sources, workers
from tfssl.runner.edge import naming_flags
from tfssl.runner.job import reopen
from tfssl.storage import rundir, runs
from tfssl.terminal import Warnings


@naming_flags()
def run(
    config: Config,
    given: Iterable[str] | None = None,
    flagfile: Callable[[Config, str], str] | None = None,
) -> dict[str, Any] | str | None:
    """Trains, evaluates or exports, as a command line with the same settings does.

    Args:
        config: a `tfssl.Config`.
        given: names of the settings that count as given; None: those given to the Config.
        flagfile: function (Config, header) -> text of the run's flagfile; None: `--name=value`
            lines.

    Returns:
        With an evaluation, a dict: the content of the run's result.json, or of the files that
        --mode=linear_eval and --mode=knn write instead, with "model_dir" as in this call. With
        --mode=export, embed and predict, the path that was written. Of a pretraining without
        evaluation, "global_step" and "verdict". Otherwise None: of other trainings without it, or
        on a worker that is not the chief.

    Raises:
        UsageError: the request is invalid; nothing has been written.
        TrainingError: training failed.
    """
    if not isinstance(config, Config):
        raise UsageError(f"`config` must be a tfssl.Config. Received: {type(config).__name__}")
    with printing(config):
        result = prepare_and_work(config, given, flagfile or plain_flagfile)
    if config.json:
        print(as_json(config.mode, result), flush=True)
    return result


@contextlib.contextmanager
def printing(config):
    """A context in which standard output is what --quiet and --json leave of it."""
    stream = sys.stdout
    if config.quiet:
        stream = Warnings(sys.stderr)
    elif config.json:
        stream = sys.stderr
    with contextlib.redirect_stdout(stream):
        yield


def as_json(mode, result):
    """The result of a mode on one line: a dict, the path that was written, or nothing.

    What is not finite is null, as JSON has no such numbers.
    """
    found = result if isinstance(result, dict) else {"output": result} if result else {}
    return json.dumps(finite({"mode": mode, **found}), allow_nan=False)


def finite(value):
    """A JSON-serializable value with None in place of numbers that are not finite."""
    if isinstance(value, dict):
        return {name: finite(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def prepare_and_work(config, given, flagfile):
    """Runs a request; returns as `run` does."""
    given = config.asked if given is None else set(given)
    for name, place in (("dataset", "data_dir"), ("probe_dataset", "probe_data_dir")):
        given |= config.asked & {place} if name in given else set()  # where it was a path
    if "encoder" in given:
        plugins.permit(config.encoder)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    distribution = workers.distribution(config)
    print_compatibility(config, given)
    mode = MODES[config.mode]
    if config.of_a_run and config.model_dir is None:
        checkpoint = "" if mode.needs_run else " or --checkpoint"
        raise UsageError(f"--mode={config.mode} needs --model_dir{checkpoint}: the run to use.")
    if mode.own_directory:
        config = named(config)
    result = work(config, given, flagfile, distribution)
    if not isinstance(result, dict):
        return result
    return {**result, **({"model_dir": config.model_dir} if config.model_dir else {})}


def work(config, given, flagfile, distribution):
    """Calls the function in MODES."""
    tracker = tracked(config)
    if config.trains and config.dry_run:
        return function("tfssl.runner.rehearsal:rehearse")(config, given, distribution)
    with tracker:
        if not config.trains:
            return function(MODES[config.mode].run)(config, given)
        with distribution.quiet(), locked_directory(config, distribution):
            return function(MODES[config.task].run)(config, given, flagfile, distribution)


def tracked(config):
    """A context in which scalars go to --logger too.

    Raises:
        UsageError: it is not installed.
    """
    if not config.logger:
        return contextlib.nullcontext()
    if importlib.util.find_spec(config.logger) is None:
        raise UsageError(
            f"--logger={config.logger} needs the {config.logger} extra: "
            f"pip install 'tfssl[{config.logger}]'"
        )
    from tfssl.callbacks.trackers import tracking

    return tracking([config.logger], config.model_dir, config.to_dict())


def function(path):
    """The function that "MODULE:FUNCTION" names."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def evaluate(config, given):
    """`--mode=eval`: evaluates the newest checkpoint of the run in --model_dir again."""
    job = reopen(config, given)
    return function(MODES[job.config.task].again)(job)


def locked_directory(config, distribution):
    """A context in which the chief has the lock of the directory of the run."""
    return rundir.lock(config.model_dir) if distribution.chief else contextlib.nullcontext()


def named(config):
    """Sets a missing --model_dir to the name derived from the settings and the images."""
    if config.model_dir:
        return config
    mode = MODES[config.mode]
    images = sources.identify(config, getattr(config, mode.split), mode.split)
    return config.replace(model_dir=runs.directory_of(config, images))


def print_compatibility(config, given):
    """Prints how the flags of google-research/simclr on a command line are interpreted."""
    theirs = google_defaults(config.train_mode, config.method)
    of_checkpoint = ARCHITECTURE if config.loads else ()
    taken = [
        name
        for name, value in theirs.items()
        if name not in given and name not in of_checkpoint and getattr(config, name) == value
    ]
    if "train_mode" in given and config.trains and taken:
        left = {k: v for k, v in GOOGLE_DEFAULTS_LEFT.items() if k not in given}
        print(
            "--train_mode is a flag of google-research/simclr; taken from its defaults: "
            + spelled({name: theirs[name] for name in taken})
            + (
                f"\nnot taken, as they depend on dataset and devices here: {spelled(left)}"
                if left
                else ""
            )
        )
    if "variable_schema" in given and config.loads:
        print(
            "--variable_schema selects what tfssl loads: "
            + ("the encoder and the projector" if config.ft_proj_selector else "the encoder")
        )
    ignored = without_effect(config, given)
    if ignored:
        named = (f"--{name}" + (f" (needs {of})" if of else "") for name, of in ignored.items())
        print("accepted and without effect here: " + ", ".join(named))


def spelled(settings):
    return " ".join(f"--{name}={value}" for name, value in settings.items())


def without_effect(config, given):
    """The given flags that have no effect, with what they need; "": nothing that can be given.

    Flags for compatibility, for a TPU, for another method, and those that others turn off.
    """
    on_tpu = config.trains and (
        config.distribute == "tpu" or config.use_tpu and config.distribute == "auto"
    )
    honoured = {"eval_name"} | ({"variable_schema"} if config.loads else set())
    honoured |= set(OF_A_TPU) if on_tpu else set()
    unused = build.unused(config.method) if config.trains and config.task == "pretrain" else ()
    usual, needs = Config(method=config.method), idle(config)
    return {
        f.name: needs.get(f.name, "")
        for f in dataclasses.fields(Config)
        if (f.metadata["group"] == COMPAT or f.name in (*OF_A_TPU, *unused, *needs))
        and f.name in given
        and f.name not in honoured
        and getattr(config, f.name) != getattr(usual, f.name)
    }


OF_A_TPU = ("use_tpu", "tpu_name", "tpu_zone", "gcp_project", "master")


def plain_flagfile(config, header):
    lines = [f"--{k}={v}" for k, v in config.to_dict().items() if v is not None]
    return "\n".join([f"# {header}", *lines, ""])


__all__ = ["run"]
