"""`fit` by two workers of `tf.distribute.MultiWorkerMirroredStrategy`, from Python."""

import json
import os
import socket
import subprocess
import sys

import pytest

from tests.helpers import ROOT

SCRIPT = """
import json, os, sys
import tfssl, keras
import numpy as np, tensorflow as tf

strategy = tf.distribute.get_strategy()
if "TF_CONFIG" in os.environ:
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
images = np.random.default_rng(0).integers(0, 256, (16, 12, 12, 3), dtype=np.uint8)
with strategy.scope():
    encoder = keras.Sequential([
        keras.Input((12, 12, 3)),
        keras.layers.Conv2D(8, 3, kernel_initializer=keras.initializers.GlorotUniform(seed=1)),
        keras.layers.GlobalAveragePooling2D(),
    ])
    model = getattr(tfssl, sys.argv[1])(encoder, num_classes=4, seed=1)
    model.compile(keras.optimizers.SGD(1e-3))
views = tfssl.views((images, np.arange(16) % 4), tfssl.augment.simclr(12), 16, compiled=False)
history = model.fit(views, epochs=2, verbose=0).history
print(json.dumps({name: [float(value) for value in values] for name, values in history.items()}))
"""


def free_ports(count):
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def started(script, method, tf_config=None):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    if tf_config:
        environment["TF_CONFIG"] = json.dumps(tf_config)
    return subprocess.Popen(
        [sys.executable, str(script), method],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def history_of(process):
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err[-2000:]
    return json.loads(out.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["SimCLR", "BYOL"])
def test_two_workers_fit_what_one_process_fits(method, tmp_path):
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    workers = [f"localhost:{port}" for port in free_ports(2)]
    two = [
        started(
            script,
            method,
            {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}},
        )
        for index in range(2)
    ]
    first, second = map(history_of, two)
    assert first == second
    alone = history_of(started(script, method))
    assert alone.keys() == first.keys()
    for name, values in alone.items():
        assert values == pytest.approx(first[name], rel=1e-3, abs=1e-5), name
