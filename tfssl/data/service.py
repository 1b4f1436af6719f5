"""Batches that the workers of a tf.data service make, on other hosts.

A batch is a function of (seed, step), whoever makes it. So a service needs no guarantees of its
own: its batches are numbered and are taken in the order of their numbers, and one that does not
come, as its worker was lost, or not in time, is made here. The batches of a training are the same
as without the service, each exactly once, from whatever step it goes on.
"""

import socket
import threading
import time
from collections.abc import Callable

import tensorflow as tf

from tfssl.compat import as_it_is
from tfssl.data.source import reason
from tfssl.errors import UsageError
from tfssl.notes import say

ANSWER = 10.0  # seconds within which a dispatcher is reached
FIRST = 60.0  # seconds within which the first batch comes, or a message says that it has not
PATIENCE = 20.0  # seconds without any batch, after which those that are due are made here
RETRY = 5.0  # seconds until a service that failed is asked again
AHEAD_BYTES = 2**30  # of the batches that wait for one before them
AT_ONCE_BYTES, AT_ONCE = 2**26, 16  # of consecutive steps, which one worker makes; and their number
OF_PYTHON = ("PyFunc", "PyFuncStateless", "EagerPyFunc")  # operations that only this process has
LARGEST = 2**31  # bytes of a graph, with the images in it


