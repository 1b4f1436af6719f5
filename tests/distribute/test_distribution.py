"""One device, two replicas and two workers compute the same training."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

import tfssl
from tests.helpers import BYOL_SETTINGS, ROOT, read_scalars, run_until_killed, tiny_config
from tfssl import UsageError
from tfssl.distribute import strategy
from tfssl.errors import TrainingError
from tfssl.runner.job import plan
from tfssl.runner.pretrain import build_model, checkpoints_of

# Gentle, so that the rounding by which the sums of replicas differ does not grow: at the rates of
# the other tests it does, and as fast from one batch-normalization kernel to another on one device.
GENTLE = dict(
    train_batch_size=32,
    train_steps=10,
    learning_rate=0.005,
    checkpoint_steps=5,
    encoder="resnet",  # whose normalizations see all replicas
    width_multiplier=1 / 8,
    eval_baseline=False,
    linear_probe=False,
    train_split="train[:128]",
)
METHODS = {"simclr": {}, "byol": BYOL_SETTINGS}


def options(choice):
    return {
        **GENTLE,
        **METHODS.get(choice, {}),
        **(
            {
                "optimizer": "momentum",
                "learning_rate": 1e-4,
                "blockwise_loss_from": 16,
                "memory_size": 100,
            }
            if choice == "simclr-momentum"
            else {}
        ),
        **({"cache_dataset": False, "augment_on": "device"} if choice == "streamed" else {}),
    }


def assert_same_training(one, other, steps=10, rtol=1e-5):
    """Losses of every step, and final weights and statistics, up to rounding.

    Not the momentum: where a ReLU is at its kink, rounding decides what flows back through it, and
    the momentum shows that at once (so it does from one batch-normalization kernel to another).
    """
    losses = [
        {
            name: dict(points)
            for name, points in read_scalars(directory).items()
            if name.startswith("train/") and "images_per_second" not in name
        }
        for directory in (one, other)
    ]
    assert losses[0].keys() == losses[1].keys()
    for name, points in losses[0].items():
        assert list(points) == list(range(1, steps + 1))
        np.testing.assert_allclose(
            [losses[1][name][step] for step in points],
            list(points.values()),
            rtol=rtol,
            atol=1e-6,
            err_msg=name,
        )
    a, b = (weights(directory, steps) for directory in (one, other))
    assert a.keys() == b.keys()
    assert float(np.linalg.norm(joined(a) - joined(b))) < rtol * float(np.linalg.norm(joined(a)))


def weights(directory, step):
    path = directory / "checkpoints" / f"step_{step:08d}" / "state"
    reader = tf.train.load_checkpoint(str(path))
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if not name.startswith("_CHECKPOINTABLE")
    }


def joined(values):
    return np.concatenate(
        [
            np.ravel(values[name]).astype(np.float64)
            for name in sorted(values)
            if not name.startswith(("metrics", "optimizer/_variables"))
        ]
    )


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """(choice) -> directory of what one device makes of it."""
    made = {}

    def train(choice):
        if choice not in made:
            made[choice] = tmp_path_factory.mktemp("runs") / choice
            tfssl.run(tiny_config(made[choice], **options(choice)))
        return made[choice]

    return train


# What differs between these is computed by two workers too, below, of which CI runs BYOL's, and
# in the next test, which CI runs too.
@pytest.mark.slow
@pytest.mark.parametrize("choice", ["streamed", "simclr", "byol", "simclr-momentum"])
def test_two_replicas_compute_what_one_device_does(choice, alone, tmp_path):
    settings = {**options(choice), "remat": choice == "streamed"}  # what alone is done without
    result = tfssl.run(tiny_config(tmp_path / "two", replicas=2, **settings))
    assert (result["replicas"], result["workers"]) == (2, 1)
    assert_same_training(alone(choice), tmp_path / "two")


@pytest.mark.slow
def test_a_run_goes_on_with_other_devices(alone, tmp_path):
    """What two replicas began, one device ends."""
    settings = options("streamed")
    run_until_killed(lambda: tfssl.run(tiny_config(tmp_path, replicas=2, **settings)), at_step=7)
    tfssl.run(tiny_config(tmp_path, **settings))
    assert_same_training(alone("streamed"), tmp_path)


@pytest.mark.slow
def test_without_global_bn_every_replica_has_its_own_statistics(alone, tmp_path):
    """With it, the first loss is that of one device, as the test above says."""
    settings = {**options("streamed"), "train_steps": 1, "mode": "train", "train_mode": "pretrain"}
    tfssl.run(tiny_config(tmp_path, replicas=2, **settings, global_bn=False))
    first = [dict(read_scalars(d)["train/total_loss"])[1] for d in (alone("streamed"), tmp_path)]
    assert abs(first[0] - first[1]) > 1e-3


@pytest.mark.parametrize(
    "flags,sentence",
    [
        (dict(distribute="mirrored"), "--distribute=mirrored needs a GPU, or --replicas"),
        (dict(distribute="multi_worker"), "--distribute=multi_worker needs TF_CONFIG"),
        (dict(distribute="none", replicas=2), "--replicas concerns --distribute=mirrored"),
        (dict(replicas=2, train_batch_size=15), "--train_batch_size must be a multiple of .* 2"),
        (dict(replicas=2, accumulate_steps=2), "--accumulate_steps must be 1 on several replicas"),
        (dict(replicas=3), "--replicas on a processor must be set up before"),
        (dict(mode="eval", distribute="mirrored"), "--distribute=mirrored concerns training"),
        (dict(use_tpu=True), "--distribute=tpu needs a TPU"),
    ],
)
def test_what_cannot_be_had_is_refused(flags, sentence, tmp_path, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("these are the sentences of a machine without a GPU")
    with pytest.raises(UsageError, match=sentence):
        tfssl.run(tiny_config(tmp_path / "run", **flags))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"cluster": {"worker": ["a:1", "b:2"]}}',
        '{"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 2}}',
        '{"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": -1}}',
        '{"cluster": {"worker": ["a:1", "a:1"]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 5}}',
        '{"cluster": {"worker": "a:1"}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1", "b:2"], "ps": ["c:3"]}, '
        '"task": {"type": "ps", "index": 0}}',
        '{"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "ps", "index": 0}}',
    ],
)
def test_a_tf_config_that_is_none_is_refused(text):
    with pytest.raises(UsageError, match="TF_CONFIG must be JSON like"):
        strategy.workers_of(text)


@pytest.mark.parametrize("error", strategy.LOST)
def test_a_worker_that_is_gone_is_told_in_a_sentence(error):
    together = strategy.Distribution(tf.distribute.get_strategy(), workers=2)
    with pytest.raises(TrainingError, match="Another worker is gone, .*connection closed"):
        with together.noticing_lost_workers():
            raise error(None, None, "connection closed\nat some line")
    with (
        pytest.raises(error),
        strategy.single().noticing_lost_workers(),
    ):  # alone, it is something else
        raise error(None, None, "connection closed")


def test_the_chief_is_the_first_address():
    cluster = {
        "cluster": {"worker": ["b:2", "c:3"], "chief": ["a:1"]},
        "task": {"type": "worker", "index": 1},
    }
    assert strategy.workers_of(json.dumps(cluster)) == (["a:1", "b:2", "c:3"], "c:3")
    assert strategy.workers_of(None) == ([], None)
    assert strategy.workers_of('{"cluster": {"worker": ["a:1"]}}') == (["a:1"], "a:1")


def test_followers_are_quiet(capsys):
    follower = strategy.Distribution(tf.distribute.get_strategy(), workers=2, chief=False)
    with follower.quiet():
        print("nothing of this")
    assert capsys.readouterr().out == ""


class Workers:
    """Workers of one run, by scripts/launch_local_workers.py."""

    def __init__(self, directory, settings, count=2):
        config = tiny_config(directory, **settings).to_dict()
        flags = [f"--{name}={value}" for name, value in config.items() if value is not None]
        self.process = subprocess.Popen(
            [sys.executable, "scripts/launch_local_workers.py", f"--workers={count}", *flags],
            cwd=ROOT,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def until(self, words):
        """Reads on to a line with these words."""
        for line in self.process.stdout:
            if words in line:
                return
        raise AssertionError(f"no {words!r}")

    def children(self):
        """Process numbers of the workers, the chief's first."""
        told = subprocess.run(
            ["pgrep", "-P", str(self.process.pid)], text=True, capture_output=True, check=True
        )
        return [int(number) for number in told.stdout.split()]

    def end(self, timeout=240):
        """The rest of the output, and the exit code."""
        out, _ = self.process.communicate(timeout=timeout)
        return out, self.process.returncode


