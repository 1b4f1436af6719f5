"""Pretraining and its evaluation: data + model + optimizer + callbacks -> fit."""

import functools
import os

from tfssl import compat, files, layers
from tfssl.callbacks.alarms import WarnOfCollapse
from tfssl.callbacks.pictures import save_views
from tfssl.callbacks.tensorboard import InformationScalars
from tfssl.errors import UsageError
from tfssl.methods import cpc
from tfssl.runner import build, cost, evaluate, loop, recipes
from tfssl.runner.job import (
    check_data,
    compile_model,
    follow,
    plan,
    training_batches,
    training_layers,
)
from tfssl.runner.results import (
    equal,
    finished,
    parameters,
    result_of_run,
    settings_of,
    write_result,
)
from tfssl.storage import rundir, runs
from tfssl.storage.checkpoint import Checkpoints
from tfssl.storage.export import export_encoder
from tfssl.storage.networks import build_encoder

MOST_ROWS = 32  # of CPC's patches: every pair of them is a loss of its own in the graph
WATCHED = 256  # images of a batch that the scalars under information/ are made of, at most


def build_model(job):
    """The method's model with its optimizer, compiled, every variable made."""
    config = job.config
    if config.facts.crops_only:
        check_patches(job)
    normalization, classes = training_layers(job)
    with job.distribution.scope(), compat.dtype_policy(job.precision):
        kit = build.Kit(
            encoder=lambda seed, name: build_encoder(
                config, job.stem, normalization, seed, name, **classes
            ),
            probe=functools.partial(build_probe, job),
            normalization=normalization,
            total_steps=job.total_steps,
            size=job.size,
            pixels=tuple(view.pixels for view in recipes.views(config, job.size)),
        )
        model = compile_model(job, build.method(config, kit), recipes.trained(config, job.size))
        if config.information_scalars and config.train_summary_steps:
            parts = config.accumulate_steps * job.distribution.replicas
            if "projector" in model.dims:
                images = min(WATCHED, config.train_batch_size // parts)
                model.watch(images, model.dims["projector"])
    return model


def check_patches(job):
    """Raises UsageError where the views do not hold two rows of CPC's patches, or too many."""
    patch, stride, rows, columns = cpc.grid(job.size, job.config.cpc_patch, job.config.cpc_stride)
    if not 2 <= rows <= MOST_ROWS or not columns:
        raise UsageError(
            "--cpc_patch and --cpc_stride must leave two rows of patches, and at most "
            f"{MOST_ROWS}, in views of {job.size[0]}x{job.size[1]} px. "
            f"Received: {patch} and {stride}"
        )


def build_probe(job, in_dim):
    """The linear classifier that learns beside the encoder, or None where it is not wanted."""
    # With a dataset of its own to evaluate on, the classes of the training images do not matter.
    wanted = job.config.lineareval_while_pretraining and not job.config.probe_dataset
    if not (wanted and job.train_source.num_classes):
        return None
    return layers.classifier(in_dim, job.train_source.num_classes, seed=job.config.seed + 2)


def pretrain(config, given, flagfile, distribution=None):
    """Trains from the newest checkpoint of the run, or from scratch, then evaluates.

    Args:
        config: a `tfssl.Config` whose model_dir is set, and held by this process.
        given: names of the flags that the user gave.
        flagfile: (Config, header) -> text of the run's flagfile.
        distribution: the `Distribution` that trains; None: one device.

    Returns:
        The content of result.json; without evaluation, its first lines only.

    Raises:
        UsageError: before anything is written.
    """
    there = runs.recorded(config.model_dir)
    config = runs.continued(config, there, given)
    if there:
        runs.check_same(config, there, config.model_dir)
    job = plan(config, distribution)
    if there:
        check_data(job, there, goes_on=True)
    result = finished(job, print_result, evaluation_settings)
    if result:
        return result
    model = build_model(job)
    if not job.distribution.chief:
        return follow(job, model, checkpoints_of(job, model), train)
    return carry_out(job, model, flagfile)


def carry_out(job, model, flagfile):
    """`pretrain`, once all is checked."""
    config = job.config
    checkpoints = checkpoints_of(job, model)
    fresh_weights = model.get_weights()
    start = job.distribution.agree(checkpoints.restore_newest(aside=True))
    runs.write_record(config, job.data, flagfile)
    announce(job, model, start)
    if start < job.total_steps:
        train(job, model, checkpoints, start)
    path = export_encoder(
        config, job.stem, model.encoder, config.model_dir, {**job.about, "step": job.total_steps}
    )
    print(f"encoder: {path or 'not written, as layers without get_config() cannot be saved'}")
    if config.evaluates and not job.evaluates:
        print(f"no table: {NO_LABELS}")
    result = evaluate_both(job, model, fresh_weights, job.total_steps) if job.evaluates else None
    job.distribution.finish()
    return result


NO_LABELS = (
    "the images have no labels, so there is no online head and nothing to evaluate with; "
    "--probe_dataset names a labelled set"
)


def evaluate_pretrained(job):
    """Evaluates the newest checkpoint of a run again."""
    return evaluate_both(job, *restored(job))


def restored(job):
    """The model of a run as its newest checkpoint has it, its first weights, and the step.

    Raises:
        UsageError: there is no checkpoint.
    """
    model = build_model(job)
    fresh_weights = model.get_weights()
    step = checkpoints_of(job, model).restore_newest()
    if not step:
        raise UsageError(f"--model_dir={job.config.model_dir} holds no checkpoint yet.")
    return model, fresh_weights, step


def checkpoints_of(job, model):
    return Checkpoints(
        job.config.model_dir, job.config.keep_checkpoint_max, job.about, **model.state()
    )


def evaluate_both(job, model, fresh_weights, step):
    """Evaluates the untrained network, as far as that is worth it, and the trained one.

    After the training, whose length is known then.

    Returns:
        The content of result.json.
    """
    config, encode = job.config, evaluate.batch_function(model.encoder, job.eval_size)
    expected = cost.of_evaluation(
        config,
        encode,
        model.encoder.output_shape[-1],
        job.labelled_source,
        job.eval_source,
        job.eval_size,
    )
    trained = (rundir.read_json(config.model_dir, rundir.TIME) or {}).get("train_seconds")
    extent = cost.affordable(expected, trained, config.eval_baseline)
    missing = extent != cost.NONE and baseline(job, extent) is None
    why = left_out(job, extent, expected, trained)
    cost.tell(
        "evaluation",
        expected,
        (", and as long for the untrained network" if missing and extent == cost.WHOLE else "")
        + (f"; {why}" if why else ""),
    )
    if missing:
        evaluate_untrained(job, model, fresh_weights, extent, encode)
    return report(job, model, encode, step, why)


def left_out(job, extent, expected, trained):
    """What of the baseline is missing, why, and how to have it; "" where nothing is."""
    if job.config.eval_baseline is not None or extent == cost.WHOLE or baseline(job, cost.WHOLE):
        return ""
    thinned = extent == cost.THINNED or baseline(job, cost.THINNED)
    what = (
        "evaluated without the linear classifier, with which it"
        if thinned
        else "left out, as its evaluation"
    )
    return (
        f"the untrained network is {what} would take {cost.duration(expected.total)}, after "
        f"{cost.duration(trained)} of training; --mode=eval --eval_baseline has it whole"
    )


def baseline(job, least=cost.THINNED):
    """The untrained encoder's results by the same settings, or None.

    Args:
        least: `cost.WHOLE`, or `cost.THINNED` where those without the linear classifier will do.
    """
    saved = rundir.read_json(job.config.model_dir, "untrained.json") or {}
    accepted = [evaluation_settings(job, extent) for extent in {cost.WHOLE, least}]
    same = any(equal(settings, saved.get("settings")) for settings in accepted)
    return saved.get("results") or None if same else None


def evaluation_settings(job, extent=cost.WHOLE):
    """All that the results of one encoder depend on."""
    settings = settings_of(job, "eval_crop_proportion", "knn_k", "knn_temperature")
    if job.config.protocols:  # a flag that records of earlier versions lack
        settings["protocols"] = job.config.protocols
    return {**settings, "linear_probe": extent_config(job.config, extent).linear_probe}


def extent_config(config, extent):
    """The Config by which a network is evaluated wholly, or without the linear classifier."""
    return config.replace(linear_probe=config.linear_probe and extent != cost.THINNED)


def evaluate_untrained(job, model, fresh_weights, extent, encode):
    """Writes the baseline; leaves the model as it was."""
    weights = model.get_weights()
    model.set_weights(fresh_weights)
    results = evaluate_model(job, model, encode, "untrained", extent)
    files.write_json(
        job.config.model_dir,
        "untrained.json",
        {"settings": evaluation_settings(job, extent), "results": results},
    )
    model.set_weights(weights)


def evaluate_model(job, model, encode, title, extent=cost.WHOLE):
    return evaluate.evaluate(
        extent_config(job.config, extent),
        encode,
        job.labelled_source,
        job.eval_source,
        job.eval_size,
        title,
        probe=model.probe,
    )


def announce(job, model, start):
    """Says what is about to happen, in one block."""
    config, counts = job.config, parameters(model)
    evaluated = f"{config.probe_dataset} " if config.probe_dataset else ""
    place = {0: "from scratch", job.total_steps: "finished: nothing left to train"}
    print(
        f"{config.method} on {job.train_source.name} {job.train_source.split}: "
        f"{job.train_source.num_examples:,} images as views of {job.size[0]}x{job.size[1]} px; "
        + (
            f"evaluated on {evaluated}{job.eval_source.split}: "
            f"{job.eval_source.num_examples:,} images at {job.eval_size[0]}x{job.eval_size[1]} px"
            if job.eval_source
            else NO_LABELS
        )
        + "\n"
        f"{job.network}: "
        + ", ".join(f"{name} {count:,}" for name, count in counts.items())
        + " parameters\n"
        f"{job.schedule}"
        + (f", target decay from {config.base_target_decay:.4g}" if config.facts.has_target else "")
        + (f", memory of {config.memory_size:,} projections" if config.memory_size else "")
        + (
            f", learns from {job.train_source.num_labelled:,} labels"
            if config.positives == "classes"
            else ""
        )
        + "\n"
        f"{job.precision} on {job.devices}, seed {config.seed}\n"
        f"{config.model_dir}: " + place.get(start, f"continues from step {start}"),
        flush=True,
    )


def train(job, model, checkpoints, start):
    """Trains from a step to the end."""
    config = job.config
    batches = training_batches(job, recipes.trained(config, job.size), start)
    writer = job.writer()
    if start == 0 and writer:
        save_views(
            job.train_source,
            recipes.views(config, job.size),
            os.path.join(config.model_dir, "views.png"),
            writer,
            config.seed,
            config.to_dict(),
        )
    loop.train(
        model,
        batches,
        checkpoints,
        title="pretrain",
        distribution=job.distribution,
        directory=config.model_dir,
        writer=writer,
        start=start,
        stop=job.total_steps,
        batch_size=config.train_batch_size,
        seed=config.seed,
        summary_steps=config.train_summary_steps,
        checkpoint_steps=job.checkpoint_every,
        callbacks=[WarnOfCollapse(start), *information(job, model, writer, start)],
        dataset=config.dataset,
        smaller="--train_batch_size, --image_size or --width_multiplier, "
        "a larger --accumulate_steps, or --remat",
    )


def information(job, model, writer, start):
    """The callback of the information scalars, in a list; an empty one without them."""
    config = job.config
    if not (model.watched and writer):
        return []
    return [
        InformationScalars(
            start,
            job.total_steps,
            writer,
            config.train_summary_steps,
            config.train_batch_size,
            config.temperature,
        )
    ]


def report(job, model, encode, step, why=""):
    """Evaluates, writes result.json and result_<step>.json, prints the table.

    Args:
        encode: what `evaluate.batch_function` made of the encoder.
        why: what `left_out` returned.
    """
    config = job.config
    results = evaluate_model(job, model, encode, f"step {step}")
    result = {
        **result_of_run(job, model, step, results.get("online", {})),
        "pretrained": results,
        "untrained": baseline(job),
        "evaluated": evaluation_settings(job),
        **({"left_out": why} if why else {}),
    }
    write_result(job, result, results)
    print_result(result, config.model_dir)
    return result


def print_result(result, model_dir):
    """The table, what it was measured on, and where to look next."""
    count = max((scores["examples"] for scores in result["pretrained"].values()), default=0)
    columns = {name: result[name] for name in ("untrained", "pretrained")}
    dataset = result.get("eval_dataset", result["dataset"])
    why = f"{result['left_out']}\n" if "left_out" in result else ""
    print(
        f"\n{evaluate.table(columns)}\n\n{why}"
        f"{dataset} {result['eval_split']}, {count:,} images, "
        f"step {result['global_step']}; {model_dir}/result.json\n"
        f"tensorboard --logdir {model_dir}",
        flush=True,
    )