def served(
    make: Callable[[int, int], tf.data.Dataset],
    start: int,
    stop: int,
    address: str,
    *,
    parts: int = 1,
) -> tf.data.Dataset:
    """The batches of a range of steps, made by the workers of a tf.data service.

    They are bit for bit those of `make(start, stop)` where the workers' processors are of the same
    kind, and equal up to rounding otherwise. Files must have the same paths on the workers.

    Args:
        make: function (start, stop) -> `tf.data.Dataset` of the batches of these steps, such as
            `tfssl.data.views` with all else given. The steps may be tensors.
        start, stop: integers, the range of steps, `stop` excluded.
        address: "HOST:PORT" of the dispatcher.
        parts: number of elements that `make` has for each step.

    Returns:
        `tf.data.Dataset` with the elements of `make(start, stop)`.

    Raises:
        UsageError: no dispatcher answers, the service cannot make the batches, or they need
            Python code or more than 2 GiB of images in memory, and thus this process.

    Example:

    ```python
    def make(start, stop):  # the batches of these steps, on whichever host
        options = dict(batch_size=256, seed=0, start_step=start, stop_step=stop)
        return tfssl.data.views(source, recipes, **options)

    # tfssl.data.served(make, 0, 1000, "node1:5050") is make(0, 1000), made by other hosts
    ```
    """
    try:
        host, _, port = address.rpartition(":")
        socket.create_connection((host, int(port)), ANSWER).close()
    except (OSError, OverflowError, ValueError) as error:
        raise UsageError(
            f"`data_service={address}` must be HOST:PORT of a dispatcher that runs. No one "
            f"answers there ({getattr(error, 'strerror', None) or error})"
        ) from None
    here = make(start, stop)
    check_portable(here)
    spec = here.element_spec
    flat = tf.nest.flatten(spec)
    size = sum(max(1, one.dtype.size) * (one.shape.num_elements() or 1) for one in flat)
    at_once = max(1, min(AT_ONCE, AT_ONCE_BYTES // (size * parts)))
    ahead = max(2 * at_once * parts, min(64, AHEAD_BYTES // size))

    def remote(number):
        """(number, *tensors) of the batches from a number on, in any order."""
        firsts = tf.data.Dataset.range(number // parts, stop, at_once)

        @as_it_is
        def of_steps(first):
            last = tf.minimum(first + at_once, stop)
            numbers = tf.data.Dataset.range(first * parts, last * parts)
            return tf.data.Dataset.zip(numbers, make(first, last))

        batches = firsts.interleave(
            of_steps, cycle_length=2, num_parallel_calls=2, deterministic=False
        ).map(as_it_is(lambda number, batch: (number, *tf.nest.flatten(batch))))
        service = tf.data.experimental.service
        return batches.apply(
            service.distribute(
                service.ShardingPolicy.DYNAMIC, f"grpc://{address}", compression=None
            )
        )

    def local(number):
        first = number // parts
        batches = make(first, min(first + at_once, stop)).skip(number % parts)
        return (tf.nest.flatten(batch) for batch in batches)

    reader = Reader(remote, local, range(start * parts, stop * parts), ahead)
    reader.await_first()

    @as_it_is
    def take(number):
        made = tf.py_function(reader.take, [number], [one.dtype for one in flat])
        made = [tf.ensure_shape(value, one.shape) for value, one in zip(made, flat)]
        return tf.nest.pack_sequence_as(spec, made)

    batches = tf.data.Dataset.range(start * parts, stop * parts).map(take).prefetch(1)
    batches.checked = getattr(here, "checked", False)
    return batches


def check_portable(dataset):
    """Raises UsageError for a dataset that other processes cannot make."""
    try:
        content = tf.raw_ops.DatasetToGraphV2(
            input_dataset=tf.data.experimental.to_variant(dataset), external_state_policy=1
        ).numpy()
    except tf.errors.OpError:
        content = None
    if content is None or len(content) >= LARGEST:  # of a message of protocol buffers
        raise UsageError(
            "`data_service` sends images that are in memory to its workers, at most 2 GiB. Give "
            "`cache_dataset=False`, so that they read them"
        )
    graph = tf.compat.v1.GraphDef.FromString(content)
    functions = (function.node_def for function in graph.library.function)
    operations = {node.op for nodes in (graph.node, *functions) for node in nodes}
    if operations & set(OF_PYTHON):
        raise UsageError(
            "`data_service` needs images that TensorFlow reads by itself: JPEG, PNG, BMP or GIF of "
            "8 bits in a folder, a table or TFRecord files, or images in memory; and views of its "
            "operations. These need Python code of this process"
        )


class Reader:
    """Takes numbered batches as they arrive, in any order, and gives them in order.

    Args:
        remote: function (number) -> iterable of (number, *tensors), from that number on, in any
            order, some of which may never come.
        local: function (number) -> iterator of lists of tensors, some from that number on.
        numbers: range of all numbers.
        ahead: how many batches wait for one before them, at most.
    """

    def __init__(self, remote, local, numbers, ahead):
        self.remote, self.local, self.numbers, self.ahead = remote, local, numbers, ahead
        self.made_here, self.own, self.next_own = 0, None, None
        self.changed = threading.Condition()
        self.arrivals, self.taken = None, False
        self.begin(numbers.start)

    def __del__(self):
        if self.arrivals:
            self.arrivals.close()

    def begin(self, number):
        """Asks the service for the batches from a number on."""
        if self.arrivals:
            self.arrivals.close()
        self.arrivals = Arrivals(self.remote, number, self.ahead, self.changed)
        self.taken = False

    def await_first(self):
        """Waits for the first batch.

        Raises:
            UsageError: the service cannot make it.
        """
        arrivals, until = self.arrivals, time.monotonic() + FIRST
        with self.changed:
            while not (arrivals.any or arrivals.error or arrivals.ended):
                left = until - time.monotonic()
                if left <= 0:
                    say(
                        f"data service: no batch has come within {FIRST:.0f} s; are there "
                        "workers? The batches are made here until one comes"
                    )
                    return
                self.changed.wait(left)
            if arrivals.error and not arrivals.any:
                arrivals.close()
                raise UsageError(
                    "`data_service` cannot make the batches; its hosts need the same files at the "
                    f"same paths, and the same TensorFlow. It says: {reason(arrivals.error)[:500]}"
                )

    def take(self, number):
        """The tensors of a batch, which is the one after that taken before, or the first."""
        number = int(number)
        if number == self.numbers.start and self.taken:  # a new iteration
            self.begin(number)
        self.taken = True
        batch = self.arrivals.take(number)
        return batch if batch is not None else self.make(number)

    def make(self, number):
        """Makes a batch here."""
        self.made_here += 1
        if self.made_here & (self.made_here - 1) == 0:  # 1, 2, 4, ...
            say(
                f"data service: {self.made_here:,} batch{'es' * (self.made_here > 1)} so far did "
                "not come in time, and were made here"
            )
        try:
            made = next(self.own, None) if self.own and number == self.next_own else None
            if made is None:
                self.own = self.local(number)
                made = next(self.own)
        except tf.errors.OpError as error:
            raise ValueError(reason(error)) from None
        self.next_own = number + 1
        return made


class Arrivals:
    """The batches that a service has made, in a thread that asks for them.

    Attributes:
        any: whether one has come.
        ended: whether the service has made all.
        error: the last one of the service, or None.
    """

    def __init__(self, remote, number, ahead, changed):
        self.remote, self.ahead, self.changed = remote, ahead, changed
        self.wanted, self.since = number, time.monotonic()
        self.there, self.any, self.ended, self.closed, self.error = {}, False, False, False, None
        threading.Thread(target=self.ask, name="tfssl data service", daemon=True).start()

    def close(self):
        with self.changed:
            self.closed = True
            self.there.clear()
            self.changed.notify_all()

    def ask(self):
        """Takes what comes until all has come; asks anew after an error."""
        while not self.closed:
            try:
                for number, *batch in self.remote(self.wanted):
                    if not self.put(int(number), batch):
                        return
                with self.changed:
                    self.ended = True
                    self.changed.notify_all()
                return
            except tf.errors.OpError as error:
                with self.changed:
                    self.error = error
                    self.changed.notify_all()
                    self.changed.wait_for(lambda: self.closed, RETRY)

    def put(self, number, batch):
        """Keeps a batch as soon as there is room; returns whether more are wanted."""
        with self.changed:
            self.any = True
            self.changed.wait_for(
                lambda: self.closed or number <= self.wanted or len(self.there) < self.ahead
            )
            if number >= self.wanted and not self.closed:
                self.there[number] = batch
            self.since = time.monotonic()
            self.changed.notify_all()
            return not self.closed

    def take(self, number):
        """A batch; None if it will not come, or not soon."""
        with self.changed:
            self.wanted = number
            for before in [one for one in self.there if one < number]:
                del self.there[before]
            self.changed.notify_all()
            self.changed.wait_for(lambda: number in self.there or self.late(), PATIENCE)
            batch = self.there.pop(number, None)
            self.wanted = number + 1
            self.changed.notify_all()
            return batch

    def late(self):
        """Whether no one should wait for the batch that is wanted."""
        return (
            self.ended or len(self.there) >= self.ahead or time.monotonic() - self.since > PATIENCE
        )
