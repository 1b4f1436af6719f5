"""Selects the `tf.distribute` strategy: one device, several of this machine, or several workers.

Every replica computes its share of the batch; together they compute what one device would. Workers
are the processes listed in TF_CONFIG. The first, the chief, writes the directory of the run and
evaluates. All of them read that directory, so it must be on a shared disk.
"""

import contextlib
import dataclasses
import functools
import json
import os
import signal
from typing import Optional

import tensorflow as tf

from tfssl import data
from tfssl.distribute.meeting import Meeting
from tfssl.errors import TrainingError, UsageError
from tfssl.signals import handled

TF_CONFIG = (
    'TF_CONFIG must be JSON like {"cluster": {"worker": ["host1:port", "host2:port"]}, '
    '"task": {"type": "worker", "index": 0}}'
)

# Errors that TensorFlow raises on a worker when another one has died.
LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
    tf.errors.UnknownError,
)


@dataclasses.dataclass(frozen=True)
class Distribution:
    """A `tf.distribute` strategy, and the role of this process in it."""

    strategy: tf.distribute.Strategy
    workers: int = 1
    chief: bool = True
    meeting: Optional[Meeting] = None  # None: a single worker

    @property
    def replicas(self):
        return self.strategy.num_replicas_in_sync

    def scope(self):
        """The scope in which variables are created."""
        return self.strategy.scope()

    def batches(self, of_share):
        """The training batches for `fit`.

        Args:
            of_share: function (share=`tfssl.data.Share`) -> `tf.data.Dataset` of that share.
        """
        if self.replicas == 1:
            return of_share(share=data.WHOLE)

        def of_process(context):
            count = context.num_replicas_in_sync // context.num_input_pipelines
            return of_share(
                share=data.Share(
                    context.input_pipeline_id * count, count, context.num_replicas_in_sync
                )
            )

        return self.strategy.distribute_datasets_from_function(of_process)

    def agree(self, number=0):
        """Waits for all workers and returns the chief's number on each.

        Raises:
            TrainingError: a worker is lost.
            Interrupted: by a signal.
        """
        if self.meeting is None:
            return number
        self.meeting.gather(None)
        return self.meeting.share(number)

    def finish(self):
        """Makes the other workers wait until the chief calls this too, after its evaluation.

        Raises:
            TrainingError: on a waiting worker, if the chief is lost.
            Interrupted: by a signal.
        """
        if self.meeting is not None:
            self.meeting.dismiss()

    def require_same(self, record):
        """Checks that a record is the same on all workers.

        Args:
            record: {name for messages: JSON-serializable value}.

        Raises:
            UsageError: on all workers, if any record differs from the chief's.
            TrainingError, Interrupted: as `agree`.
        """
        if self.meeting is None:
            return
        records = self.meeting.gather(json.loads(json.dumps(record)))
        refused = self.meeting.share(records and differences(records, self.meeting))
        if refused:
            raise UsageError(refused)

    @contextlib.contextmanager
    def noticing_lost_workers(self):
        """A context for collective work; raises TrainingError if another worker is lost."""
        try:
            yield
        except LOST as error:
            if self.workers == 1:
                raise
            lines = [
                line
                for line in error.message.splitlines()
                if line[:1].strip()
                and not line.startswith(("Graph execution", "Detected", "Stack trace", "Node: "))
            ]
            raise TrainingError(
                "Another worker is gone, or cannot be reached "
                f"({lines[0] if lines else type(error).__name__}). The same "
                "command on all workers continues from the newest checkpoint."
            ) from None

    @contextlib.contextmanager
    def quiet(self):
        """Suppresses standard output except on the chief."""
        if self.chief:
            yield
            return
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            yield

    def __str__(self):
        if self.replicas == 1:
            return "one device"
        of = f" of {self.workers} workers" if self.workers > 1 else ""
        return f"{self.replicas} replicas{of}"


def differences(records, meeting):
    """How a record differs from the chief's, in a sentence; None: all are equal."""
    chief, *others = records
    for place, record in enumerate(others, start=1):
        differing = [
            f"{name} {chief.get(name)} and {record.get(name)}"
            for name in {**chief, **record}
            if chief.get(name) != record.get(name)
        ]
        if differing:
            return (
                f"All workers must be started alike. Received on {meeting.name(0)}, and on "
                f"{meeting.name(place)}: {', '.join(differing)}"
            )


