"""`--mode=pretrain`: trains an encoder without labels, then evaluates it."""

import functools
import math
import os
import shlex

from tfssl import compat, data, files, layers
from tfssl.callbacks import heldout, pictures
from tfssl.callbacks.alarms import WarnOfCollapse
from tfssl.callbacks.tensorboard import InformationScalars
from tfssl.encoders import adapt, sections
from tfssl.errors import UsageError
from tfssl.methods import cpc
from tfssl.methods.masked import Masked
from tfssl.runner import build, cost, edge, evaluate, loop, page, plugins, recipes
from tfssl.runner.job import (
    NOTHING_SCORED,
    UNSCORED,
    check_data,
    compile_model,
    plan,
    train_as_worker,
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
from tfssl.verdict import Verdict

MOST_ROWS = 32  # of CPC's patches, as every pair of rows adds a loss to the graph
IF_COLLAPSED = (
    "Try a lower --learning_rate, a longer --warmup_epochs, a larger --train_batch_size, a higher "
    "--base_target_decay (byol), or --precision=float32."
)
WATCHED = 256  # images of a batch for the information/ scalars, at most
HELD_OUT = 512  # images for those of held-out images, at most
HELD_OUT_BYTES = 2**28  # of their views, at most
HELD_OUT_POINTS = 5, 20  # how often these are computed in a training, at least and at most
HELD_OUT_SHARE = 0.02  # of the time of a training for them, about, beyond that least number


def build_model(job):
    """Builds and compiles the model of the method."""
    config = job.config
    if config.facts.crops_only:
        check_patches(job)
    # Without training there are no views, and no file of the user's is run to make them.
    of_views = config if config.trains else config.replace(views=None)
    normalization, classes = training_layers(job)
    with job.distribution.scope(), compat.dtype_policy(job.precision):
        components = build.Components(
            encoder=lambda seed, name: build_encoder(
                config, job.stem, normalization, seed, name, **classes
            ),
            probe=functools.partial(build_probe, job),
            normalization=normalization,
            total_steps=job.total_steps,
            size=job.size,
            pixels=tuple(view.pixels for view in recipes.views(of_views, job.size)),
        )
        model = compile_model(
            job, build.method(config, components), recipes.trained(of_views, job.size)
        )
        if config.information_scalars and config.train_summary_steps:
            parts = config.accumulate_steps * job.distribution.replicas
            if model.projection_dim:
                images = min(WATCHED, config.train_batch_size // parts)
                model.watch(images, model.projection_dim)
    return model


def check_patches(job):
    """Raises UsageError unless the views have between 2 and MOST_ROWS rows of CPC's patches."""
    patch, stride, rows, columns = cpc.grid(job.size, job.config.cpc_patch, job.config.cpc_stride)
    if not 2 <= rows <= MOST_ROWS or not columns:
        raise UsageError(
            "--cpc_patch and --cpc_stride must leave two rows of patches, and at most "
            f"{MOST_ROWS}, in views of {job.size[0]}x{job.size[1]} px. "
            f"Received: {patch} and {stride}"
        )


def build_probe(job, in_dim):
    """The linear classifier trained with the encoder, or None."""
    # With --probe_dataset, the classes of the training images are not evaluated.
    wanted = job.config.lineareval_while_pretraining and not job.config.probe_dataset
    if not (wanted and job.train_source.num_classes):
        return None
    return layers.classifier(in_dim, job.train_source.num_classes, seed=job.config.seed + 2)


def pretrain(config, given, flagfile, distribution=None):
    """Trains from the newest checkpoint of the run, or from scratch, then evaluates.

    Args:
        config: a `tfssl.Config` whose model_dir is set, and locked by this process.
        given: names of the flags that the user gave.
        flagfile: function (Config, header) -> text of the run's flagfile.
        distribution: the `Distribution` that trains; None: one device.

    Returns:
        The content of result.json; without evaluation, the step and the verdict; None on a worker
        that is not the chief.

    Raises:
        UsageError: the request is invalid; nothing has been written.
    """
    job = prepared(config, given, distribution)
    result = finished(job, print_result, evaluation_settings, restored, over)
    if result:
        return result
    model = build_model(job)
    if not job.distribution.chief:
        return train_as_worker(job, model, checkpoints_of(job, model), train)
    return train_as_chief(job, model, flagfile)


def prepared(config, given, distribution=None):
    """The `Job` of a pretraining that begins or goes on; args and errors as for `pretrain`."""
    there = runs.recorded(config.model_dir)
    config = runs.continued(config, there, given)
    if there:
        runs.check_same(config, there, config.model_dir)
    job = plan(config, distribution)
    if there:
        check_data(job, there, goes_on=True)
    return job


def train_as_chief(job, model, flagfile):
    """Trains, exports and evaluates, on the process that writes the directory."""
    config = job.config
    checkpoints = checkpoints_of(job, model)
    fresh_weights = model.get_weights()
    start = job.distribution.agree(checkpoints.restore_newest(aside=True))
    runs.write_record(config, job.data, flagfile)
    announce(job, model, start)
    step = start
    if not over(job, start):
        step = train(job, model, checkpoints, start)
    if step < job.total_steps:
        print(f"stopped after step {step:,} of {job.total_steps:,}, as --stop_when asked")
    path = export_encoder(
        config, job.stem, model.encoder, config.model_dir, {**job.about, "step": step}
    )
    print(f"encoder: {path or 'not written, as layers without get_config() cannot be saved'}")
    if config.evaluates and not job.evaluates:
        print(f"no table: {unscored(job)}")
    result = evaluate_both(job, model, fresh_weights, step) if job.evaluates else judged(job, step)
    if config.report:
        page.write_page(job, model.encoder, step)
    job.distribution.finish()
    return result


def over(job, step):
    """Whether a training is at its end, or at the step where it was stopped by --stop_when."""
    if step >= job.total_steps:
        return True
    history = heldout.history_of(job.config.model_dir, step)
    newest = history.points[-1].step if history.points else 0
    return newest == step > 0 and heldout.stops(history, job.config.stop_when)


def unscored(job):
    """Why there is nothing to evaluate on."""
    if job.config.eval_split == UNSCORED:
        return NOTHING_SCORED
    return (
        "the images have no labels, so there is no online head and nothing to evaluate with; "
        "--probe_dataset names a labelled set"
    )


def evaluate_pretrained(job):
    """Evaluates the newest checkpoint of a run again."""
    return evaluate_both(job, *restored(job))


def restored(job):
    """The model of a run with its newest checkpoint, its initial weights, and the step.

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
    """Evaluates the trained network and, depending on the cost, the untrained one.

    Returns:
        The content of result.json.
    """
    config, encode = job.config, evaluate.encoder_function(job.config, model.encoder, job.eval_size)
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
    cost.announce(
        "evaluation",
        expected,
        (", and as long for the untrained network" if missing and extent == cost.WHOLE else "")
        + (f"; {why}" if why else ""),
    )
    if missing:
        evaluate_untrained(job, model, fresh_weights, extent, encode)
    return evaluate_and_record(job, model, encode, step, why)


def left_out(job, extent, expected, trained):
    """A message about the missing part of the baseline; "" if it is complete."""
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
        f"{cost.duration(trained)} of training; --mode=eval --eval_baseline evaluates it completely"
    )


def baseline(job, least=cost.THINNED):
    """The stored results of the untrained encoder with the same settings, or None.

    Args:
        job: the `Job`.
        least: `cost.WHOLE`, or `cost.THINNED` to accept results without the linear classifier.
    """
    saved = rundir.read_json(job.config.model_dir, "untrained.json") or {}
    accepted = [evaluation_settings(job, extent) for extent in {cost.WHOLE, least}]
    same = any(equal(settings, saved.get("settings")) for settings in accepted)
    return saved.get("results") or None if same else None


def evaluation_settings(job, extent=cost.WHOLE):
    """The settings that the results of an encoder depend on."""
    settings = settings_of(job, "eval_crop_proportion", "knn_k", "knn_temperature")
    settings |= evaluate.patches_of(job.config)
    used = plugins.digests(job.config)
    if used:  # records of earlier versions lack these
        settings["plugins"] = used
    if job.config.protocols:  # older records lack this setting
        settings["protocols"] = job.config.protocols
    return {**settings, "linear_probe": extent_config(job.config, extent).linear_probe}


def extent_config(config, extent):
    """The Config for an evaluation with or without the linear classifier."""
    return config.replace(linear_probe=config.linear_probe and extent != cost.THINNED)


def evaluate_untrained(job, model, fresh_weights, extent, encode):
    """Evaluates the untrained encoder and writes untrained.json; restores the model's weights."""
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
    """Prints a summary of the training before it starts."""
    config, counts = job.config, parameters(model)
    rises = "base_target_decay" in config.facts.defaults
    evaluated = f"{config.probe_dataset} " if config.probe_dataset else ""
    place = {0: "from scratch", job.total_steps: "finished: nothing left to train"}
    if start < job.total_steps and over(job, start):
        place[start] = f"was stopped after step {start}: --stop_when={config.stop_when}"
    print(
        f"{config.method} on {job.train_source.name} {job.train_source.split}: "
        f"{job.train_source.num_examples:,} images as views of {job.size[0]}x{job.size[1]} px; "
        + (
            f"evaluated on {evaluated}{job.eval_source.split}: "
            f"{job.eval_source.num_examples:,} images at {job.eval_size[0]}x{job.eval_size[1]} px"
            if job.eval_source
            else unscored(job)
        )
        + "\n"
        f"{job.network}: "
        + ", ".join(f"{name} {count:,}" for name, count in counts.items())
        + " parameters\n"
        f"{job.schedule}"
        + (f", target decay from {config.base_target_decay:.4g}" if rises else "")
        + (f", memory of {config.memory_size:,} projections" if config.memory_size else "")
        + (f", learns from {job.train_source.num_labelled:,} labels" if config.by_class else "")
        + "\n"
        f"{job.precision} on {job.devices}, seed {config.seed}\n"
        f"{config.model_dir}: " + place.get(start, f"continues from step {start}"),
        flush=True,
    )


def train(job, model, checkpoints, start):
    """Trains from a step to the end, or to where it is stopped; returns the last step."""
    config = job.config
    batches = training_batches(job, recipes.trained(config, job.size), start)
    writer = job.writer()
    if start == 0 and writer:
        pictures.save_views(
            job.train_source,
            recipes.views(config, job.size),
            os.path.join(config.model_dir, "views.png"),
            writer,
            config.seed,
            config.to_dict(),
        )
    return loop.train(
        model,
        batches,
        checkpoints,
        title="pretrain",
        distribution=job.distribution,
        steps_per_execution=config.steps_per_execution or None,
        directory=config.model_dir,
        writer=writer,
        start=start,
        stop=job.total_steps,
        batch_size=config.train_batch_size,
        seed=config.seed,
        summary_steps=config.train_summary_steps,
        checkpoint_steps=job.checkpoint_every,
        callbacks=[
            WarnOfCollapse(start, IF_COLLAPSED),
            *information(job, model, writer, start),
            *pictures_of(job, model, writer, start),
        ],
        dataset=config.dataset,
        smaller="--train_batch_size, --image_size or --width_multiplier, "
        "a larger --accumulate_steps, or --remat",
    )


def information(job, model, writer, start):
    """A list of the callback for the information/ scalars; empty if they are disabled."""
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
            config.num_views,
        ),
        *held_out(job, writer, start),
    ]


