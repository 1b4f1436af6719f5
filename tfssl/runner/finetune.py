"""`--mode=finetune`: an encoder learns on, with labels, at any resolution, and is evaluated.

Distillation is the same with another lesson: see `distill.py`.
"""

import contextlib
import os

import tensorflow as tf

from tfssl import augment, compat, data, encoders, files, layers
from tfssl.encoders import stages
from tfssl.errors import UsageError
from tfssl.methods import Distilled, Supervised
from tfssl.runner import build, evaluate, loop
from tfssl.runner.job import (
    check_data,
    compile_model,
    follow,
    plan,
    training_batches,
    training_layers,
)
from tfssl.runner.results import finished, result_of_run, settings_of, write_result
from tfssl.storage import networks, pretrained, rundir, runs
from tfssl.storage.checkpoint import Checkpoints
from tfssl.storage.export import (
    CLASSIFIER,
    export_classifier,
    export_encoder,
    read_about,
)

START = "pretrained.json"  # which weights the run started from, and what they say of themselves
TEACHER = "teacher.json"  # whom a student learns from
LABELS = "labels.json"  # how many labels are learned from, and which; what the classes are called
DONE = {"finetune": "finetuned", "distill": "distilled"}  # the key of the accuracies


def finetune(config, given, flagfile, distribution=None):
    """Trains from the run's newest checkpoint, or from --checkpoint, then evaluates.

    Args:
        config: a `tfssl.Config` whose model_dir is set, and held by this process.
        given: names of the flags that the user gave: with one of these a network that is not the
            checkpoint's is refused, while defaults give way to it.
        flagfile: (Config, header) -> text of the run's flagfile.
        distribution: the `Distribution` that trains; None: one device.

    Returns:
        The content of result.json; None without evaluation.

    Raises:
        UsageError: before anything is written.
    """
    config, found, origin = starting_point(config, given)
    job = plan(config, distribution)
    check_selector(config)
    check_begun(job)
    return finished(job, print_result, evaluation_settings) or carry_on(
        job, found, origin, flagfile
    )


def starting_point(config, given):
    """The weights that a training starts from.

    Args, Raises: as `finetune`.

    Returns:
        The Config with their network, the `Pretrained` or None where it is not needed, and what
        they say of themselves, {} where there are none.
    """
    there = runs.recorded(config.model_dir)
    config = runs.continued(config, there, given)
    found, origin = None, rundir.read_json(config.model_dir, START)
    if config.checkpoint == pretrained.SCRATCH:
        if config.stem == "keep":
            raise UsageError("--stem=keep needs a --checkpoint to keep it from. Received: none")
        origin = {}
    elif not (there and origin):
        found = pretrained.find(config.checkpoint)
        origin = found.origin
    elif checkpoints_in(config):
        check_weights(config, origin)
    if origin:
        config = pretrained.adopt(config, given, origin, config.checkpoint)
        if config.stem != origin["stem"] and config.fine_tune_after_block >= 0:
            raise UsageError(
                f"--fine_tune_after_block={config.fine_tune_after_block} freezes the stem, and "
                f"--stem={config.stem} in place of the {origin['stem']} stem of "
                f"--checkpoint={config.checkpoint} is a new one: nothing would train it."
            )
    if there:
        runs.check_same(config, there, config.model_dir)
    return config, found, origin


def checkpoints_in(config):
    """Steps of the checkpoints in --model_dir."""
    return Checkpoints(config.model_dir).steps()


def check_weights(config, origin):
    """Raises UsageError where --checkpoint holds other weights than the run was begun with."""
    found = None
    with contextlib.suppress(UsageError):  # the run goes on where they are gone
        found = pretrained.find(config.checkpoint)
    there = origin.get("weights")
    if found and there and found.origin["weights"] != there:
        raise UsageError(
            f"--checkpoint={config.checkpoint} holds other weights than when the run "
            f"in --model_dir={config.model_dir} was begun. Give another --model_dir."
        )


def carry_on(job, found, origin, flagfile, teacher=None):
    """What is left of a training, and its evaluation.

    Args:
        found, origin: what `starting_point` returned.
        flagfile: as for `finetune`.
        teacher: a `distill.Teacher` to learn from; None: the labels.

    Returns:
        The content of result.json; None without evaluation.
    """
    if found is None and origin and not checkpoints_of(job).steps():
        found = pretrained.find(job.config.checkpoint)
        origin = found.origin  # it may have trained on since
    job.distribution.require_same(
        {
            "weights of --checkpoint": origin and origin.get("weights"),
            "answers of --teacher": teacher and teacher.record["sha256"],
        }
    )
    model = build_model(job, found, teacher and teacher.record["classes"])
    if not job.distribution.chief:
        return follow(job, model, checkpoints_of(job, model), teacher.train if teacher else train)
    return carry_out(job, model, origin, flagfile, teacher)


