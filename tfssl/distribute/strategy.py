"""Selects the `tf.distribute` strategy: one device, several of this machine, or several workers.

Every replica computes its part of the batch, and all of them together what
one device would. Workers are processes that TF_CONFIG names; the first, the chief, keeps the
directory of the run and evaluates, and the others follow it. All of them read that directory, so
it has to be on a disk that they share.
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

# What TensorFlow says on a worker when another one has died.
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
    """A strategy of `tf.distribute`, and the place of this process in it."""

    strategy: tf.distribute.Strategy
    workers: int = 1
    chief: bool = True
    meeting: Optional[Meeting] = None  # of several workers

    @property
    def replicas(self):
        return self.strategy.num_replicas_in_sync

    def scope(self):
        """Where variables are made."""
        return self.strategy.scope()

    def batches(self, of_share):
        """The training batches, as `fit` takes them.

        Args:
            of_share: (share=`tfssl.data.Share`) -> `tf.data.Dataset` of the parts.
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
        """The chief's number on every worker; it waits for all of them.

        Raises:
            TrainingError: one is gone.
            Interrupted: by a signal.
        """
        if self.meeting is None:
            return number
        self.meeting.gather(None)
        return self.meeting.share(number)

    def part(self):
        """Keeps the other workers until the chief has done its work, and does not need them for it.

        Raises:
            TrainingError: on one that waits, where the chief is gone.
            Interrupted: by a signal.
        """
        if self.meeting is not None:
            self.meeting.dismiss()

    def same(self, record):
        """Raises UsageError on all workers where one has another record than the chief has.

        Args:
            record: {what it is called in messages: what JSON can hold}, of the same on all.

        Raises:
            TrainingError, Interrupted: as `agree`.
        """
        if self.meeting is None:
            return
        records = self.meeting.gather(json.loads(json.dumps(record)))
        refused = self.meeting.share(records and unlike(records, self.meeting))
        if refused:
            raise UsageError(refused)

    @contextlib.contextmanager
    def all_there(self):
        """For what all workers do together: raises TrainingError where one of them is gone."""
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
        """The chief alone speaks; errors and warnings are told by all."""
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


def unlike(records, meeting):
    """How the records of workers differ from the chief's, in a sentence; None where none does."""
    chief, *others = records
    for place, record in enumerate(others, start=1):
        told = [
            f"{name} {chief.get(name)} and {record.get(name)}"
            for name in {**chief, **record}
            if chief.get(name) != record.get(name)
        ]
        if told:
            return (
                f"All workers must be started alike. Received on {meeting.name(0)}, and on "
                f"{meeting.name(place)}: {', '.join(told)}"
            )


def single():
    """One device, without `tf.distribute`."""
    return Distribution(tf.distribute.get_strategy())


def gpus():
    return tf.config.list_physical_devices("GPU")


def mirrored(replicas=None):
    """All GPUs of this machine, or as many as `replicas`; without a GPU, logical processors.

    Raises:
        UsageError: they are not there, or TensorFlow has computed before.
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
    """One for all trainings of a process: a second would count its exchanges from the start again,
    and TensorFlow would take them for those of the first."""
    return tf.distribute.MirroredStrategy([f"{kind}:{i}" for i in range(count)])


def multi_worker(settings):
    """The workers of TF_CONFIG, each with all its GPUs; waits until all of them are there.

    Args:
        settings: {name: what JSON can hold}, which must be equal on all workers.

    Raises:
        UsageError: there is no TF_CONFIG, or none that holds; or settings that differ.
    """
    addresses, own = workers_of(os.environ.get("TF_CONFIG"))
    if not addresses:
        raise UsageError(f"`distribute=multi_worker` needs TF_CONFIG. {TF_CONFIG}. Received: none")
    place = addresses.index(own)
    print(f"worker {place} of {len(addresses)} at {own}: waiting for the others", flush=True)
    meeting = Meeting(addresses, place)
    meeting.join()
    found = Distribution(tf.distribute.get_strategy(), len(addresses), place == 0, meeting)
    found.same(settings)
    try:
        with handled(signal.SIG_DFL):  # until TensorFlow has connected it lets no other act
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except (RuntimeError, ValueError, tf.errors.OpError) as error:
        raise UsageError(
            f"TF_CONFIG: this worker could not start at {own} ({str(error).splitlines()[0]})."
        ) from None
    return dataclasses.replace(found, strategy=strategy)


def workers_of(text):
    """The addresses in a TF_CONFIG, the chief's first, and this process's own; ([], None) for none.

    Raises:
        UsageError: it is no TF_CONFIG of workers.
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
    """The TPU of a name or address, in a zone and project of Google Cloud, or of this machine.

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