def pictures_of(job, model, writer, start):
    """A list of callbacks that draw what a masked model completes, and what a transformer sees."""
    config, parts = job.config, sections.find(model.encoder)
    if not (writer and config.train_summary_steps):
        return []
    masked, attends = isinstance(model, Masked), parts is not None and parts.tokens.class_token
    images = shown(job) if masked or attends else None
    first = start, job.total_steps, writer, seldom(job), images
    made = []
    if masked:
        path = os.path.join(config.model_dir, RECONSTRUCTIONS)
        made.append(pictures.Reconstructions(*first, path, config.seed))
    if attends:
        path = os.path.join(config.model_dir, ATTENTION)
        made.append(pictures.Attention(*first, path, functools.partial(attention, model, parts)))
    return made


def attention(model, parts, images):
    return sections.class_attention(parts, adapt.scaled(images, model.input_range))


def shown(job):
    """The images of these pictures, held-out ones where there are any, float32 [B, H, W, C]."""
    config, source = job.config, job.eval_source
    if source is None or config.probe_dataset:
        source = job.train_source
    batches = data.views(
        source,
        recipes.trained(config, job.size),
        batch_size=min(pictures.COLUMNS, source.num_examples),
        seed=config.seed,
        stop_step=1,
    )
    with data.reading(source.name):
        return next(iter(batches))["views"][0]


