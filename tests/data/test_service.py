"""Batches of a tf.data service are those that are made without it, whatever happens to it."""

import functools
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import ROOT, batch_service
from tfssl import augment, data
from tfssl.data import service
from tfssl.data.arrays import source_of
from tfssl.errors import UsageError

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 12, 12, 3), dtype=np.uint8)
SOURCE = source_of((PIXELS, np.arange(40) % 5))
CROPS = [augment.supervised(8)] * 2


def made(start, stop, share=data.WHOLE, source=SOURCE, recipes=CROPS, **options):
    return data.views(
        source,
        recipes,
        batch_size=8,
        seed=3,
        start_step=start,
        stop_step=stop,
        share=share,
        **options,
    )


def assert_same(batches, others):
    batches, others = list(batches), list(others)
    assert len(batches) == len(others) > 0
    for batch, other in zip(batches, others):
        tf.nest.map_structure(np.testing.assert_array_equal, batch, other)


@pytest.fixture(scope="module")
def service_here():
    with batch_service(workers=2) as found:
        yield found


@pytest.fixture
def address(service_here, monkeypatch):
    """That of a service which makes every batch: none may be made here."""

    def refuse(self, number):
        raise AssertionError(f"{number} did not come from the service")

    monkeypatch.setattr(service, "PATIENCE", 300.0)
    monkeypatch.setattr(service.Reader, "make", refuse)
    return service_here


@pytest.mark.parametrize(
    "start,options",
    [(0, {"finished": False}), (7, {"recipes": [augment.simclr(8), augment.supervised(8)]})],
    ids=["unfinished", "finished"],
)
def test_they_are_the_same_bits_from_any_step_on(address, start, options):
    make = functools.partial(made, **options)
    batches = data.served(make, start, 45, address)
    assert batches.element_spec == make(start, 45).element_spec
    assert int(batches.cardinality()) == 45 - start
    assert_same(batches, make(start, 45))


def test_two_iterations_are_the_same(address):
    batches = data.served(made, 2, 20, address)
    first = list(batches.take(3))
    assert_same(first + list(batches.skip(3)), made(2, 20))
    assert_same(batches, made(2, 20))


def test_each_process_gets_its_parts(address):
    for share in (data.Share(0, 2, 4), data.Share(2, 1, 4)):
        make = functools.partial(made, share=share)
        assert_same(data.served(make, 5, 12, address, parts=share.count), make(5, 12))


def test_large_batches_are_sent_one_by_one_and_few_wait(service_here, monkeypatch):
    monkeypatch.setattr(service, "AT_ONCE_BYTES", 1)
    monkeypatch.setattr(service, "AHEAD_BYTES", 1)
    assert_same(data.served(made, 0, 12, service_here), made(0, 12))


def test_those_that_are_made_here_are_the_same_from_any_on():
    share = data.Share(0, 2, 4)
    make = service.from_any(functools.partial(made, share=share), 9, parts=2)
    expected = [tf.nest.flatten(batch) for batch in made(0, 9, share)]
    for number in (0, 7, 3, 17):
        assert_same(make(number), expected[number:])


def test_another_number_of_batches_than_told_is_refused(address):
    with pytest.raises(ValueError, match="Received: parts=1 with 14 elements of 7 steps"):
        data.served(functools.partial(made, share=data.Share(0, 2, 4)), 5, 12, address)


def test_batches_above_what_can_be_sent_are_refused(address, monkeypatch):
    monkeypatch.setattr(service, "LARGEST", 1000)
    monkeypatch.setattr(service, "check_portable", lambda dataset: None)
    with pytest.raises(UsageError, match="sends batches of at most 2 GiB. Received: 0.0 GiB"):
        data.served(made, 0, 5, address)


def test_what_fails_here_is_raised_as_it_is(address):
    def make(start, stop):
        if not isinstance(start, int):
            raise TypeError("steps must be integers")
        return made(start, stop)

    with pytest.raises(TypeError, match="steps must be integers"):
        data.served(make, 0, 5, address)


