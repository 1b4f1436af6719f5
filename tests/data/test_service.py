"""Batches of a tf.data service are those that are made without it, whatever happens to it."""

import functools
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
def address():
    with batch_service(workers=2) as found:
        yield found


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


def test_large_batches_are_sent_one_by_one_and_few_wait(address, monkeypatch):
    monkeypatch.setattr(service, "AT_ONCE_BYTES", 1)
    monkeypatch.setattr(service, "AHEAD_BYTES", 1)
    assert_same(data.served(made, 0, 12, address), made(0, 12))


def test_what_only_this_process_can_make_is_refused(address, monkeypatch):
    def own(images):
        return tf.ensure_shape(tf.numpy_function(np.negative, [images], tf.float32), [8, 8, 8, 3])

    crop = augment.view(lambda images: own(images[:, :8, :8]))
    with pytest.raises(UsageError, match="operations. These need Python code of this process"):
        data.served(functools.partial(made, recipes=[crop]), 0, 5, address)
    with pytest.raises(UsageError, match="2 GiB. Give `cache_dataset=False`, so that they read"):
        monkeypatch.setattr(service, "LARGEST", 1000)
        data.served(made, 0, 5, address)


def test_an_address_at_which_no_one_answers_is_refused():
    for wrong in ("localhost:1", "localhost", "nowhere.invalid:5050", "localhost:99999", ":x"):
        with pytest.raises(UsageError, match=f"`data_service={wrong}` must be HOST:PORT of a disp"):
            data.served(made, 0, 5, wrong)


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
        for one in range(number, min(number + 3, stop)):
            here.append(one)
            yield [tf.constant(one)]

    return service.Reader(remote, local, range(stop), ahead), here


def taken(made, numbers):
    return [int(made.take(number)[0]) for number in numbers]


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(service, "PATIENCE", 0.3)
    monkeypatch.setattr(service, "RETRY", 0.1)
    monkeypatch.setattr(service, "FIRST", 0.3)


def test_batches_are_given_in_order_and_each_once(impatient):
    order = np.random.default_rng(1).permutation(40).tolist()
    near = sorted(range(40), key=lambda number: number + 3 * order[number] / 40)
    made, here = reader(lambda start: numbered(near + near[5:9]), 40)
    assert taken(made, range(40)) == list(range(40)) and not here


def test_those_that_never_come_are_made_here(impatient):
    lost = {3, 4, 11, 19}
    made, here = reader(lambda start: numbered(set(range(20)) - lost), 20)
    assert taken(made, range(20)) == list(range(20))
    assert lost <= set(here) and made.made_here == len(lost)


def test_no_one_waits_for_one_while_all_room_is_taken(monkeypatch):
    monkeypatch.setattr(service, "PATIENCE", 60.0)
    made, here = reader(lambda start: numbered([1, 2, 3, 4, 5, 6]), 7, ahead=4)
    began = time.monotonic()
    assert taken(made, range(7)) == list(range(7))
    assert made.made_here == 1 and time.monotonic() - began < 30


def test_a_silent_service_is_waited_for_once_and_taken_up_again(impatient):
    go_on = threading.Event()

    def remote(start):
        yield from numbered([0])
        go_on.wait()
        yield from numbered(range(1, 50))

    made, here = reader(remote, 50)
    began = time.monotonic()
    assert taken(made, range(30)) == list(range(30))
    assert time.monotonic() - began < 5  # not PATIENCE for each
    assert made.made_here == 29
    go_on.set()
    while len(made.arrivals.there) < made.ahead:
        time.sleep(0.01)
    assert taken(made, range(30, 50)) == list(range(30, 50)) and made.made_here == 29


def test_a_service_that_fails_is_asked_again_from_where_the_training_is(impatient):
    starts = []

    def remote(start):
        starts.append(int(start))
        yield from numbered(range(start, start + 3))
        raise tf.errors.UnavailableError(None, None, "the dispatcher is gone")

    made, here = reader(remote, 12)
    assert taken(made, range(12)) == list(range(12))
    assert starts[0] == 0 and starts == sorted(starts) and starts[1] >= 2


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
    assert "no batch has come within 0 s; are there workers?" in caplog.text
    assert taken(made, range(4)) == list(range(4)) and made.made_here == 4
    assert [line.split()[2] for line in caplog.messages[1:]] == ["1", "2", "4"]
    come.set()


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
