"""Checkpoints: whole or absent, the newest first, damage found."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfssl.errors import UsageError
from tfssl.storage.checkpoint import Checkpoints


def part(value, units=3):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(units)])
    model.set_weights([np.full_like(w, value) for w in model.get_weights()])
    return model


def test_the_newest_is_restored_and_the_oldest_removed(tmp_path):
    model = part(0)
    checkpoints = Checkpoints(str(tmp_path), keep=2, encoder=model)
    assert checkpoints.restore_newest() == 0
    for step in (3, 20, 100):
        model.set_weights([np.full_like(w, step) for w in model.get_weights()])
        checkpoints.save(step)
    assert checkpoints.steps() == [20, 100]
    other = part(-1)
    assert Checkpoints(str(tmp_path), encoder=other).restore_newest() == 100
    assert np.all(other.get_weights()[0] == 100)


def test_the_optimizer_goes_on_where_it_was(tmp_path):
    def trained(steps, model, optimizer):
        for _ in range(steps):
            optimizer.apply(
                [tf.ones_like(v) for v in model.trainable_variables], model.trainable_variables
            )

    def fresh():
        model, optimizer = part(1), keras.optimizers.SGD(0.1, momentum=0.9)
        optimizer.build(model.trainable_variables)
        return model, optimizer

    straight, interrupted, resumed = fresh(), fresh(), fresh()
    trained(5, *straight)
    trained(2, *interrupted)
    parts = ("model", "optimizer")
    Checkpoints(str(tmp_path), **dict(zip(parts, interrupted))).save(2)
    assert Checkpoints(str(tmp_path), **dict(zip(parts, resumed))).restore_newest() == 2
    assert int(resumed[1].iterations) == 2
    trained(3, *resumed)
    for a, b in zip(straight[0].get_weights(), resumed[0].get_weights()):
        np.testing.assert_array_equal(a, b)


DAMAGES = ["truncate", "remove", "flip", "manifest", "not_ours"]


def damage(directory, how):
    file = next(directory.glob("state.data*"))
    content = bytearray(file.read_bytes())
    if how == "truncate":
        file.write_bytes(content[:-1])
    elif how == "remove":
        file.unlink()
    elif how == "flip":
        content[0] ^= 1
        file.write_bytes(content)
    elif how == "manifest":
        (directory / "manifest.json").write_text("{")
    else:
        (directory / "manifest.json").unlink()


@pytest.mark.parametrize("how", DAMAGES)
def test_where_all_are_damaged_nothing_starts_anew(tmp_path, how):
    checkpoints = Checkpoints(str(tmp_path), encoder=part(1))
    checkpoints.save(7)
    directory = tmp_path / "checkpoints" / "step_00000007"
    damage(directory, how)
    with pytest.raises(UsageError, match="Every checkpoint") as refusal:
        checkpoints.restore_newest()
    assert str(directory) in str(refusal.value) and "\n" not in str(refusal.value)
    assert directory.exists()


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_one_is_kept_aside_and_the_one_before_it_taken(tmp_path, how, capsys):
    for step in (3, 5, 7):
        Checkpoints(str(tmp_path), encoder=part(step)).save(step)
    for step in (5, 7):
        damage(tmp_path / "checkpoints" / f"step_0000000{step}", how)
    model = part(0)
    checkpoints = Checkpoints(str(tmp_path), encoder=model)
    assert checkpoints.restore_newest() == 3  # who only looks changes nothing
    assert len(checkpoints.steps()) == 3 and "Kept as" not in capsys.readouterr().out
    assert checkpoints.restore_newest(aside=True) == 3 and np.all(model.get_weights()[0] == 3)
    said = capsys.readouterr().out
    assert said.count("the one of step 3 is taken") == 2
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == [
        "damaged_step_00000005",
        "damaged_step_00000007",
        "step_00000003",
    ]
    checkpoints.save(5)
    assert checkpoints.steps() == [3, 5]


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    Checkpoints(str(tmp_path), encoder=part(1)).save(7)
    with pytest.raises(UsageError, match="does not fit"):
        Checkpoints(str(tmp_path), encoder=part(1, units=4)).restore_newest()


def test_what_a_dying_process_left_is_not_a_checkpoint(tmp_path):
    checkpoints = Checkpoints(str(tmp_path), encoder=part(1))
    checkpoints.save(1)
    left = tmp_path / "checkpoints" / "unfinished_1"
    left.mkdir()
    (left / "state.index").write_text("half")
    assert checkpoints.steps() == [1] and checkpoints.restore_newest() == 1
    checkpoints.save(2)
    assert not left.exists() and checkpoints.steps() == [1, 2]
