"""SimCLR with a memory through the whole job."""

import numpy as np
import pytest
import tensorflow as tf

import tfssl
from tests.helpers import read_scalars, run_until_killed, tiny_config


def state(directory):
    reader = tf.train.load_checkpoint(str(directory / "checkpoints" / "step_00000004" / "state"))
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if "CHECKPOINTABLE" not in name
    }


@pytest.mark.slow  # a queue goes on in tests/storage/test_runs_of_0_1.py
def test_a_resumed_run_ends_where_the_straight_one_does(tmp_path):
    """Every variable of the last checkpoint; stopped with a queue that is half full."""
    changes = dict(memory_size=80, memory_decay=0.5, mode="train", train_mode="pretrain")
    tfssl.run(tiny_config(tmp_path / "straight", **changes))
    run_until_killed(lambda: tfssl.run(tiny_config(tmp_path / "killed", **changes)), at_step=3)
    tfssl.run(tiny_config(tmp_path / "killed", **changes))
    straight, killed = state(tmp_path / "straight"), state(tmp_path / "killed")
    assert straight.keys() == killed.keys() and any("queue" in name for name in straight)
    for name, value in straight.items():
        np.testing.assert_array_equal(value, killed[name], err_msg=name)
    ceilings = dict(read_scalars(tmp_path / "straight")["information/infonce_ceiling"])
    assert list(ceilings.values()) == pytest.approx(4 * [np.log(2 * 16 - 1 + 80)])