def carry_out(job, model, origin, flagfile, teacher):
    """`carry_on`, once all is checked."""
    config = job.config
    checkpoints = checkpoints_of(job, model)
    if teacher:
        print(teacher.described, flush=True)
        teacher.ask(job)
    start = job.distribution.agree(checkpoints.restore_newest(aside=True))
    runs.write_record(config, job.data, flagfile)
    files.write_json(config.model_dir, START, origin)
    classes = {"classes": model.head.output_shape[-1], "class_names": class_names(job)}
    files.write_json(config.model_dir, LABELS, {**labels_record(job), **classes})
    announce(job, model, origin, start)
    if start < job.total_steps:
        (teacher.train if teacher else train)(job, model, checkpoints, start)
    about = {
        **job.about,
        "step": job.total_steps,
        "finetuned_from": origin or None,
        "eval_size": list(job.eval_size),
        "eval_crop_proportion": evaluate.crop_proportion(config, job.eval_size),
    }
    if teacher:
        about["teacher"] = {name: teacher.record[name] for name in ("path", "sha256")}
    for path in (
        export_encoder(config, job.stem, model.encoder, config.model_dir, about),
        export_classifier(config, job.stem, model, config.model_dir, {**about, **classes}),
    ):
        print(f"exported: {path}")
    result = report(job, model, job.total_steps) if job.evaluates else None
    job.distribution.finish()
    return result


def evaluate_finetuned(job):
    """Evaluates the newest checkpoint of a finetuned run again.

    Raises:
        UsageError: see `check_classes` and `restored`.
    """
    check_classes(job)
    return report(job, *restored(job))


def restored(job):
    """The model of a finetuned run as its newest checkpoint has it, and the step.

    Raises:
        UsageError: there is no checkpoint.
    """
    model = build_model(job, num_classes=of_classes(job, "classes"))
    step = checkpoints_of(job, model).restore_newest()
    if not step:
        raise UsageError(f"--model_dir={job.config.model_dir} holds no checkpoint yet.")
    return model, step


def check_selector(config):
    """Raises UsageError where --ft_proj_selector names a layer that the projector has not."""
    count = {"none": 0, "linear": 1, "nonlinear": config.num_proj_layers}[config.proj_head_mode]
    if config.ft_proj_selector > count or (count == 0 and config.ft_proj_selector):
        raise UsageError(
            f"--ft_proj_selector must be at most {count}, the layers of the "
            f"projector, or -1 for the last. Received: {config.ft_proj_selector}"
        )


def labels_record(job):
    """What labels.json says."""
    if job.config.task == "distill" and job.config.distill_alpha == 1:
        return {"labels": 0}
    count = job.train_source.num_labelled if job.chosen is None else len(job.chosen)
    return {"labels": count, "sha256": data.fingerprint(job.chosen)}


def check_begun(job):
    """Raises UsageError where the run was begun on other images, or with other labels."""
    config = job.config
    recorded = runs.recorded(config.model_dir)
    if not recorded:
        return
    check_data(job, recorded, goes_on=True)
    there, here = rundir.read_json(config.model_dir, LABELS), labels_record(job)
    if there and not here.items() <= there.items():
        flag = (
            f"--label_list={config.label_list}"
            if config.label_list
            else f"--label_fraction={config.label_fraction:g}"
        )
        raise UsageError(
            f"{flag} names other images than when the run in "
            f"--model_dir={config.model_dir} was begun: {here['labels']:,} labels, "
            f"there {there['labels']:,}. Give another --model_dir."
        )
    check_classes(job)


def check_classes(job):
    """Raises UsageError where labels mean other classes than when the run was begun."""
    there = runs.recorded(job.config.model_dir) and rundir.read_json(job.config.model_dir, LABELS)
    for source in meant(job) if there else ():
        check_names(
            source,
            there.get("classes", source.num_classes),
            there.get("class_names", ()),
            f"the run in --model_dir={job.config.model_dir}",
        )


