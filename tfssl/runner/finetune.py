"""`--mode=finetune`: trains an encoder with labels, at any resolution, then evaluates it.

Distillation is the same workflow with a teacher's logits as targets: see `distill.py`.
"""

import contextlib
import inspect
import os
import shlex

import tensorflow as tf

from tfssl import augment, compat, data, encoders, files, layers
from tfssl.encoders import sections, stages
from tfssl.errors import UsageError
from tfssl.methods import Distilled, Supervised
from tfssl.runner import build, evaluate, loop, page, recipes
from tfssl.runner.job import (
    NOTHING_SCORED,
    UNSCORED,
    check_data,
    compile_model,
    plan,
    scaled_as,
    train_as_worker,
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

START = "pretrained.json"  # the weights that the run started from, with their description
TEACHER = "teacher.json"  # the teacher of a student
LABELS = "labels.json"  # the number and digest of the training labels, and names of the classes
DONE = {"finetune": "finetuned", "distill": "distilled"}  # {task: key of the accuracies}


def finetune(config, given, flagfile, distribution=None):
    """Trains from the run's newest checkpoint, or from --checkpoint, then evaluates.

    Args:
        config: a `tfssl.Config` whose model_dir is set, and locked by this process.
        given: names of the flags that the user gave; they must not contradict the architecture of
            the checkpoint, which overrides defaults.
        flagfile: function (Config, header) -> text of the run's flagfile.
        distribution: the `Distribution` that trains; None: one device.

    Returns:
        The content of result.json; None without evaluation.

    Raises:
        UsageError: the request is invalid; nothing has been written.
    """
    job, found, origin = prepared(config, given, distribution)
    return finished(job, print_result, evaluation_settings, restored) or train_and_evaluate(
        job, found, origin, flagfile
    )


def prepared(config, given, distribution=None):
    """The `Job` of a training with labels or a teacher, and what it starts from.

    Args, Raises: as `finetune`.

    Returns:
        The `Job`; the `Pretrained` weights and their description, as of `starting_point`.
    """
    config, found, origin, ranges, size = starting_point(config, given)
    job = plan(config, distribution, ranges, size)
    if config.task == "finetune":
        check_selector(config)
    check_begun(job)
    return job, found, origin


def starting_point(config, given):
    """Finds the weights that a training starts from.

    Args, Raises: as `finetune`.

    Returns:
        The Config with the architecture of the weights; a `Pretrained`, or None if it is not
        needed; the description of the weights, {} without any; and the `ranges` and the
        `usual_size` for `plan`.
    """
    there = runs.recorded(config.model_dir)
    config = runs.continued(config, there, given)
    found, origin = None, rundir.read_json(config.model_dir, START)
    if config.checkpoint == pretrained.SCRATCH:
        if config.stem == "keep":
            raise UsageError("--stem=keep needs a --checkpoint to keep it from. Received: none")
        origin = {}
    elif not (there and origin):
        found = pretrained.find(config.checkpoint, pretrained.given_range(config, given))
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
    config, ranges = scaled_as(config, given, taught_by(config) or origin, there)
    if there:
        runs.check_same(config, there, config.model_dir)
    size = None if there else (origin or {}).get("image_size")
    return config, found, origin, ranges, size


def teacher_file(config):
    """The path of the classifier of --teacher, which may be missing."""
    inside = os.path.join(config.teacher, CLASSIFIER)
    return inside if os.path.isdir(config.teacher) else config.teacher


def taught_by(config):
    """The description of the teacher; None if there is none."""
    file = config.teacher and teacher_file(config)
    return read_about(file) if file and os.path.exists(file) else None


def checkpoints_in(config):
    """Steps of the checkpoints in --model_dir."""
    return Checkpoints(config.model_dir).steps()


def check_weights(config, origin):
    """Raises UsageError if the run began with other weights than those in --checkpoint."""
    found = None
    with contextlib.suppress(UsageError):  # the run can continue without them
        found = pretrained.find(config.checkpoint)
    there = origin.get("weights")
    if found and there and found.origin["weights"] != there:
        raise UsageError(
            f"--checkpoint={config.checkpoint} holds other weights than when the run "
            f"in --model_dir={config.model_dir} was begun. Give another --model_dir."
        )


def train_and_evaluate(job, found, origin, flagfile, teacher=None):
    """Trains to the end and evaluates, on the chief and on other workers.

    Args:
        job: the `Job`.
        found, origin: results of `starting_point`.
        flagfile: as for `finetune`.
        teacher: a `distill.Teacher` to learn from; None: the labels.

    Returns:
        The content of result.json; None without evaluation.
    """
    if found is None and origin and not checkpoints_of(job).steps():
        found = pretrained.find(job.config.checkpoint, job.config.input_range)
        origin = found.origin  # that run may have continued since
    job.distribution.require_same(
        {
            "weights of --checkpoint": origin and origin.get("weights"),
            "answers of --teacher": teacher and teacher.record["sha256"],
        }
    )
    model = build_model(job, found, teacher and teacher.record["classes"])
    if not job.distribution.chief:
        return train_as_worker(
            job, model, checkpoints_of(job, model), teacher.train if teacher else train
        )
    return train_as_chief(job, model, origin, flagfile, teacher)


def train_as_chief(job, model, origin, flagfile, teacher):
    """Trains, exports and evaluates, on the process that writes the directory."""
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
    result = None
    if job.evaluates:
        result = evaluate_and_record(job, model, job.total_steps)
    elif config.eval_split == UNSCORED:
        print(f"no table: {NOTHING_SCORED}")
    if config.report:
        page.write_page(job, model.encoder, job.total_steps)
    job.distribution.finish()
    return result


def evaluate_finetuned(job):
    """Evaluates the newest checkpoint of a finetuned run again.

    Raises:
        UsageError: the classes have changed, or there is no checkpoint.
    """
    check_classes(job)
    return evaluate_and_record(job, *restored(job))


def restored(job):
    """The model of a finetuned run with the weights of its newest checkpoint, and the step.

    Raises:
        UsageError: there is no checkpoint.
    """
    model = build_model(job, num_classes=of_classes(job, "classes"))
    step = checkpoints_of(job, model).restore_newest()
    if not step:
        raise UsageError(f"--model_dir={job.config.model_dir} holds no checkpoint yet.")
    return model, step


def check_selector(config):
    """Raises UsageError if --ft_proj_selector exceeds the layers of the projector."""
    count = {"none": 0, "linear": 1, "nonlinear": config.num_proj_layers}[config.proj_head_mode]
    if config.ft_proj_selector > count or (count == 0 and config.ft_proj_selector):
        raise UsageError(
            f"--ft_proj_selector must be at most {count}, the layers of the "
            f"projector, or -1 for the last. Received: {config.ft_proj_selector}"
        )


def labels_record(job):
    """The number and the digest of the training labels, for labels.json."""
    if job.config.task == "distill" and job.config.distill_alpha == 1:
        return {"labels": 0}
    count = job.train_source.num_labelled if job.label_indices is None else len(job.label_indices)
    return {"labels": count, "sha256": data.fingerprint(job.label_indices)}


def check_begun(job):
    """Raises UsageError if the run began with other images, labels or classes."""
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
            f"{flag} selects other images than when the run in "
            f"--model_dir={config.model_dir} was begun: {here['labels']:,} labels, "
            f"there {there['labels']:,}. Give another --model_dir."
        )
    check_classes(job)


