"""Batches that the workers of a tf.data service make, on other hosts.

A batch is a function of (seed, step), whoever makes it. So a service needs no guarantees of its
own: its batches are numbered and are taken in the order of their numbers, and one that does not
come, as its worker was lost, or not in time, is made here. The batches of a training are the same
as without the service, each exactly once, from whatever step it goes on.
"""

import functools
import socket
import threading
import time
import weakref
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfssl.compat import as_it_is
from tfssl.data.source import reason
from tfssl.errors import UsageError
from tfssl.notes import say

ANSWER = 60.0  # seconds within which a dispatcher answers
FIRST = 60.0  # seconds within which the first batch comes, or a message says that it has not
PATIENCE = 20.0  # seconds without any batch, after which those that are due are made here
OVERDUE = 5.0  # seconds for which one is waited for while later ones are there
RETRY = 5.0  # seconds until a service that failed is asked again
AHEAD_BYTES, AHEAD = 2**31, 512  # of the batches that wait for one before them; and their number
AT_ONCE_BYTES, AT_ONCE = 2**26, 16  # of consecutive steps, which one worker makes; and their number
GAP = 8  # batches that are made here in vain rather than beginning anew
OF_PYTHON = ("PyFunc", "PyFuncStateless", "EagerPyFunc")  # operations that only this process has
LARGEST = 2**31  # bytes of a message, such as a graph with the images in it
UNKNOWN = 2**20  # bytes that a tensor of unknown shape is taken to have


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
    kind, and equal up to rounding otherwise. The same files must be at the same paths on the
    workers. Waits for the dispatcher and for the first batch, a minute each at most.

    Args:
        make: function (start, stop) -> `tf.data.Dataset` of the batches of these steps, such as
            `tfssl.data.views` with all else given. The steps may be tensors.
        start, stop: integers, the range of steps, `stop` excluded.
        address: "HOST:PORT" of the dispatcher.
        parts: number of elements that `make` has for each step.

    Returns:
        `tf.data.Dataset` with the elements of `make(start, stop)`, for one iteration at a time.

    Raises:
        ValueError: `make(start, stop)` has another number of elements.
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
    await_dispatcher(address)
    here, numbers = make(start, stop), range(start * parts, stop * parts)
    count = int(here.cardinality())
    if count >= 0 and count != len(numbers):
        raise ValueError(
            f"`parts` must be the number of elements of a step. Received: parts={parts} with "
            f"{count:,} elements of {stop - start:,} steps"
        )
    check_portable(here)
    spec = here.element_spec
    flat = tf.nest.flatten(spec)
    size = sum(bytes_of(one) for one in flat)
    if size >= LARGEST:
        raise UsageError(
            f"`data_service` sends batches of at most 2 GiB. Received: {size / 2**30:.1f} GiB; "
            "several training workers, or a smaller batch or image size, divide it"
        )
    at_once = max(1, min(AT_ONCE, AT_ONCE_BYTES // (size * parts)))
    ahead = max(2 * at_once * parts, min(AHEAD, AHEAD_BYTES // size))

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

    reader = Reader(remote, from_any(make, stop, parts), numbers, ahead)
    reader.await_first()
    known = weakref.ref(reader)  # TensorFlow keeps a `py_function` for good

    @as_it_is
    def take(number):
        dtypes = [one.dtype for one in flat]
        made = tf.py_function(lambda number: known().take(number), [number], dtypes)
        made = [tf.ensure_shape(value, one.shape) for value, one in zip(made, flat)]
        return tf.nest.pack_sequence_as(spec, made)

    batches = tf.data.Dataset.range(numbers.start, numbers.stop).map(take).prefetch(1)
    batches.checked = getattr(here, "checked", False)
    batches.reader = reader  # lives as long as the dataset and its iterators
    return batches


def await_dispatcher(address):
    """Waits until a dispatcher answers.

    Raises:
        UsageError: none does, or the address is none.
    """
    host, _, port = address.rpartition(":")
    until, told = time.monotonic() + ANSWER, False
    while True:
        try:
            socket.create_connection((host, int(port)), max(1.0, ANSWER)).close()
            return
        except (OSError, OverflowError, ValueError) as error:
            passing = isinstance(error, OSError) and not isinstance(error, socket.gaierror)
            if not passing or time.monotonic() > until:
                raise UsageError(
                    f"`data_service={address}` must be HOST:PORT of a dispatcher that runs. No one "
                    f"answers there ({getattr(error, 'strerror', None) or error})"
                ) from None
        if not told:
            say(f"data service: waits for the dispatcher at {address}")
        told = True
        time.sleep(0.5)


def bytes_of(spec):
    """The bytes of a tensor."""
    values = spec.shape.num_elements()
    return UNKNOWN if values is None else max(1, spec.dtype.size) * values


def from_any(make, stop, parts):
    """A function (number) -> iterator of lists of tensors, the batches from a number on.

    The dataset is built once, as building takes seconds.
    """
    start = [0]

    def begin(_):
        first = tf.numpy_function(lambda: np.int64(start[0]), [], tf.int64, stateful=True)
        return make(tf.ensure_shape(first, []), stop)

    built = functools.cache(lambda: tf.data.Dataset.from_tensors(0).flat_map(as_it_is(begin)))

    def batches(number):
        start[0] = number // parts
        return (tf.nest.flatten(batch) for batch in built().skip(number % parts))

    return batches


def check_portable(dataset):
    """Raises UsageError for a dataset that other processes cannot make."""
    try:
        content = tf.raw_ops.DatasetToGraphV2(
            input_dataset=tf.data.experimental.to_variant(dataset), external_state_policy=1
        ).numpy()
    except tf.errors.OpError as error:
        raise UsageError(
            f"`data_service` cannot send to its workers what makes the batches ({reason(error)})"
        ) from None
    if not 0 < len(content) < LARGEST:  # a larger message is an empty one
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
        local: function (number) -> iterator of lists of tensors, those from that number on.
        numbers: range of all numbers.
        ahead: how many batches wait for one before them, at most.
    """

    def __init__(self, remote, local, numbers, ahead):
        self.remote, self.local, self.numbers, self.ahead = remote, local, numbers, ahead
        self.made_here, self.own, self.next_own = 0, None, None
        self.lock, self.arrivals, self.taken = threading.Lock(), None, False
        self.begin(numbers.start)

    def __del__(self):
        if self.arrivals:
            self.arrivals.close()

    def begin(self, number):
        """Asks the service for the batches from a number on."""
        if self.arrivals:
            self.arrivals.close()
        self.arrivals = Arrivals(self.remote, number, self.ahead)

    def await_first(self):
        """Waits for the first batch.

        Raises:
            UsageError: the service cannot make it.
        """
        arrivals = self.arrivals
        with arrivals.changed:
            come = arrivals.changed.wait_for(
                lambda: arrivals.any or arrivals.error or arrivals.ended, FIRST
            )
        if arrivals.broken:
            raise arrivals.broken
        if arrivals.error and not arrivals.any:
            arrivals.close()
            raise UsageError(
                "`data_service` cannot make the batches; its hosts need the same files at the same "
                f"paths, and the same TensorFlow. It says: {reason(arrivals.error)[:500]}"
            )
        if not come:
            say(
                f"data service: no batch has come within {FIRST:.0f} s; are there workers, and is "
                "it a tf.data service? The batches are made here until one comes"
            )

    def take(self, number):
        """The tensors of a batch, which is the one after that taken before, or the first."""
        number = int(number)
        with self.lock:
            if number == self.numbers.start and self.taken:  # a new iteration
                self.begin(number)
            self.taken = True
            batch = self.arrivals.take(number)
            return self.make(number) if batch is None else batch

    def make(self, number):
        """Makes a batch here."""
        self.made_here += 1
        if self.made_here & (self.made_here - 1) == 0:  # 1, 2, 4, ...
            say(
                f"data service: {self.made_here:,} batch{'es' * (self.made_here > 1)} so far did "
                "not come in time, and were made here"
            )
        try:
            if self.own is None or not 0 <= number - self.next_own <= GAP:
                self.own, self.next_own = self.local(number), number
            for _ in range(number - self.next_own):
                next(self.own)
            self.next_own = number + 1
            return next(self.own)
        except tf.errors.OpError as error:
            self.own = None
            raise ValueError(reason(error)) from None


class Arrivals:
    """The batches that a service has made, in a thread that asks for them.

    Attributes:
        any: whether one has come.
        ended: whether the service has made all.
        error: the last one of the service, or None.
        broken: an error that no service raises, which ended the thread, or None.
    """

    def __init__(self, remote, number, ahead):
        self.remote, self.ahead, self.changed = remote, ahead, threading.Condition()
        self.wanted, self.since = number, time.monotonic()
        self.there, self.any, self.ended, self.closed = {}, False, False, False
        self.error, self.broken, self.pausing = None, None, False
        self.given_up = None  # number of a batch: one lost batch is seldom alone
        threading.Thread(target=self.ask, name="tfssl data service", daemon=True).start()

    def close(self):
        with self.changed:
            self.closed = True
            self.there.clear()
            self.changed.notify_all()

    def ask(self):
        """Takes what comes until all has come; asks anew after an error, and where it is behind."""
        lead = 0  # how far the training goes on while the service begins
        while not (self.closed or self.ended):
            asked = self.wanted + lead
            try:
                ended = all(self.put(int(number), batch) for number, *batch in self.remote(asked))
                with self.changed:
                    lead = max(0, self.wanted - asked)
                    self.ended = ended
                    self.changed.notify_all()
            except tf.errors.OpError as error:
                self.tell(error)
                with self.changed:
                    self.error, self.pausing = error, True
                    self.changed.notify_all()
                    self.changed.wait_for(lambda: self.closed, RETRY)
                    self.pausing = False
            except Exception as error:  # of building the dataset
                with self.changed:
                    self.error = self.broken = error
                    self.ended = True
                    self.changed.notify_all()

    def tell(self, error):
        """Says what a service that has made batches says, if it says something new."""
        if self.any and (self.error is None or reason(error) != reason(self.error)):
            say(f"data service: it is asked again, as it failed: {reason(error)[:500]}")

    def put(self, number, batch):
        """Keeps a batch as soon as there is room.

        Returns:
            Whether to go on: not if it is closed, or if the service makes what is long past.
        """
        with self.changed:
            self.any = True
            self.changed.wait_for(
                lambda: self.closed or number <= self.wanted or len(self.there) < self.ahead
            )
            past = number < self.wanted
            if not (past or self.closed):
                self.there[number] = batch
                self.since = time.monotonic()
            self.changed.notify_all()
            return not (self.closed or past and self.silent())

    def take(self, number):
        """A batch; None if it will not come, or not soon."""
        with self.changed:
            if number < self.wanted:
                return None
            self.wanted = number
            for before in [one for one in self.there if one < number]:
                del self.there[before]
            self.changed.notify_all()
            until = time.monotonic() + (0.0 if self.given_up == number - 1 else OVERDUE)
            while number not in self.there and not self.late(until):
                now = time.monotonic()
                soon = until if self.there and until > now else self.since + PATIENCE
                self.changed.wait(max(0.05, soon - now))
            if self.broken:
                raise self.broken
            batch = self.there.pop(number, None)
            self.given_up = number if batch is None else None
            self.wanted = number + 1
            self.changed.notify_all()
            return batch

    def late(self, until):
        """Whether no one should wait for the batch that is wanted, until when others are there."""
        if self.ended or self.pausing or len(self.there) >= self.ahead or self.silent():
            return True
        return bool(self.there) and time.monotonic() >= until

    def silent(self):
        """Whether it is long since a batch came that is of use."""
        return time.monotonic() - self.since > PATIENCE
