"""Who computes a training: one device, several of this machine, or several workers.

With `tf.distribute`: every replica computes its part of the batch, and all of them together what
one device would. Workers are processes that TF_CONFIG names; the first, the chief, keeps the
directory of the run and evaluates, and the others follow it. All of them read that directory, so
it has to be on a disk that they share.
"""

import contextlib
import dataclasses
import functools
import glob
import hashlib
import json
import os
import signal
from typing import Optional

import keras
import tensorflow as tf

import tfssl
from tfssl import data
from tfssl.distribute.meeting import Meeting
from tfssl.errors import TrainingError, UsageError
from tfssl.signals import handled

TF_CONFIG = (
    'TF_CONFIG must be JSON like {"cluster": {"worker": ["host1:port", "host2:port"]}, '
    '"task": {"type": "worker", "index": 0}}'
)

# Flags that say where something is, which may be elsewhere on each host.
PLACES = ("model_dir", "data_dir", "probe_data_dir", "checkpoint", "teacher", "label_list")

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


def settings(config):
    """What workers have to be started with alike: all flags but those of places, and the code."""
    flags = {f"--{name}": value for name, value in config.to_dict().items() if name not in PLACES}
    return {
        **flags,
        "tfssl": tfssl.__version__,
        "TensorFlow": tf.__version__,
        "Keras": keras.__version__,
        "the code of tfssl": code(),
    }


def code():
    """A digest of the package's source files."""
    root = os.path.dirname(tfssl.__file__)
    found = hashlib.sha256()
    for path in sorted(glob.glob(os.path.join(root, "**", "*.py"), recursive=True)):
        found.update(os.path.relpath(path, root).encode() + b"\0")
        with open(path, "rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()[:12]


def single():
    """One device, without `tf.distribute`."""
    return Distribution(tf.distribute.get_strategy())


def of(config):
    """What --distribute asks for; to be called before TensorFlow computes anything.

    Args:
        config: a `tfssl.Config`; the flags of devices, those of a TPU and mode are read.

    Raises:
        UsageError: the devices are not there, or TF_CONFIG is not what it has to be.
    """
    kind = config.distribute
    if not config.trains:
        if kind in ("mirrored", "multi_worker", "tpu"):
            raise UsageError(
                f"--distribute={kind} concerns training; --mode={config.mode} "
                "computes on one device."
            )
        return single()
    if kind == "auto":
        kind = chosen(config)
    if config.replicas and kind != "mirrored":
        raise UsageError(
            "--replicas concerns --distribute=mirrored. "
            f"Received: --replicas={config.replicas} with {kind}"
        )
    found = STRATEGIES[kind](config)
    if config.accumulate_steps > 1 and found.replicas > 1:
        raise UsageError(
            "--accumulate_steps must be 1 on several replicas: they divide the batch "
            f"already. Received: {config.accumulate_steps} on {found}"
        )
    if config.train_batch_size % found.replicas:
        raise UsageError(
            "--train_batch_size must be a multiple of the number of replicas, "
            f"{found.replicas}. Received: {config.train_batch_size}"
        )
    return found


def chosen(config):
    """The kind that --distribute=auto stands for."""
    if len(workers_of(os.environ.get("TF_CONFIG"))[0]) > 1:
        return "multi_worker"
    if config.use_tpu:
        return "tpu"
    return "mirrored" if config.replicas or len(gpus()) > 1 else "none"


def gpus():
    return tf.config.list_physical_devices("GPU")


def mirrored(config):
    """All GPUs of this machine, or --replicas of them; without a GPU, logical processors."""
    there = len(gpus())
    count = config.replicas or there
    if there and count > there:
        raise UsageError(f"--replicas must be at most {there}, the GPUs here. Received: {count}")
    if not there and not count:
        raise UsageError(
            "--distribute=mirrored needs a GPU, or --replicas to try it on a "
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
                "--replicas on a processor must be set up before TensorFlow has "
                "computed anything in this process."
            ) from None
    return Distribution(strategy_on("GPU" if there else "CPU", count))


@functools.cache
def strategy_on(kind, count):
    """One for all trainings of a process: a second would count its exchanges from the start again,
    and TensorFlow would take them for those of the first."""
    return tf.distribute.MirroredStrategy([f"{kind}:{i}" for i in range(count)])


def multi_worker(config):
    """The workers of TF_CONFIG, each with all its GPUs; waits until all of them are there."""
    addresses, own = workers_of(os.environ.get("TF_CONFIG"))
    if not addresses:
        raise UsageError(f"--distribute=multi_worker needs TF_CONFIG. {TF_CONFIG}. Received: none")
    if config.model_dir is None:
        raise UsageError(
            "--distribute=multi_worker needs --model_dir, a directory that all workers share."
        )
    place = addresses.index(own)
    print(f"worker {place} of {len(addresses)} at {own}: waiting for the others", flush=True)
    meeting = Meeting(addresses, place)
    meeting.join()
    found = Distribution(tf.distribute.get_strategy(), len(addresses), place == 0, meeting)
    found.same(settings(config))
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


def tpu(config):
    """The TPU that --tpu_name or --master names, or the one of this machine."""
    name = config.tpu_name or config.master
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(
            name or "local", zone=config.tpu_zone, project=config.gcp_project
        )
        if name:
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return Distribution(tf.distribute.TPUStrategy(resolver))
    except (ValueError, RuntimeError, tf.errors.OpError, OSError) as error:
        raise UsageError(
            "--distribute=tpu needs a TPU that TensorFlow can reach. Received: "
            f"--tpu_name={name} ({str(error).splitlines()[0]})"
        ) from None


STRATEGIES = {
    "none": lambda config: single(),
    "mirrored": mirrored,
    "multi_worker": multi_worker,
    "tpu": tpu,
}