@pytest.mark.slow
@pytest.mark.parametrize(
    "choice", ["simclr-momentum", pytest.param("byol", marks=pytest.mark.ci), "distill"]
)
def test_two_workers_compute_what_one_device_does(choice, tmp_path):
    """SimCLR with its memory; BYOL under LARS, its blocks computed again; a teacher's answers."""
    settings = options(choice)
    if choice == "distill":
        tfssl.run(
            tiny_config(
                tmp_path / "teacher",
                **{**GENTLE, "mode": "finetune", "checkpoint": "none", "train_steps": 2},
            )
        )
        settings |= {"mode": "distill", "teacher": str(tmp_path / "teacher")}
    tfssl.run(tiny_config(tmp_path / "alone", **settings))
    out, code = Workers(tmp_path / "two", {**settings, "remat": choice == "byol"}).end()
    assert code == 0, out
    assert_same_training(tmp_path / "alone", tmp_path / "two")
    result = json.loads((tmp_path / "two" / "result.json").read_text())
    assert (result["replicas"], result["workers"]) == (2, 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    "victim,number", [(0, signal.SIGKILL), (1, signal.SIGKILL), (1, signal.SIGTERM)]
)
def test_when_a_worker_dies_the_other_stops_and_both_go_on(victim, number, tmp_path):
    settings = {
        **options("simclr"),
        "train_steps": 400,
        "checkpoint_steps": 5,
        "train_summary_steps": 0,
    }
    workers = Workers(tmp_path / "run", settings)
    workers.until(" 1/400 steps")
    time.sleep(3)
    began = time.monotonic()
    os.kill(workers.children()[victim], number)
    out, code = workers.end()
    assert time.monotonic() - began < 60, out
    survivor = f"[{1 - victim}]"
    told = [line for line in out.splitlines() if line.startswith(f"{survivor} run.py:")]
    assert len(told) == 1 and "Traceback" not in out, out
    if number == signal.SIGTERM:
        assert code == 143 and "another worker's signal" in told[0]
    else:
        assert code and "Another worker is gone" in told[0]
    steps = checkpoints_of(
        *(lambda job: (job, build_model(job)))(plan(tiny_config(tmp_path / "run", **settings)))
    ).steps()
    assert steps and steps[-1] < 400
    out, code = Workers(tmp_path / "run", settings).end()
    assert code == 0, out
    assert re.search(rf"continues from step {steps[-1]}", out)


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_workers(tmp_path):
    """Four of them until one is told to end, then two, then one device: the batches are the same.

    The images are streamed, of which every worker reads its part.
    """
    settings = {**options("streamed"), "train_steps": 24, "augment_on": "host"}
    tfssl.run(tiny_config(tmp_path / "alone", **settings))
    for count in (4, 2):
        workers = Workers(tmp_path / "many", settings, count)
        workers.until("/24 steps")
        os.kill(workers.children()[1], signal.SIGTERM)
        out, code = workers.end()
        assert code == 143 and out.count("another worker's signal") == count - 1, out
    result = tfssl.run(tiny_config(tmp_path / "many", **settings))
    assert (result["replicas"], result["workers"]) == (1, 1)
    # Rounding differs with the number of parts, and grows with the steps.
    assert_same_training(tmp_path / "alone", tmp_path / "many", steps=24, rtol=1e-4)
