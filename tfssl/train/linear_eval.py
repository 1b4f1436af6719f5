"""`--mode=linear_eval`: a linear classifier on the frozen encoder, by DeepMind's protocol.

Grill et al. 2020 (BYOL), Appendix C.1, with the rate of deepmind-research byol (f5de0ed): SGD with
Nesterov momentum 0.9 from 0.2 x batch/256 to 0 along a cosine, no warm-up, no weight decay, 80
epochs of random crops and flips of the training split; the central crops of the evaluation split
are scored once, at the end. Nothing is chosen by that score.
"""

import hashlib
import json
import os

import keras
import tensorflow as tf

from tfssl import augment, data, nets, optim
from tfssl.errors import UsageError
from tfssl.methods import LinearClassifier
from tfssl.train import device, evaluate, loop, rundir
from tfssl.train.checkpoint import Checkpoints
from tfssl.train.pretrain import open_run

PROTOCOL = "linear_sgd"
MOMENTUM = 0.9


def linear_evaluation(config, given):
    """Trains and scores the classifier of the run in --model_dir; continues where it stopped.

    It has a directory of its own, `linear_eval/step<step>-<digest of the settings>`, so that
    equal requests meet there and others are kept apart.

    Args:
        config: a `tfssl.Config` whose model_dir is set.
        given: names of the flags that the user gave.

    Returns:
        The content of the result.json that is written there.

    Raises:
        UsageError: see `open_run`; or a batch larger than the split.
    """
    job, model, _, step = open_run(config, given)
    config, source = job.config, job.train_source
    batch = config.linear_batch_size
    if batch > source.num_examples:
        raise UsageError(f"--linear_batch_size must be at most {source.num_examples}, the number "
                         f"of examples in {config.dataset} {source.split}. Received: {batch}")
    settings = settings_of(job)
    directory = os.path.join(config.model_dir, "linear_eval",
                             f"step{step}-{digest(settings)}")
    result = rundir.read_json(directory, "result.json")
    if result:
        print(f"{directory}: finished; nothing left to do")
        print_result(result, directory)
        return result

    steps = max(1, int(source.num_examples * config.linear_epochs // batch))
    rate = optim.scaled_learning_rate(config.linear_learning_rate, batch)
    learner = LinearClassifier(model.encoder, nets.classifier(
        model.encoder.output_shape[-1], source.num_classes, seed=config.seed + 3, name="head"))
    learner.build((None, *job.eval_size, 3))
    learner.compile(jit_compile=False, optimizer=keras.optimizers.SGD(
        optim.WarmupCosine(rate, 0, steps), momentum=MOMENTUM, nesterov=True))
    learner.optimizer.build(learner.learned_variables())
    checkpoints = Checkpoints(directory, keep=1, optimizer=learner.optimizer, **learner.parts)
    start = checkpoints.restore_newest()
    rundir.make(directory)
    print(f"linear evaluation of step {step} of {config.model_dir}: {source.num_examples:,} images "
          f"of {source.split}, random crops of {job.eval_size[0]}x{job.eval_size[1]} px, "
          f"{config.linear_epochs:g} epochs, peak learning rate {rate:.4g}\n"
          f"scored on {job.eval_source.split}: {job.eval_source.num_examples:,} images\n"
          f"{directory}: " + (f"continues from step {start}" if start else "from scratch"),
          flush=True)
    if start < steps:
        batches = data.views(source, [augment.supervised_view(job.eval_size)], batch_size=batch,
                             seed=config.seed, start_step=start, stop_step=steps)
        per_epoch = config.checkpoint_epochs * source.num_examples / batch
        loop.train(
            learner, batches, checkpoints, title="linear evaluation", directory=directory,
            writer=tf.summary.create_file_writer(directory), start=start, stop=steps,
            batch_size=batch, summary_steps=config.train_summary_steps,
            checkpoint_steps=config.checkpoint_steps or max(1, round(per_epoch)),
            dataset=config.dataset,
            smaller="--linear_batch_size, --eval_batch_size or --eval_image_size")
    return report(job, learner, step, settings, directory)


def settings_of(job):
    """All that the result depends on, beside the encoder."""
    config = job.config
    return {"dataset": job.train_source.name, "train_split": job.train_source.split,
            "eval_split": job.eval_source.split, "size": list(job.eval_size),
            "precision": job.precision,
            **{name: getattr(config, name) for name in (
                "linear_epochs", "linear_learning_rate", "linear_batch_size", "eval_steps",
                "eval_crop_proportion")}}


def digest(settings):
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]


def report(job, learner, step, settings, directory):
    """Scores the evaluation split, writes result.json and a TensorBoard point, prints the table."""
    config = job.config
    encode = evaluate.encoder_function(learner.encoder, job.eval_size)
    h, labels = evaluate.represent(config, encode, job.eval_source, job.eval_size,
                                   f"step {step}", config.eval_steps)
    scores = evaluate.score(learner.head.predict(h, verbose=0), labels)
    result = {"global_step": step, **settings, "results": {PROTOCOL: scores},
              **(rundir.read_json(directory, "time.json") or {}), **device.describe()}
    writer = tf.summary.create_file_writer(os.path.join(directory, "eval"))
    with writer.as_default(step=step):
        for k in (1, 5):
            tf.summary.scalar(f"eval/{PROTOCOL}_top_{k}_accuracy", scores[f"top_{k}"])
    writer.close()
    rundir.write_json(directory, "result.json", result)
    print_result(result, directory)
    return result


def print_result(result, directory):
    count = result["results"][PROTOCOL]["examples"]
    print(f"\n{evaluate.table(result['results'], None)}\n\n"
          f"{result['dataset']} {result['eval_split']}, {count:,} images, encoder of step "
          f"{result['global_step']}, classifier of {result['linear_epochs']:g} epochs; "
          f"{directory}/result.json\ntensorboard --logdir {directory}", flush=True)
