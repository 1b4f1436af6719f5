"""Runs `fit` with the standard callbacks: progress, TensorBoard, checkpoints, alarms."""

import time

import tensorflow as tf

from tfssl import data, files
from tfssl.callbacks.alarms import StopOnNaN
from tfssl.callbacks.checkpoints import SaveCheckpoints
from tfssl.callbacks.steps import Pace, ShowProgress
from tfssl.callbacks.tensorboard import Scalars
from tfssl.distribute.strategy import single
from tfssl.errors import TrainingError
from tfssl.storage import rundir

IF_NOT_FINITE = (
    "Try a lower --learning_rate, a longer --warmup_epochs, or --precision=float32; earlier "
    "checkpoints are kept."
)


def train(
    model,
    batches,
    checkpoints,
    *,
    title,
    directory,
    writer,
    start,
    stop,
    batch_size,
    seed,
    summary_steps,
    checkpoint_steps,
    dataset,
    smaller,
    distribution=None,
    callbacks=(),
    steps_per_execution=1,
):
    """Trains from one step to another, and updates the training time in the directory.

    Args:
        model: a compiled `tfssl.methods.Learner`.
        batches: `tf.data.Dataset` of stop - start batches, or a distributed dataset.
        checkpoints: `Checkpoints` of the model.
        title: text for the progress bar.
        directory: directory of time.json.
        writer: a `Board`, closed at the end; None: a worker other than the chief, which writes
            nothing.
        start, stop: integers, number of steps before and after.
        batch_size: images per step.
        seed: seed of the batches, for the record of a failure.
        summary_steps: steps between TensorBoard points; 0: none.
        checkpoint_steps: steps between checkpoints.
        dataset: name of the dataset, for messages.
        smaller: the flags that reduce memory, for messages.
        distribution: the `Distribution` that trains; None: one device.
        callbacks: further callbacks.
        steps_per_execution: training steps per call from Python, at most; None: as many as take a
            second.

    Returns:
        The step after which the training ended: `stop`, or an earlier one if a callback set
        `stop_training`.

    Raises:
        TrainingError: out of memory, damaged data, a non-finite loss, or a lost worker.
        Interrupted: by a signal, after a checkpoint.
    """
    show = ShowProgress(start, stop, batch_size, title)
    chief, distribution = writer is not None, distribution or single()
    alarm = StopOnNaN(start, directory if chief else None, seed, IF_NOT_FINITE)
    callbacks = [alarm, *callbacks, show]
    if summary_steps:
        callbacks.append(Scalars(start, stop, writer, summary_steps, batch_size))
    spent = (rundir.read_json(directory, rundir.TIME) or {}).get("train_seconds", 0.0)
    began = time.monotonic()

    def note_time():
        files.write_json(
            directory,
            rundir.TIME,
            {
                "train_seconds": spent + time.monotonic() - began,
                "images_per_second": show.progress.images_per_second,
            },
        )

    save = SaveCheckpoints(start, checkpoints, checkpoint_steps, stop, alarm, writer, note_time)
    callbacks.append(save)
    if model.jit_compile:
        print("compiling the training step, which can take minutes ...", flush=True)
    else:
        print("building the graph of the training step ...", flush=True)
    try:
        with distribution.noticing_lost_workers(), data.reading(dataset):
            model.fit(
                batches,
                verbose=0,
                shuffle=False,
                callbacks=callbacks,
                pace=Pace(start, stop, steps_per_execution, [summary_steps, checkpoint_steps]),
                steps_per_epoch=stop - start if distribution.replicas > 1 else None,
            )
    except tf.errors.ResourceExhaustedError:
        raise TrainingError(f"The device ran out of memory. Try a smaller {smaller}.") from None
    finally:
        save.release()
        if chief:
            writer.close()
            with save.forgiven(f"record of the time in {rundir.TIME}"):
                note_time()
    save.obey(save.before)
    return save.before
