"""Losses and gradients against lightly.

golden_methods.npz was obtained by running lightly 1.6.0 on PyTorch in float64; MoCo by its
Algorithm 1, written out. It holds one small case of each loss, and three steps of DINO: the
settings and the losses as JSON in `cases`, the arrays as `{loss}_{case}_{name}` with the gradients
as `{loss}_{case}_{name}_grad`. Further cases, in methods.json and methods.npz of the directory
$TFSSL_GOLDEN, are tested where it is set.
"""

import json
import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tfssl import losses


def emp_ssl(views, eps, invariance):
    """The loss of lightly, which adds the coding rate instead of subtracting it."""
    rates = [losses.total_coding_rate(tf.math.l2_normalize(z, axis=1), eps) for z in views]
    return losses.emp_ssl(views, eps=eps, invariance=invariance) + 2 * tf.reduce_mean(rates)


# The loss of a case, from its settings and its inputs.
LOSSES = {
    "barlow_twins": lambda case, x: losses.barlow_twins(**x, off_diagonal=case["lambda_"]),
    "vicreg": lambda case, x: losses.vicreg(
        **x,
        invariance=case["invariance"],
        variance=case["variance"] / 2,  # lightly has half of the paper's term
        covariance=case["covariance"],
        eps=case["eps"],
    ),
    "dcl": lambda case, x: losses.dcl(**x, temperature=case["temperature"]),
    "dclw": lambda case, x: losses.dclw(**x, temperature=case["temperature"], sigma=case["sigma"]),
    "negative_cosine": lambda case, x: losses.negative_cosine(**x),
    "emp_ssl": lambda case, x: emp_ssl([*x.values()], case["tcr_eps"], case["inv_coef"]),
    "swav": lambda case, x: losses.swav(
        [x["large1"], x["large2"]],
        [x["small1"], x["small2"]],
        temperature=case["temperature"],
        epsilon=case["sinkhorn_epsilon"],
        iterations=case["sinkhorn_iterations"],
    ),
    "moco": lambda case, x: losses.moco(**x, temperature=case["temperature"]),
}


def carried():
    with np.load(pathlib.Path(__file__).parent / "golden_methods.npz") as data:
        return json.loads(str(data["cases"])), {name: data[name] for name in data.files}


def of_the_directory():
    if "TFSSL_GOLDEN" not in os.environ:
        pytest.skip("TFSSL_GOLDEN is not set")
    directory = pathlib.Path(os.environ["TFSSL_GOLDEN"])
    with np.load(directory / "methods.npz") as data:
        return json.loads((directory / "methods.json").read_text()), dict(data)


def arrays_of(key, case, arrays):
    """The inputs of a case, float32, and the expected gradients of some of them."""
    start = f"{key}_{case['i']}_"
    found = {name.removeprefix(start): arrays[name] for name in arrays if name.startswith(start)}
    inputs = {
        name: tf.constant(values, tf.float32)
        for name, values in found.items()
        if not name.endswith(("_grad", "center_after"))
    }
    return inputs, {name: found[f"{name}_grad"] for name in inputs if f"{name}_grad" in found}


def assert_agrees(loss, case, inputs, gradients):
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        value = loss(case, inputs)
    np.testing.assert_allclose(value, case["loss"], rtol=1e-5)
    found = tape.gradient(value, inputs)
    assert {name for name in inputs if found[name] is not None} == gradients.keys()
    for name, expected in gradients.items():
        largest = np.max(np.abs(expected))
        np.testing.assert_allclose(found[name], expected, rtol=0, atol=1e-4 * largest)


def assert_dino_agrees(cases, arrays):
    """Cases that are steps in a row, each with the center that the one before has left."""
    for case in cases:
        inputs, gradients = arrays_of("dino", case, arrays)
        center = arrays.get(f"dino_{case['i'] - 1}_center_after") if case["step"] else None
        assert_agrees(lambda case, x: dino(case, x, center)[0], case, inputs, gradients)
        _, after = dino(case, inputs, center)
        expected = arrays[f"dino_{case['i']}_center_after"]
        np.testing.assert_allclose(after, expected, rtol=1e-5, atol=1e-7)


def dino(case, x, center):
    views = {
        kind: [x[name] for name in sorted(x) if name.startswith(kind)]
        for kind in ("student", "teacher")
    }
    return losses.dino(
        views["student"],
        views["teacher"],
        np.zeros(x["student1"].shape[1]) if center is None else center,
        student_temperature=case["student_temperature"],
        teacher_temperature=case["teacher_temperature"],
        center_momentum=case["center_momentum"],
    )


@pytest.mark.parametrize("key", LOSSES)
@pytest.mark.parametrize("source", [carried, of_the_directory])
def test_loss_and_gradients_are_those_of_lightly(source, key):
    table, arrays = source()
    for case in table[key]:
        assert_agrees(LOSSES[key], case, *arrays_of(key, case, arrays))


@pytest.mark.parametrize("source", [carried, of_the_directory])
def test_steps_of_dino_are_those_of_lightly(source):
    table, arrays = source()
    assert_dino_agrees(table["dino"], arrays)