def single():
    """One device, without `tf.distribute`."""
    return Distribution(tf.distribute.get_strategy())


def gpus():
    return tf.config.list_physical_devices("GPU")


def mirrored(replicas=None):
    """All GPUs of this machine, or the first `replicas`; without a GPU, logical processors.

    Raises:
        UsageError: there are fewer GPUs, or TensorFlow has already initialized the processor.
    """
    there = len(gpus())
    count = replicas or there
    if there and count > there:
        raise UsageError(f"`replicas` must be at most {there}, the GPUs here. Received: {count}")
    if not there and not count:
        raise UsageError(
            "`distribute=mirrored` needs a GPU, or `replicas` to try it on a "
            "processor. Received: neither"
        )
    if not there:
        (cpu,) = tf.config.list_physical_devices("CPU")
        try:
            tf.config.set_logical_device_configuration(
                cpu, [tf.config.LogicalDeviceConfiguration()] * count
            )
        except RuntimeError:
            raise UsageError(
                "`replicas` on a processor must be set up before TensorFlow has "
                "computed anything in this process."
            ) from None
    return Distribution(strategy_on("GPU" if there else "CPU", count))


@functools.cache
def strategy_on(kind, count):
    """One strategy for all trainings of a process.

    A second one would number its collective operations from 0 again, and TensorFlow would confuse
    them with those of the first.
    """
    return tf.distribute.MirroredStrategy([f"{kind}:{i}" for i in range(count)])


def multi_worker(settings):
    """The workers of TF_CONFIG, each with all its GPUs; waits until all of them are connected.

    Args:
        settings: {name: JSON-serializable value}, which must be equal on all workers.

    Raises:
        UsageError: TF_CONFIG is missing or invalid, or settings differ.
    """
    addresses, own = workers_of(os.environ.get("TF_CONFIG"))
    if not addresses:
        raise UsageError(f"`distribute=multi_worker` needs TF_CONFIG. {TF_CONFIG}. Received: none")
    place = addresses.index(own)
    print(f"worker {place} of {len(addresses)} at {own}: waiting for the others", flush=True)
    meeting = Meeting(addresses, place)
    meeting.join()
    found = Distribution(tf.distribute.get_strategy(), len(addresses), place == 0, meeting)
    found.require_same(settings)
    try:
        with handled(signal.SIG_DFL):  # while TensorFlow connects, Python's handlers do not run
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except (RuntimeError, ValueError, tf.errors.OpError) as error:
        raise UsageError(
            f"TF_CONFIG: this worker could not start at {own} ({str(error).splitlines()[0]})."
        ) from None
    return dataclasses.replace(found, strategy=strategy)


def workers_of(text):
    """Parses TF_CONFIG into (addresses, the chief's first; own address); ([], None) if it is empty.

    Raises:
        UsageError: the text is not a TF_CONFIG of workers.
    """
    if not text:
        return [], None
    try:
        value = json.loads(text)
        cluster, task = value.get("cluster", {}), value.get("task", {})
        kinds = {kind: cluster.get(kind, []) for kind in ("chief", "worker")}
        addresses = [*kinds["chief"], *kinds["worker"]]
        if not addresses:
            return [], None
        if not task and len(addresses) == 1:
            return addresses, addresses[0]
        index = int(task["index"])
        lists = all(isinstance(one, list) for one in kinds.values())
        if index < 0 or not lists or len(set(addresses)) < len(addresses):
            raise ValueError
        own = kinds[task["type"]][index]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        raise UsageError(f"{TF_CONFIG}, with different addresses. Received: {text}") from None
    return addresses, own


def tpu(name=None, zone=None, project=None):
    """The TPU with a name or address in Google Cloud; without a name, that of this machine.

    Raises:
        UsageError: TensorFlow cannot reach it.
    """
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(
            name or "local", zone=zone, project=project
        )
        if name:
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return Distribution(tf.distribute.TPUStrategy(resolver))
    except (ValueError, RuntimeError, tf.errors.OpError, OSError) as error:
        raise UsageError(
            "`distribute=tpu` needs a TPU that TensorFlow can reach. Received: "
            f"`tpu_name={name}` ({str(error).splitlines()[0]})"
        ) from None