def test_what_only_this_process_can_make_is_refused(address, monkeypatch):
    def own(images):
        return tf.ensure_shape(tf.numpy_function(np.negative, [images], tf.float32), [8, 8, 8, 3])

    crop = augment.view(lambda images: own(images[:, :8, :8]))
    with pytest.raises(UsageError, match="operations. These need Python code of this process"):
        data.served(functools.partial(made, recipes=[crop]), 0, 5, address)
    with pytest.raises(UsageError, match="2 GiB. Give `cache_dataset=False`, so that they read"):
        monkeypatch.setattr(service, "LARGEST", 1000)
        data.served(made, 0, 5, address)


def test_an_address_at_which_no_one_answers_is_refused(monkeypatch):
    monkeypatch.setattr(service, "ANSWER", 0.0)
    for wrong in ("localhost:1", "localhost", "nowhere.invalid:5050", "localhost:99999", ":x"):
        with pytest.raises(UsageError, match=f"`data_service={wrong}` must be HOST:PORT of a disp"):
            data.served(made, 0, 5, wrong)


def test_a_dispatcher_that_begins_later_is_waited_for(caplog):
    with socket.create_server(("localhost", 0)) as server:
        address = f"localhost:{server.getsockname()[1]}"
    thread = threading.Thread(target=service.await_dispatcher, args=(address,))
    thread.start()
    thread.join(1.0)
    assert thread.is_alive() and f"waits for the dispatcher at {address}" in caplog.text
    with socket.create_server(("localhost", int(address.rpartition(":")[2]))):
        thread.join(60)
    assert not thread.is_alive()


def test_what_the_workers_cannot_read_is_refused_before_the_training(address):
    def missing(start, stop):
        steps = tf.data.Dataset.range(start, stop)
        return steps.map(lambda step: tf.io.read_file(f"/missing/file of {'workers'}"))

    with pytest.raises(UsageError, match="cannot make the batches; .*/missing/file of workers"):
        data.served(missing, 0, 5, address)


# What does not come -------------------------------------------------------------------------------


def numbered(numbers):
    return [(number, tf.constant(number)) for number in numbers]


def reader(remote, stop, ahead=8):
    """A `Reader` of 0 to `stop`, and the numbers of the batches that it makes here."""
    here = []

    def local(number):
        for one in range(number, stop):
            here.append(one)
            yield [tf.constant(one)]

    return service.Reader(remote, local, range(stop), ahead), here


def taken(made, numbers):
    return [int(made.take(number)[0]) for number in numbers]


def await_true(condition):
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not happen within 30 s")


@pytest.fixture
def impatient(monkeypatch):
    """Where silence is tested; what comes can be late on a slow machine."""
    monkeypatch.setattr(service, "PATIENCE", 0.3)
    monkeypatch.setattr(service, "FIRST", 0.3)


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(service, "RETRY", 0.1)


def test_batches_are_given_in_order_and_each_once():
    order = np.random.default_rng(1).permutation(40).tolist()
    near = sorted(range(40), key=lambda number: number + 3 * order[number] / 40)
    made, here = reader(lambda start: numbered(near + near[5:9]), 40)
    assert taken(made, range(40)) == list(range(40)) and not here


def test_those_that_never_come_are_made_here():
    lost = {3, 4, 11, 19}
    made, here = reader(lambda start: numbered(set(range(20)) - lost), 20, ahead=20)
    assert taken(made, range(20)) == list(range(20))
    assert made.made_here == len(lost) and here == [3, 4, 5, 6, 7, 8, 9, 10, 11, *range(12, 20)]


def test_no_one_waits_for_one_while_all_room_is_taken():
    made, here = reader(lambda start: numbered([1, 2, 3, 4, 5, 6]), 7, ahead=4)
    assert taken(made, range(7)) == list(range(7))
    assert made.made_here == 1


def test_lost_ones_are_waited_for_once_while_later_ones_are_there(monkeypatch):
    monkeypatch.setattr(service, "OVERDUE", 0.5)
    go_on = threading.Event()

    def remote(start):
        yield from numbered([0, *range(10, 20)])
        go_on.wait()
        yield from numbered(range(20, 30))

    made, here = reader(remote, 30, ahead=30)
    await_true(lambda: len(made.arrivals.there) == 11)
    began = time.monotonic()
    assert taken(made, range(20)) == list(range(20)) and here[:9] == list(range(1, 10))
    assert 0.5 <= time.monotonic() - began < 9 * 0.5
    go_on.set()
    assert taken(made, range(20, 30)) == list(range(20, 30)) and made.made_here == 9