def seldom(job):
    """Steps between two points of what takes a pass over many images."""
    every = job.config.train_summary_steps
    return every * math.ceil(job.total_steps / (every * points_of(job)))


RECONSTRUCTIONS, ATTENTION = "reconstructions.png", "attention.png"


def held_out(job, writer, start):
    """A list of the callback for the scalars of held-out images; empty for batches of one image.

    They are views of images of the evaluation split; of training images where there is none. In
    batches no larger than those of the training on a device.
    """
    config, source, views = job.config, job.eval_source, recipes.trained(job.config, job.size)
    views = views * 2 if len(views) == 1 else views  # of which measures compare two
    separate = source is not None and not config.probe_dataset
    source = source if separate else job.train_source
    of_image = 4 * len(views) * math.prod(job.size) * source.channels
    images = min(HELD_OUT, HELD_OUT_BYTES // of_image, source.num_examples)
    parts = config.accumulate_steps * job.distribution.replicas
    batch_size = min(images, config.train_batch_size // parts)
    if batch_size < 2:
        return []
    batches = data.views(
        source,
        views,
        batch_size=batch_size,
        seed=config.seed,
        stop_step=images // batch_size,
        shuffle=config.shuffle if source.at else "auto",
    )
    return [
        heldout.HeldOutScalars(
            start,
            job.total_steps,
            writer,
            seldom(job),
            batches,
            config.model_dir,
            say_flags,
            config.stop_when,
            held_out=separate,
        )
    ]


def say_flags(text):
    """Prints a text in which arguments become flags."""
    print(edge.with_flags(text), flush=True)


def points_of(job):
    """How often held-out images are measured in a training."""
    passes = 3 * job.total_steps * job.config.train_batch_size  # forward, and backward as two
    least, most = HELD_OUT_POINTS
    return min(max(int(HELD_OUT_SHARE * passes / HELD_OUT), least), most)


def evaluate_and_record(job, model, encode, step, why=""):
    """Evaluates, writes result.json and result_<step>.json, prints the table.

    Args:
        job: the `Job`.
        model: the trained model.
        encode: `evaluate.batch_function` of its encoder.
        step: integer, its step.
        why: result of `left_out`.
    """
    config = job.config
    results = evaluate_model(job, model, encode, f"step {step}")
    result = {
        **result_of_run(job, model, step, results.get("online", {})),
        "pretrained": results,
        "untrained": baseline(job),
        "evaluated": evaluation_settings(job),
        **heldout.verdict_at(config.model_dir, step),
        **({"left_out": why} if why else {}),
    }
    write_result(job, result, results)
    print_result(result, config.model_dir)
    return result


def judged(job, step):
    """Prints the verdict on a training that has no evaluation; returns it, and the step."""
    found = heldout.verdict_at(job.config.model_dir, step)
    print(f"\n{verdict_line(found)}tensorboard --logdir {shlex.quote(job.config.model_dir)}")
    return {"global_step": step, **found}


def verdict_line(result):
    """The verdict in a result as a line; "" if there is none."""
    if "verdict" not in result:
        return ""
    return edge.with_flags(f"verdict: {Verdict.of(result['verdict'])}\n")


def print_result(result, model_dir):
    """Prints the table of accuracies, the dataset, and the paths of the results."""
    count = max((scores["examples"] for scores in result["pretrained"].values()), default=0)
    columns = {name: result[name] for name in ("untrained", "pretrained")}
    dataset = result.get("eval_dataset", result["dataset"])
    why = f"{result['left_out']}\n" if "left_out" in result else ""
    why += verdict_line(result)
    print(
        f"\n{evaluate.table(columns)}\n\n{why}"
        f"{dataset} {result['eval_split']}, {count:,} images, "
        f"step {result['global_step']}; {model_dir}/result.json\n"
        f"tensorboard --logdir {shlex.quote(str(model_dir))}",
        flush=True,
    )