def check_classes(job):
    """Raises UsageError if labels refer to other classes than when the run began."""
    there = runs.recorded(job.config.model_dir) and rundir.read_json(job.config.model_dir, LABELS)
    for source in labelled_sources(job) if there else ():
        check_names(
            source,
            there.get("classes", source.num_classes),
            there.get("class_names", ()),
            f"the run in --model_dir={job.config.model_dir}",
        )


def labelled_sources(job):
    """The sources whose labels are used for training or evaluation."""
    config = job.config
    learns = config.trains and (config.task == "finetune" or config.distill_alpha < 1)
    sources = [job.train_source] * learns + [job.eval_source] * job.evaluates
    return [source for source in sources if source.num_classes]


def check_names(source, num_classes, names, whose):
    """Raises UsageError if the classes of a source, or their order, differ from those expected.

    Args:
        source: the `Source` to check.
        num_classes: integer, expected number of classes.
        names: expected names; names are not compared if either side has none.
        whose: where the expectation comes from, for the message.
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
    """The names of the classes of the run's network, a list; [] if they are unknown."""
    sources = [
        source for source in (job.eval_source, job.train_source) if source and source.num_classes
    ]
    return of_classes(job, "class_names") or next(
        (list(source.classes) for source in sources if source.classes), []
    )


def of_classes(job, name):
    """An entry about classes in the records of the run or of its teacher; None: there is none."""
    directory = job.config.model_dir
    for file in (LABELS, TEACHER):
        value = (rundir.read_json(directory, file) or {}).get(name)
        if value:
            return value
    file = os.path.join(directory, CLASSIFIER)  # in older runs, only this file has it
    return (read_about(file) or {}).get(name) if os.path.exists(file) else None


