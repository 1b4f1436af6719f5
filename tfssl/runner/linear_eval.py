"""`--mode=linear_eval`: a linear classifier on a frozen encoder, by DeepMind's protocol.

Grill et al. 2020 (BYOL), Appendix C.1, with the rate of deepmind-research byol (f5de0ed): SGD with
Nesterov momentum 0.9 from 0.2 x batch/256 to 0 along a cosine, no warm-up, no weight decay, 80
epochs of random crops and flips of the training split; the central crops of the evaluation split
are scored once, at the end. Nothing is selected by that score.
"""

import dataclasses
import hashlib
import json
import os

import keras

from tfssl import augment, data, files, layers, optim
from tfssl.callbacks.board import Board
from tfssl.config import without_later
from tfssl.errors import UsageError
from tfssl.methods import Supervised
from tfssl.runner import cost, evaluate, finetune, frozen, loop
from tfssl.runner.job import with_batch
from tfssl.runner.results import top_scalars
from tfssl.storage import rundir
from tfssl.storage.checkpoint import Checkpoints
from tfssl.storage.pretrained import described

PROTOCOL = "linear_sgd"
MOMENTUM = 0.9


def linear_evaluation(config, given):
    """Trains and evaluates a linear classifier on a frozen encoder; resumes if interrupted.

    Its directory, `linear_eval/step<step>-<digest of the settings>`, is determined by the encoder
    and the settings.

    Args:
        config: a `tfssl.Config` whose model_dir is set.
        given: names of the flags that the user gave.

    Returns:
        The content of the result.json in that directory.

    Raises:
        UsageError: see `frozen.encoder`; or the batch is larger than the split.
    """
    job, encoder, origin = frozen.encoder(config, given)
    known = without_later({name: value for name, value in origin.items() if name != "path"})
    if not config.of_a_run:  # the directory of a run may be moved
        known["path"] = os.path.realpath(origin["path"])
    source = job.labelled_source
    config = with_batch(job.config, "linear_batch_size", source.num_examples)
    job = dataclasses.replace(job, config=config)
    batch = config.linear_batch_size
    if batch > source.num_examples:
        raise UsageError(
            f"--linear_batch_size must be at most {source.num_examples}, the number "
            f"of examples in {config.dataset} {source.split}. Received: {batch}"
        )
    settings = settings_of(job)
    directory = directory_of(job, f"step{origin['step']}", {**settings, "encoder": known})
    with rundir.lock(directory):
        result = rundir.read_json(directory, "result.json")
        if result:
            finetune.check_names(
                source, source.num_classes, result.get("class_names", ()), directory
            )
            print(f"{directory}: finished; nothing left to do")
            frozen.print_result(result, f"{directory}/result.json")
            return result
        return train_and_evaluate(job, encoder, origin, settings, directory)


def directory_of(job, step, settings):
    """The directory for some settings, or an existing one of tfssl 0.1."""
    config = job.config
    root = os.path.join(config.model_dir, "linear_eval")
    name = os.path.join(root, f"{step}-{digest(settings)}")
    of_0_1 = {key: value for key, value in settings.items() if key != "data"}
    of_0_1["encoder"] = {
        key: value
        for key, value in settings["encoder"].items()
        if key not in ("weights", "value_ranges")
    }
    old = os.path.join(root, f"{step}-{digest(of_0_1)}")
    if os.path.isdir(name) or not os.path.isdir(old):
        return name
    if not config.of_a_run and config.dataset == "folder":
        print(f"{old} is of tfssl 0.1, which did not record the images: assuming the same ones")
    return old


