"""Killed at any moment, a run ends where it would have ended; damage is met with a sentence."""

import os
import random
import shutil
import subprocess
import sys

import pytest
import tensorflow as tf

import tfssl
from tests.test_run import ROOT, TINY
from tests.train.test_pretrain import tiny
from tfssl import UsageError
from tfssl.train.checkpoint import Checkpoints

BYOL = "--method=byol --proj_hidden_dim=16"


@pytest.mark.slow
@pytest.mark.parametrize("flags", ["--memory_size=100", f"{BYOL} --cache_dataset=False"],
                         ids=["simclr", "byol"])
def test_killed_at_random_moments_it_ends_bit_for_bit_where_it_would_have(flags, tmp_path):
    """TFSSL_KILLS=20 for a longer trial."""
    kills = os.environ.get("TFSSL_KILLS", "2")
    done = subprocess.run(
        [sys.executable, "scripts/kills.py", str(tmp_path), f"--kills={kills}", *TINY,
         *flags.split(), "--train_split=train[:512]", "--train_steps=1000", "--checkpoint_steps=3",
         "--train_summary_steps=5", "--noeval_baseline"],
        cwd=ROOT, text=True, capture_output=True, timeout=1500)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every bit is the same" in done.stdout


def test_the_comparison_sees_a_difference(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    import kills
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        tfssl.run(tiny(tmp_path / name, seed=seed, eval_baseline=False))
    assert not kills.differences(str(tmp_path / "one"), str(tmp_path / "same"))
    found = kills.differences(str(tmp_path / "one"), str(tmp_path / "other"))
    assert [what.split(":")[0] for what in found] == [
        "checkpoint", "TensorBoard", "encoder.keras", "result.json"]


def damage(path, chance):
    """Truncates, changes or removes a file; says what it did."""
    content = path.read_bytes()
    kind = chance.choice(["truncate", "flip", "remove"])
    if kind == "remove" or not content:
        path.unlink()
    elif kind == "truncate":
        path.write_bytes(content[:chance.randrange(len(content))])
    else:
        place = chance.randrange(len(content))
        flipped = bytes([content[place] ^ (1 << chance.randrange(8))])
        path.write_bytes(content[:place] + flipped + content[place + 1:])
    return f"{kind} {path.name}"


def test_500_damages_never_restore_a_wrong_checkpoint_or_begin_again(tmp_path):
    variable = tf.Variable(tf.zeros([50]))
    checkpoints = Checkpoints(str(tmp_path / "run"), values=variable)
    for step in (1, 2, 3):
        variable.assign(tf.fill([50], float(step)))
        checkpoints.save(step)
    taken = []
    for number in range(500):
        chance = random.Random(number)
        copy = tmp_path / "copy"
        shutil.copytree(tmp_path / "run", copy)
        files = sorted(path for path in copy.rglob("*") if path.is_file())
        done = [damage(chance.choice(files), chance)]
        for path in chance.sample(files, chance.randrange(4)):
            done += [damage(path, chance)] if path.exists() else []
        variable.assign(tf.fill([50], -1.0))
        try:
            step = Checkpoints(str(copy), values=variable).restore_newest(aside=True)
        except UsageError as error:
            taken.append(0)
            assert "damaged" in str(error) or "gone" in str(error), done
        else:
            taken.append(step)
            assert step in (1, 2, 3) and set(variable.numpy()) == {float(step)}, done
        shutil.rmtree(copy)
    assert taken.count(3) > 50 < taken.count(2) and 0 < taken.count(1)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run that was stopped after step 2 of 4, and what it would have come to."""
    directory = tmp_path_factory.mktemp("runs")
    settings = dict(mode="train", train_mode="pretrain", checkpoint_steps=1, keep_checkpoint_max=0)
    tfssl.run(tiny(directory / "whole", **settings))
    shutil.copytree(directory / "whole", directory / "stopped")
    for name in ("encoder.keras", "checkpoints/step_00000003", "checkpoints/step_00000004"):
        path = directory / "stopped" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return directory, settings


def test_a_damaged_run_goes_on_exactly_or_says_what_is_wrong(stopped, tmp_path):
    directory, settings = stopped
    expected = tfssl.load_encoder(directory / "whole").get_weights()
    went_on = 0
    for number in range(6):
        run = tmp_path / f"run{number}"
        shutil.copytree(directory / "stopped", run)
        chance = random.Random(number)
        files = sorted(path for path in run.rglob("*") if path.is_file())
        done = [damage(path, chance) for path in chance.sample(files, 3)]
        try:
            tfssl.run(tiny(run, **settings))
        except UsageError as error:
            assert str(error).count("\n") == 0, done
            continue
        went_on += 1
        weights = tfssl.load_encoder(run).get_weights()
        assert all((a == b).all() for a, b in zip(expected, weights, strict=True)), done
    assert 0 < went_on < 6


def test_checkpoints_that_are_gone_are_missed(stopped, tmp_path):
    directory, settings = stopped
    shutil.copytree(directory / "stopped", tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    with pytest.raises(UsageError, match="are gone"):
        tfssl.run(tiny(tmp_path / "run", **settings))