def test_a_silent_service_is_waited_for_once_and_taken_up_again(impatient):
    go_on, starts = threading.Event(), []

    def remote(start):
        starts.append(start)
        yield from numbered([0] if start == 0 else [])
        go_on.wait()
        yield from numbered(range(start or 1, 100))

    made, here = reader(remote, 100)
    assert taken(made, [0]) == [0]
    began = time.monotonic()
    assert taken(made, range(1, 30)) == list(range(1, 30)) and here == list(range(1, 30))
    assert time.monotonic() - began < 29 * 0.3  # not PATIENCE for each
    go_on.set()  # it is far behind: it is asked anew, for those after as many more
    await_true(lambda: len(starts) == 2)
    assert starts == [0, 60]
    await_true(lambda: 60 in made.arrivals.there)
    assert taken(made, range(30, 100)) == list(range(30, 100))
    assert here == list(range(1, 60))


def test_a_service_that_fails_is_asked_again_from_where_the_training_is(caplog):
    starts, reached = [], threading.Event()

    def remote(start):
        starts.append(int(start))
        yield from numbered(range(start, start + 3))
        reached.wait(0.0 if len(starts) > 1 else 60.0)
        raise tf.errors.UnavailableError(None, None, "the dispatcher is gone")

    made, here = reader(remote, 12)
    assert taken(made, range(3)) == list(range(3)) and not here
    reached.set()
    await_true(lambda: len(starts) == 2)
    assert taken(made, range(3, 12)) == list(range(3, 12))
    assert starts[0] == 0 and starts == sorted(starts) and starts[1] >= 3
    said = [line for line in caplog.messages if "the dispatcher is gone" in line]
    assert len(said) == 1 and "it is asked again, as it failed" in said[0]


def test_one_that_cannot_make_the_first_is_refused(impatient, caplog):
    def remote(start):
        raise tf.errors.NotFoundError(None, None, "/data/a.jpg; No such file")
        yield

    made, _ = reader(remote, 12)
    with pytest.raises(UsageError, match="cannot make the batches.* /data/a.jpg; No such file"):
        made.await_first()
    come = threading.Event()
    made, here = reader(lambda start: iter(come.wait, True), 12)
    made.await_first()
    assert "no batch has come within 0 s; are there workers" in caplog.text
    assert taken(made, range(4)) == list(range(4)) and made.made_here == 4
    told = [line.split()[2] for line in caplog.messages if "so far" in line]
    assert told == ["1", "2", "4"]
    come.set()


def test_an_error_of_this_process_ends_the_training():
    def remote(start):
        yield from numbered([0])
        raise KeyError("a defect")

    made, _ = reader(remote, 12)
    with pytest.raises(KeyError, match="a defect"):
        taken(made, range(12))


def test_one_that_an_older_iteration_asks_for_disturbs_no_other():
    made, here = reader(lambda start: numbered(range(start, 20)), 20)
    assert taken(made, range(5)) == list(range(5))
    assert taken(made, [2]) == [2] == here
    assert taken(made, range(5, 20)) == list(range(5, 20)) and here == [2]
    assert taken(made, range(20)) == list(range(20)) and here == [2]  # from the beginning


@pytest.mark.slow
@pytest.mark.ci
def test_a_worker_that_is_killed_changes_nothing(tmp_path):
    with batch_service(workers=0) as address:
        words = [sys.executable, "run.py", "--mode=data_worker", f"--data_service={address}"]
        workers = [
            subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)
        ]
        try:
            for worker in workers:
                assert "makes batches" in worker.stdout.readline()
            made_of = []
            for batch in data.served(made, 0, 400, address):
                if len(made_of) == 10:
                    workers[0].kill()
                made_of.append(batch)
            assert_same(made_of, made(0, 400))
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
                worker.stdout.close()