def train_and_evaluate(job, encoder, origin, settings, directory):
    """Trains from the newest checkpoint and evaluates, in the locked directory."""
    config, source, batch = job.config, job.labelled_source, job.config.linear_batch_size
    steps = max(1, int(source.num_examples * config.linear_epochs // batch))
    rate = optim.scaled_learning_rate(config.linear_learning_rate, batch)
    learner = build_learner(job, encoder, optim.WarmupCosine(rate, 0, steps))
    state = learner.state()
    del state["encoder"]  # it is frozen
    checkpoints = Checkpoints(directory, keep=1, **state)
    start = checkpoints.restore_newest(aside=True)
    print(
        f"linear evaluation with {described(origin)}\n"
        f"learns from {source.name} {source.split}: {source.num_labelled:,} images, random crops "
        f"of {job.eval_size[0]}x{job.eval_size[1]} px, {config.linear_epochs:g} epochs, peak "
        f"learning rate {rate:.4g}\n"
        f"scored on {job.eval_source.split}: {job.eval_source.num_examples:,} images\n"
        f"{directory}: " + (f"continues from step {start}" if start else "from scratch"),
        flush=True,
    )
    classify = evaluate.batch_function(learner, job.eval_size, job.channels)
    cost.announce(
        "linear evaluation",
        cost.of_encoding(
            config, classify, job.eval_source, job.eval_size, more=(steps - start) * batch
        ),
    )
    if start < steps:
        batches = data.views(
            source,
            [augment.supervised_view(job.eval_size)],
            batch_size=batch,
            seed=config.seed,
            start_step=start,
            stop_step=steps,
            compiled=config.compile_augmentation,
            shuffle=config.shuffle if source.at else "auto",
        )
        per_epoch = config.checkpoint_epochs * source.num_examples / batch
        loop.train(
            learner,
            batches,
            checkpoints,
            title="linear evaluation",
            directory=directory,
            writer=Board(directory),
            start=start,
            stop=steps,
            batch_size=batch,
            seed=config.seed,
            summary_steps=config.train_summary_steps,
            checkpoint_steps=config.checkpoint_steps or max(1, round(per_epoch)),
            dataset=config.dataset,
            smaller="--linear_batch_size, --eval_batch_size or --eval_image_size",
        )
    return evaluate_and_record(job, learner, classify, origin, settings, directory)


def build_learner(job, encoder, schedule):
    """A compiled linear classifier on the frozen encoder."""
    encoder.trainable = False
    learner = Supervised(
        encoder,
        input_range="0,1",
        head=layers.classifier(
            encoder.output_shape[-1],
            job.labelled_source.num_classes,
            seed=job.config.seed + 3,
            name="head",
        ),
    )
    learner.build((None, *job.eval_size, job.channels))
    learner.compile(
        jit_compile=False,
        optimizer=keras.optimizers.SGD(schedule, momentum=MOMENTUM, nesterov=True),
    )
    return learner


def settings_of(job):
    """The settings that the result depends on, besides the encoder."""
    config, source = job.config, job.labelled_source
    return {
        "dataset": source.name,
        "train_split": source.split,
        "eval_split": job.eval_source.split,
        "size": list(job.eval_size),
        "precision": job.precision,
        "labels_sha256": data.fingerprint(job.label_indices),
        "images": evaluate.count(config, job.eval_source),
        "data": [data.digest(source.identity), data.digest(job.eval_source.identity)],
        **{
            name: getattr(config, name)
            for name in (
                "label_fraction",
                "label_list",
                "seed",
                "linear_epochs",
                "linear_learning_rate",
                "linear_batch_size",
                "eval_crop_proportion",
            )
        },
    }


def digest(settings):
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]


def evaluate_and_record(job, learner, classify, origin, settings, directory):
    """Evaluates, writes result.json and a TensorBoard point, prints the table."""
    config = job.config
    logits, labels = evaluate.represent(
        config,
        classify,
        job.eval_source,
        job.eval_size,
        "linear evaluation",
        config.eval_steps,
        "logits",
    )
    scores = evaluate.score(logits, labels)
    result = {
        **frozen.record(job, origin),
        **settings,
        "results": {PROTOCOL: scores},
        **(rundir.read_json(directory, rundir.TIME) or {}),
    }
    writer = Board(os.path.join(directory, "eval"))
    writer.scalars(int(learner.optimizer.iterations), top_scalars(PROTOCOL, scores))
    writer.close()
    files.write_json(directory, "result.json", result)
    frozen.print_result(result, f"{directory}/result.json")
    return result
