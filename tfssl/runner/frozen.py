"""Frozen encoders: finding them, and `--mode=knn`.

The encoder is that of --checkpoint, for any dataset and resolution, or that of the run in
--model_dir, for the dataset of the run.
"""

from tfssl import compat, files, layers
from tfssl.config import NO_PROBE
from tfssl.errors import UsageError
from tfssl.runner import cost, device, evaluate, finetune, pretrain
from tfssl.runner.job import plan, reopen, scaled_as
from tfssl.storage import pretrained, rundir


def encoder(config, given):
    """Loads the frozen encoder.

    Args:
        config: a `tfssl.Config` whose model_dir is set.
        given: names of the flags that the user gave.

    Returns:
        (Job, encoder, description of its weights with "path" and "step").

    Raises:
        UsageError: there is no encoder, or a flag contradicts it.
    """
    if config.of_a_run:
        job = reopen(config, given)
        restored = (pretrain if job.config.task == "pretrain" else finetune).restored
        model, *_, step = restored(job)
        return job, model.encoder, {**job.about, "path": config.model_dir, "step": step}
    if config.probe_dataset:
        raise UsageError(
            NO_PROBE.format(f"--mode={config.mode} --checkpoint", config.probe_dataset)
        )
    if config.checkpoint == pretrained.SCRATCH:
        raise UsageError(
            f"--mode={config.mode} needs the weights of a --checkpoint. Received: none"
        )
    found = pretrained.find(config.checkpoint, pretrained.given_range(config, given))
    config, ranges = scaled_as(config, given, found.about)
    job = plan(pretrained.adopt(config, given, found.about, config.checkpoint), ranges=ranges)
    if job.stem != found.about["stem"]:
        raise UsageError(
            f"--stem={job.stem} contradicts --checkpoint={config.checkpoint}, whose "
            f"network has --stem={found.about['stem']}: a frozen encoder keeps its "
            "stem."
        )
    with compat.dtype_policy(job.precision):
        network = pretrained.load(found, job.config, layers.FusedBatchNormalization)
    return job, network, found.origin


def nearest_neighbours(config, given):
    """Evaluates a frozen encoder by kNN and writes knn.json.

    Args, Raises: see `encoder`.

    Returns:
        The content of knn.json.
    """
    job, network, origin = encoder(config, given)
    if not job.config.neighbours:
        raise UsageError("--knn_k must name at least one number of neighbours for --mode=knn.")
    dim = network.output_shape[-1]
    source = job.labelled_source
    rundir.make(config.model_dir)
    print(f"kNN with {pretrained.described(origin)}")
    encode = evaluate.encoder_function(job.config, network, job.eval_size)
    asked = job.config.replace(linear_probe=False, protocols=None)
    cost.announce(
        "knn", cost.of_evaluation(asked, encode, dim, source, job.eval_source, job.eval_size)
    )
    results = evaluate.evaluate(asked, encode, source, job.eval_source, job.eval_size, "knn")
    result = {**record(job, origin), "results": results}
    files.write_json(config.model_dir, "knn.json", result)
    print_result(result, f"{config.model_dir}/knn.json")
    return result


def record(job, origin):
    """The entries that the results of frozen encoders share."""
    source = job.labelled_source
    return {
        "model_dir": job.config.model_dir,
        "dataset": source.name,
        "train_split": source.split,
        "labels": source.num_labelled,
        "class_names": list(source.classes),
        "eval_split": job.eval_source.split,
        "image_size": list(job.eval_size),
        "precision": job.precision,
        "encoder": origin,
        **evaluate.patches_of(job.config),
        **device.describe(),
    }


def print_result(result, file):
    count = max((scores["examples"] for scores in result["results"].values()), default=0)
    print(
        f"\n{evaluate.table({'frozen encoder': result['results']})}\n\n"
        f"{result['dataset']} {result['eval_split']}, {count:,} images, {result['labels']:,} "
        f"labels; {file}",
        flush=True,
    )
