"""The results of a run: result.json, and accuracies in TensorBoard."""

import contextlib
import os

from tfssl import data, evaluation, files
from tfssl.callbacks.board import Board
from tfssl.errors import UsageError
from tfssl.runner import device, evaluate, page
from tfssl.storage import rundir
from tfssl.storage.checkpoint import Checkpoints
from tfssl.storage.export import FILE


def result_of_run(job, model, step, scores):
    """The entries that every result.json has.

    Args:
        job: the `Job`.
        model: a `tfssl.methods.Learner`.
        step: integer, its step.
        scores: dict with top_1 and top_5 for the keys of google-research/simclr, or {}.
    """
    return {
        "model_dir": job.config.model_dir,
        "global_step": step,
        "eval/label_top_1_accuracy": scores.get("top_1"),
        "eval/label_top_5_accuracy": scores.get("top_5"),
        "eval/regularization_loss": float(model.weight_decay_loss()),
        "dataset": job.train_source.name,
        "train_split": job.train_source.split,
        "data": job.data["train"],
        "eval_dataset": job.eval_source.name,
        "eval_split": job.eval_source.split,
        "parameters": parameters(model),
        "precision": job.precision,
        "deterministic": job.config.deterministic,
        "replicas": job.distribution.replicas,
        "workers": job.distribution.workers,
        **evaluate.patches_of(job.config),
        **(rundir.read_json(job.config.model_dir, rundir.TIME) or {}),
        **device.describe(),
    }


def settings_of(job, *knobs):
    """The settings that the accuracies of given weights depend on, JSON-serializable.

    Args:
        job: the `Job`.
        *knobs: names of the settings of the protocols.
    """
    config, fitted, scored = job.config, job.labelled_source, job.eval_source
    return {
        "dataset": scored.name,
        "fitted_to": fitted.split,
        "split": scored.split,
        "size": list(job.eval_size),
        "images": evaluate.count(config, scored),
        "data": [data.digest(fitted.identity), data.digest(scored.identity)],
        **{name: getattr(config, name) for name in knobs},
    }


def equal(settings, recorded):
    """Whether recorded settings equal these; entries that tfssl 0.1 did not record are ignored."""
    return recorded is not None and recorded == {
        name: value for name, value in settings.items() if name in recorded
    }


def at_end(job, step):
    """Whether a training ends at a step."""
    return step == job.total_steps


def finished(job, show, settings, restored, over=at_end):
    """Shows and returns the result of a finished run; None: there is work left.

    Args:
        job: the `Job`.
        show: function (result, model_dir) that prints a result.
        settings: function (Job) -> the settings that the result depends on.
        restored: function (Job) -> (model, ..., step) of its newest checkpoint, for report.html if
            that was not written, as when the process was killed before.
        over: function (Job, step) -> whether its training is over at a step.
    """
    model_dir = job.config.model_dir
    result = rundir.read_json(model_dir, "result.json") if job.evaluates else None
    if not result or not over(job, result["global_step"]):
        return None
    wanted, there = settings(job), result.get("evaluated", {})
    if not equal(wanted, there):
        differing = [name for name in wanted if wanted[name] != there.get(name)]
        print(
            f"{model_dir}: finished, and evaluated again, as other settings are given: "
            f"{', '.join(differing)}"
        )
        return None
    print(f"{model_dir}: finished; nothing left to do (--mode=eval evaluates it again)")
    if not os.path.exists(os.path.join(model_dir, FILE)) and Checkpoints(model_dir).steps():
        print(f"{FILE} is gone: --mode=export --model_dir={model_dir} makes it again")
    show(result, model_dir)
    if page.is_missing(job):
        with contextlib.suppress(UsageError):  # its checkpoints are gone
            model, *_, step = restored(job)
            page.write_page(job, model.encoder, step)
    return result


def parameters(model):
    """{part: number of parameters} of the trained parts."""
    return {name: part.count_params() for name, part in model.parts.items()}


def write_result(job, result, protocols):
    """Writes TensorBoard scalars, result_<step>.json and result.json.

    Args:
        job: the `Job`.
        result: content of the files; its keys that begin with eval/ also become scalars.
        protocols: {protocol: {"top_1", "top_5", ...}}, which become scalars too, except top-5 with
            5 classes or fewer.
    """
    config, step = job.config, result["global_step"]
    scalars = {key: value for key, value in result.items() if key.startswith("eval/")}
    for protocol, scores in protocols.items():
        scalars |= top_scalars(protocol, scores)
        if 5 not in evaluation.telling(scores.get("classes")):
            scalars.pop("eval/label_top_5_accuracy", None)
        scalars[f"eval/{protocol}_information_bound"] = scores.get("information_bound")
    folder = f"eval_{config.eval_name}" if config.eval_name else "eval"
    writer = Board(os.path.join(config.model_dir, folder))
    writer.scalars(step, {key: value for key, value in scalars.items() if value is not None})
    writer.close()
    files.write_json(config.model_dir, f"result_{step}.json", result)
    there = (rundir.read_json(config.model_dir, "result.json") or {}).get("global_step", 0)
    if there > step:
        print(f"result.json stays that of step {there}: this one is result_{step}.json")
        return
    files.write_json(config.model_dir, "result.json", result)  # last, as it marks a finished run


def top_scalars(protocol, scores):
    """{tag: value} of the informative accuracies of a protocol."""
    return {
        f"eval/{protocol}_top_{k}_accuracy": scores[f"top_{k}"]
        for k in evaluation.telling(scores.get("classes"))
    }