def meant(job):
    """The sources whose labels are learned from or scored."""
    config = job.config
    learns = config.trains and (config.task == "finetune" or config.distill_alpha < 1)
    sources = [job.train_source] * learns + [job.eval_source] * job.evaluates
    return [source for source in sources if source.num_classes]


def check_names(source, num_classes, names, whose):
    """Raises UsageError where the classes of a source are others, or in another order.

    Args:
        num_classes: how many there are to be.
        names: what they are to be called; of none known, or of a source that has none, any will do.
        whose: who has them, for the message.
    """
    where = f"--dataset={source.name}, split {source.split}"
    if source.num_classes != num_classes:
        raise UsageError(
            f"{where}, must have {num_classes} classes, as {whose} has. "
            f"Received: {source.num_classes}"
        )
    for number, (name, here) in enumerate(zip(names, source.classes)):
        if name != here:
            raise UsageError(
                f"{where}, must call class {number} {name}, as {whose} does. Received: {here}"
            )


def class_names(job):
    """What the classes of the run's network are called, a list; [] where nobody says."""
    sources = [
        source for source in (job.eval_source, job.train_source) if source and source.num_classes
    ]
    return of_classes(job, "class_names") or next(
        (list(source.classes) for source in sources if source.classes), []
    )


def of_classes(job, name):
    """What the run, or else its teacher, has on record of its classes; None for nothing."""
    directory = job.config.model_dir
    for file in (LABELS, TEACHER):
        value = (rundir.read_json(directory, file) or {}).get(name)
        if value:
            return value
    file = os.path.join(directory, CLASSIFIER)  # which says it of older runs
    return (read_about(file) or {}).get(name) if os.path.exists(file) else None


def build_model(job, found=None, num_classes=None):
    """The classifier with its optimizer, compiled, what is frozen frozen.

    Args:
        found: the `Pretrained` weights to start from; None: initial weights of the run's own.
        num_classes: where they are not those of the training images.
    """
    config = job.config
    normalization, classes = training_layers(job)
    with job.distribution.scope(), compat.dtype_policy(job.precision):
        projector = None
        if config.ft_proj_selector:
            width = networks.width(config)
            if config.facts.projector is None:
                raise UsageError(
                    f"--ft_proj_selector must be 0 for --method={config.method}, whose projector "
                    f"is a plug-in's. Received: {config.ft_proj_selector}"
                )
            projector = build.PROJECTORS[config.facts.projector](config, normalization, width)
        if found:
            encoder = pretrained.load(found, config, normalization, projector, **classes)
        else:
            encoder = networks.build_encoder(
                config, job.stem, normalization, config.seed, **classes
            )
        freeze(encoder, config)
        if projector is not None:
            projector = layers.first_layers(projector, config.ft_proj_selector)
        head = layers.classifier(
            (projector or encoder).output_shape[-1],
            num_classes or job.train_source.num_classes,
            zeros=config.zero_init_logits_layer,
            seed=config.seed + 2,
            name="head",
        )
        if config.task == "distill":
            model = Distilled(
                encoder,
                head=head,
                input_range="0,1",
                temperature=config.distill_temperature,
                alpha=config.distill_alpha,
            )
        else:
            model = Supervised(encoder, head=head, projector=projector, input_range="0,1")
        return compile_model(job, model, [view_recipe(job)])


def freeze(encoder, config):
    """Stops from learning what --fine_tune_after_block says."""
    after = config.fine_tune_after_block
    if config.encoder == "resnet":
        encoders.freeze(encoder, after)
    elif after == HEAD_ALONE:
        encoder.trainable = False
    elif after != -1:
        try:
            stages.freeze_to(encoder, after + 1)
        except ValueError as error:
            raise UsageError(
                f"--fine_tune_after_block must be -1 (everything) or {HEAD_ALONE} (the head) for "
                f"--encoder={config.encoder}. Received: {after} ({error})"
            ) from None


def trained(config):
    """What learns, in words."""
    after = config.fine_tune_after_block
    if config.encoder == "resnet" or after in (-1, HEAD_ALONE):
        return TRAINED[after]
    return f"all after its map is 1/{2 ** (after + 1)} of the image"


HEAD_ALONE = 4


def checkpoints_of(job, model=None):
    """The run's checkpoints; without a model only to look which there are."""
    state = model.state() if model else {}
    return Checkpoints(job.config.model_dir, job.config.keep_checkpoint_max, job.about, **state)


