"""`--dry_run`: what a training would do, how long and with how much memory; nothing is written."""

import dataclasses
import os
import resource

import numpy as np
import tensorflow as tf

from tfssl import compat, data, memory
from tfssl.errors import UsageError
from tfssl.runner import cost, distill, evaluate, finetune, pretrain, recipes, timing
from tfssl.storage import runs


def rehearse(config, given, distribution):
    """Prints the plan of a training, makes a few of its steps, and estimates time and memory.

    Args:
        config: a `tfssl.Config` whose model_dir is set.
        given: names of the flags that the user gave.
        distribution: the `Distribution` that would train.

    Returns:
        {"steps": that are left, "step_seconds": of each, "graph_seconds": before the first one}.

    Raises:
        UsageError: the request is invalid; or there are several workers.
    """
    if distribution.workers > 1:
        raise UsageError(
            "--dry_run is for a single process: leave TF_CONFIG out, or give --distribute=none. "
            f"Received: {distribution.workers} workers"
        )
    prepare = of_pretraining if config.task == "pretrain" else of_finetuning
    job, model, views, start = prepare(config, given, distribution)
    left = job.total_steps - start
    lines, found = {"images": images(job)}, {"steps": left}
    if left:
        watch = timing.steps(*teachable(job, model), views)
        lines["training"] = (
            f"{left:,} step{'s' if left > 1 else ''}, {timing.milliseconds(watch.seconds)} each: "
            f"about {cost.duration(watch.building + left * watch.seconds)}, with "
            f"{cost.duration(watch.building)} for its graph"
        )
        found |= {"step_seconds": watch.seconds, "graph_seconds": watch.building}
    lines["evaluation"] = evaluation(job, model)
    lines["memory"] = used_memory()
    lines["directory"] = directory(job.config.model_dir)
    print("\ndry run: nothing has been written")
    for name, text in lines.items():
        print(f"  {name:11} {text}", flush=True)
    return found


def of_pretraining(config, given, distribution):
    """The `Job`, the model, the views and the first step of a pretraining; prints its plan."""
    job = pretrain.prepared(config, given, distribution)
    model = pretrain.build_model(job)
    start = newest(pretrain.checkpoints_of(job, model))
    pretrain.announce(job, model, start)
    return job, model, recipes.trained(job.config, job.size), start


def of_finetuning(config, given, distribution):
    """The same of a finetuning or a distillation."""
    job, found, origin = finetune.prepared(config, given, distribution)
    teacher = distill.teacher_of(job) if config.task == "distill" else None
    model = finetune.build_model(job, found, teacher and teacher.record["classes"])
    start = newest(finetune.checkpoints_of(job))
    if teacher:
        print(teacher.described)
    finetune.announce(job, model, origin, start)
    return job, model, [finetune.view_recipe(job)], start


def newest(checkpoints):
    """The step of the newest checkpoint of a run; 0 without any."""
    return max(checkpoints.steps(), default=0)


def teachable(job, model):
    """The `Job` and the model; a student with a teacher that answers 0 for every image."""
    if job.config.task != "distill":
        return job, model
    count, classes = job.train_source.num_examples, model.head.output_shape[-1]
    model.teach(np.zeros((count, classes), np.float32), np.full(count, -1))
    return dataclasses.replace(job, train_source=data.numbered(job.train_source)), model


def images(job):
    """The numbers of images, as text."""
    source = job.train_source
    counts = [f"{source.num_examples:,} of {source.channels} channels to learn from"]
    if job.labelled_source is not source:
        counts.append(f"{job.labelled_source.num_examples:,} for classifiers")
    if job.evaluates:
        counts.append(f"{job.eval_source.num_examples:,} to evaluate with")
    return ", ".join(counts)


def evaluation(job, model):
    """The duration of the evaluations, as text."""
    if not job.evaluates:
        return "none"
    if job.config.task != "pretrain":
        classify = evaluate.batch_function(model, job.eval_size, job.channels)
        return str(cost.of_encoding(job.config, classify, job.eval_source, job.eval_size))
    again = ", and the untrained network, if it is quick" * (job.config.eval_baseline is None)
    again += ", and as long for the untrained network" * (job.config.eval_baseline is True)
    return f"{timing.evaluation(job, model.encoder)}{again}"


def directory(path):
    """What is at the path of a run, as text."""
    if not os.path.exists(path):
        return f"{path}, which is new"
    return path if runs.recorded(path) else f"{path}, which exists and holds no run"


def used_memory():
    """The memory that was used at most, as text: of the GPU, or of this process."""
    if tf.config.list_physical_devices("GPU"):
        most = tf.config.experimental.get_memory_info("GPU:0")["peak"]
        return f"{memory.gib(most)} of {memory.gib(compat.gpu_memory())} of the GPU"
    most = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return f"{memory.gib(most)} of {memory.gib(memory.available())}"
