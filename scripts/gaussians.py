"""Bounds on a known mutual information: python scripts/gaussians.py OUTPUT_DIR

Correlated Gaussians in 20 dimensions, whose information rises from 2 to 10 nats in five stairs
while each bound's estimator goes on learning (Poole et al. 2019, figure 2). Every batch is new.
Writes into OUTPUT_DIR: curves.csv, every bound at every 20th step; gaussians.csv, mean and standard
deviation of each bound over the last quarter of each stair, and on large batches of new pairs;
gaussians.png. Needs the `dev` extra.
"""

import argparse
import math
import os

import keras
import matplotlib
import numpy as np
import runs  # first: it has TensorFlow loaded quietly
import tensorflow as tf

from tfssl.information import gaussians
from tfssl.information.critics import CRITICS
from tfssl.information.estimators import CriticEstimator, VariationalEstimator

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

DIMENSION, STAIRS = 20, (2, 4, 6, 8, 10)
NAMES = {
    "barber_agakov": "Barber-Agakov",
    "dv": "Donsker-Varadhan",
    "mine": "MINE",
    "nwj": "NWJ",
    "infonce": "InfoNCE",
}
COLOURS = {
    "barber_agakov": "#009E73",
    "dv": "#E69F00",
    "mine": "#D55E00",
    "nwj": "#CC79A7",
    "infonce": "#0072B2",
}
EVERY = 20  # steps between the points of curves.csv


def estimator(name, critic, seed, learning_rate):
    """A compiled estimator of one of NAMES."""
    if name == "barber_agakov":
        model = VariationalEstimator(DIMENSION, DIMENSION, gaussians.entropy(DIMENSION), seed=seed)
    else:
        model = CriticEstimator(CRITICS[critic](DIMENSION, DIMENSION, seed=seed), name)
    # Keras makes the optimizer's variables from those of the model, which exist from here on.
    model((tf.zeros((2, DIMENSION)), tf.zeros((2, DIMENSION))))
    model.compile(optimizer=keras.optimizers.Adam(learning_rate), jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model


def learner(model, batch, steps, seed):
    """(first step, correlation) -> the bound at each of `steps` steps, as one graph."""

    @tf.function
    def learn(first, rho):
        return tf.map_fn(
            lambda step: model.learn(*gaussians.pairs(batch, DIMENSION, rho, [seed, step])),
            first + tf.range(steps),
            fn_output_signature=tf.float32,
            parallel_iterations=1,
        )

    return learn


def staircase(name, options):
    """Trains one bound up the stairs.

    Returns:
        The bound at every step, float [stairs * steps], and a list of rows for gaussians.csv.
    """
    model = estimator(name, options.critic, options.seed, options.learning_rate)
    learn = learner(model, options.batch, options.steps, options.seed)
    curve, rows = [], []
    for stair, information in enumerate(STAIRS):
        rho = gaussians.correlation(information, DIMENSION)
        values = learn(tf.constant(stair * options.steps), tf.constant(rho, tf.float32)).numpy()
        last = values[-(options.steps // 4) :]
        fresh = [
            float(
                model.bound(
                    *gaussians.pairs(
                        options.large, DIMENSION, rho, [options.seed + 1, 100 * stair + i]
                    )
                )
            )
            for i in range(8)
        ]
        curve.append(values)
        rows.append(
            {
                "bound": name,
                "information": information,
                "steps": len(last),
                "mean": f"{last.mean():.4f}",
                "std": f"{last.std(ddof=1):.4f}",
                "large_batches": len(fresh),
                "large_mean": f"{np.mean(fresh):.4f}",
                "large_std": f"{np.std(fresh, ddof=1):.4f}",
            }
        )
        print(rows[-1], flush=True)
    return np.concatenate(curve), rows


def draw(curves, options, path):
    figure, axes = plt.subplots(
        1, len(curves), figsize=(15, 3.6), sharey=True, constrained_layout=True
    )
    steps = np.arange(len(STAIRS) * options.steps)
    for axis, (name, curve) in zip(axes, curves.items()):
        axis.plot(steps, curve, color=COLOURS[name], alpha=0.25, linewidth=0.5)
        width = max(1, options.steps // 20)
        smooth = np.convolve(curve, np.ones(width) / width, "valid")
        axis.plot(steps[width - 1 :], smooth, color=COLOURS[name], linewidth=1.5, label="bound")
        axis.plot(
            steps, np.repeat(STAIRS, options.steps), color="black", linewidth=1, label="truth"
        )
        axis.axhline(
            math.log(options.batch), color="#999999", linestyle=":", label=f"log {options.batch}"
        )
        axis.set(title=NAMES[name], xlabel="steps", ylim=(0, 1.4 * STAIRS[-1]))
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("nats")
    axes[0].legend(loc="upper left", fontsize=8)
    figure.savefig(path, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("output_dir")
    parser.add_argument("--critic", choices=CRITICS, default="separable")
    parser.add_argument("--steps", type=int, default=4000, help="steps on each stair")
    parser.add_argument("--batch", type=int, default=64, help="pairs in a training batch")
    parser.add_argument("--large", type=int, default=4096, help="pairs in a large batch")
    parser.add_argument("--learning_rate", type=float, default=5e-4)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.makedirs(options.output_dir, exist_ok=True)
    curves, rows = {}, []
    for name in NAMES:
        curves[name], more = staircase(name, options)
        rows += more
        runs.write_table(rows, os.path.join(options.output_dir, "gaussians.csv"))
    points = [
        {"step": step + 1, **{name: f"{curve[step]:.4f}" for name, curve in curves.items()}}
        for step in range(EVERY - 1, len(STAIRS) * options.steps, EVERY)
    ]
    runs.write_table(points, os.path.join(options.output_dir, "curves.csv"))
    draw(curves, options, os.path.join(options.output_dir, "gaussians.png"))


if __name__ == "__main__":
    main()