def build_model(job, found=None, num_classes=None):
    """Builds and compiles the classifier, with frozen layers.

    Args:
        job: the `Job`.
        found: the `Pretrained` weights to start from; None: random initial weights.
        num_classes: integer; None: that of the training images.
    """
    config = job.config
    normalization, classes = training_layers(job)
    with job.distribution.scope(), compat.dtype_policy(job.precision):
        projector = None
        if config.ft_proj_selector:
            width = networks.width(config)
            if config.facts.projector is None:
                raise UsageError(
                    f"--ft_proj_selector must be 0 for --method={config.method}, which has no "
                    f"projector of these flags. Received: {config.ft_proj_selector}"
                )
            projector = build.PROJECTORS[config.facts.projector](config, normalization, width)
        if found:
            encoder = pretrained.load(found, config, normalization, projector, **classes)
        else:
            encoder = networks.build_encoder(
                config, job.stem, normalization, config.seed, **classes
            )
        transformer = sections.find(encoder)
        if config.layer_decay is not None and not transformer:
            raise UsageError(
                "--layer_decay needs a Vision Transformer, such as --encoder=vit_tiny. Received: "
                f"{config.layer_decay} with {networks.network(config.to_dict())}"
            )
        freeze(encoder, config, transformer)
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
            model = Supervised(
                encoder,
                head=head,
                projector=projector,
                layer_decay=config.layer_decay,
                input_range="0,1",
            )
        return compile_model(job, model, [view_recipe(job)])


def freeze(encoder, config, transformer):
    """Freezes layers according to --fine_tune_after_block.

    Args:
        encoder: the encoder.
        config: a `tfssl.Config`.
        transformer: the `Sections` of the encoder; None: it is no Vision Transformer.
    """
    after = config.fine_tune_after_block
    if config.encoder == "resnet":
        encoders.freeze(encoder, after)
    elif after == HEAD_ALONE:
        encoder.trainable = False
    elif after != -1 and transformer:
        sections.freeze(transformer, after)
    elif after != -1:
        try:
            stages.freeze_to(encoder, after + 1)
        except ValueError as error:
            raise UsageError(
                f"--fine_tune_after_block must be -1 (everything) or {HEAD_ALONE} (the head) for "
                f"--encoder={config.encoder}. Received: {after} ({error})"
            ) from None


def trained(config, encoder):
    """The trained layers, for messages."""
    after = config.fine_tune_after_block
    if config.encoder == "resnet" or after in (-1, HEAD_ALONE):
        return TRAINED[after]
    if sections.find(encoder):
        return f"all after {f'{after} quarters of the blocks' if after else 'the embedding'}"
    return f"all after its map is 1/{2 ** (after + 1)} of the image"


HEAD_ALONE = 4


def checkpoints_of(job, model=None):
    """The run's checkpoints; without a model, they can be listed but not restored."""
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
    """Prints a summary of the training before it starts."""
    config = job.config
    learned = sum(int(tf.size(v)) for v in model.trainable_variables)
    total = sum(part.count_params() for part in model.parts.values())
    origin_text = "from scratch, without pretrained weights"
    if origin:
        origin_text = f"weights of {pretrained.described(origin)}"
        if origin["stem"] != job.stem:
            origin_text += (
                f"\nnew weights in the stem only: {job.stem} in place of {origin['stem']}"
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
        f"{trained(config, model.encoder)}: {learned:,} of {total:,} parameters\n"
        f"{job.schedule}\n"
        f"{job.precision} on {job.devices}, seed {config.seed}\n"
        f"{config.model_dir}: " + (f"continues from step {start}" if start else "from the start"),
        flush=True,
    )


def view_recipe(job):
    """The view for training: crop, flips and turns, as the flags say."""
    options = recipes.options_of(job.config, view=1)
    wanted = inspect.signature(augment.supervised_view).parameters
    return augment.supervised_view(
        job.size, **{name: value for name, value in options.items() if name in wanted}
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
        steps_per_execution=config.steps_per_execution or None,
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


def evaluate_and_record(job, model, step):
    """Evaluates, writes result.json and result_<step>.json, prints the table."""
    config = job.config
    classify = evaluate.batch_function(model, job.eval_size, job.channels)
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
    """The settings that the accuracy of a network depends on."""
    return settings_of(job, "eval_crop_proportion")


def learned_from(job):
    """The number of labels, the classes and the teacher, for result.json."""
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
        f"tensorboard --logdir {shlex.quote(str(model_dir))}",
        flush=True,
    )