TRAINED = {
    -1: "the whole network",
    0: "all after the stem",
    1: "all after group 1",
    2: "all after group 2",
    3: "all after group 3",
    4: "the head",
}


def announce(job, model, origin, start):
    """Says what is about to happen, in one block."""
    config = job.config
    learned = sum(int(tf.size(v)) for v in model.trainable_variables)
    total = sum(part.count_params() for part in model.parts.values())
    origin_text = "from scratch, without pretrained weights"
    if origin:
        origin_text = f"weights of {pretrained.described(origin)}"
        if origin["stem"] != job.stem:
            origin_text += (
                f"\nnew weights in the stem alone: {job.stem} in place of {origin['stem']}"
            )
    scored = job.eval_source and (
        f"; evaluated on {job.eval_source.split}: {job.eval_source.num_examples:,} images at "
        f"{job.eval_size[0]}x{job.eval_size[1]} px"
    )
    learned_from = (
        f"{labels_record(job)['labels']:,} labels"
        if config.task == "finetune"
        else f"{job.train_source.num_examples:,} images"
    )
    print(
        f"{config.task} on {job.train_source.name} {job.train_source.split}: "
        f"{learned_from}, crops of {job.size[0]}x{job.size[1]} px"
        f"{scored or ''}\n{origin_text}\n"
        f"{job.network}, new head "
        f"for {model.head.output_shape[-1]} classes; trains "
        f"{trained(config)}: {learned:,} of {total:,} parameters\n"
        f"{job.schedule}\n"
        f"{job.precision} on {job.devices}, seed {config.seed}\n"
        f"{config.model_dir}: " + (f"continues from step {start}" if start else "from the start"),
        flush=True,
    )


def view_recipe(job):
    """The one view that is learned from: crop and flip, with the ranges of the flags."""
    config = job.config
    return augment.supervised_view(
        job.size,
        crop_area=(config.crop_area_min, config.crop_area_max),
        crop_aspect=(config.crop_aspect_min, config.crop_aspect_max),
        flip_p=config.flip_p,
    )


def train(job, model, checkpoints, start):
    config = job.config
    batches = training_batches(job, [view_recipe(job)], start)
    loop.train(
        model,
        batches,
        checkpoints,
        title=config.task,
        distribution=job.distribution,
        directory=config.model_dir,
        writer=job.writer(),
        start=start,
        stop=job.total_steps,
        batch_size=config.train_batch_size,
        seed=config.seed,
        summary_steps=config.train_summary_steps,
        checkpoint_steps=job.checkpoint_every,
        dataset=config.dataset,
        smaller="--train_batch_size or --image_size, a larger --accumulate_steps, or --remat",
    )


def report(job, model, step):
    """Evaluates, writes result.json and result_<step>.json, prints the table."""
    config = job.config
    classify = evaluate.batch_function(model, job.eval_size)
    logits, labels = evaluate.represent(
        config,
        classify,
        job.eval_source,
        job.eval_size,
        f"step {step}",
        config.eval_steps,
        "logits",
    )
    scores = evaluate.score(logits, labels)
    result = {
        **result_of_run(job, model, step, scores),
        "image_size": list(job.size),
        **learned_from(job),
        DONE[config.task]: {"network": scores},
        "evaluated": evaluation_settings(job),
        "pretrained_weights": rundir.read_json(config.model_dir, START) or None,
    }
    write_result(job, result, result[DONE[config.task]])
    print_result(result, config.model_dir)
    return result


def evaluation_settings(job):
    """All that the accuracy of one network depends on."""
    return settings_of(job, "eval_crop_proportion")


def learned_from(job):
    """How many labels, of which classes, and which teacher, as result.json says it."""
    learned = {"labels": labels_record(job)["labels"], "class_names": class_names(job)}
    if job.config.task == "finetune":
        return learned
    return {
        **learned,
        "images": job.train_source.num_examples,
        "teacher": rundir.read_json(job.config.model_dir, TEACHER),
    }


def print_result(result, model_dir):
    done = next(word for word in DONE.values() if word in result)
    count = result[done]["network"]["examples"]
    print(
        f"\n{evaluate.table({done: result[done]})}\n\n"
        f"{result['eval_dataset']} {result['eval_split']}, {count:,} images, step "
        f"{result['global_step']}, {result['labels']:,} labels; {model_dir}/result.json\n"
        f"tensorboard --logdir {model_dir}",
        flush=True,
    )
