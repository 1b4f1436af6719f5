"""Critics: networks that score all pairs of x and z of a batch, for `bounds`.

Each is a `keras.Model` from a pair (x [N, A], z [M, B]) to float32 scores [N, M], with f(x_i, z_j)
in row i and column j. Equal seeds give equal initial weights.
"""

import keras
import tensorflow as tf


class Separable(keras.Model):
    """f(x, z) = g(x)^T h(z), the inner product of two networks.

    It scores N * M pairs with N + M passes, which suits large batches. NT-Xent and the N-pair loss
    use it with g = h.

    Args:
        x_dim, z_dim: dimensions A and B.
        out_dim: dimension of g(x) and h(z).
        hidden: widths of the hidden layers of both networks, each followed by ReLU.
        seed: seed of the initial weights.
    """

    def __init__(self, x_dim, z_dim, out_dim=32, hidden=(256, 256), seed=0):
        super().__init__(name="separable")
        self.of_x = mlp(x_dim, (*hidden, out_dim), seed, "of_x")
        self.of_z = mlp(z_dim, (*hidden, out_dim), seed + 100, "of_z")

    def call(self, inputs):
        x, z = inputs
        return tf.matmul(self.of_x(x), self.of_z(z), transpose_b=True)


class Bilinear(keras.Model):
    """f(x, z) = x^T W z, the log-bilinear critic of CPC (van den Oord et al. 2018, equation 3).

    Suitable for encoded inputs, or for Gaussians with a shared covariance, whose log density ratio
    has no other term that depends on both x and z.

    Args:
        x_dim, z_dim: dimensions A and B.
        seed: seed of the initial W.
    """

    def __init__(self, x_dim, z_dim, seed=0):
        super().__init__(name="bilinear")
        self.w = keras.layers.Dense(
            z_dim,
            use_bias=False,
            kernel_initializer=keras.initializers.GlorotUniform(seed=seed),
            name="w",
        )
        self.w.build((None, x_dim))

    def call(self, inputs):
        x, z = inputs
        return tf.cast(tf.matmul(self.w(x), z, transpose_b=True), tf.float32)


class Concatenated(keras.Model):
    """f(x, z) = MLP([x, z]), an MLP of the concatenation, which takes N * M passes.

    The first layer is linear in x and z, so its two halves are computed once per x and per z and
    added for each pair.

    Args:
        x_dim, z_dim: dimensions A and B.
        hidden: widths of the hidden layers, one or more, each followed by ReLU.
        seed: seed of the initial weights.
    """

    def __init__(self, x_dim, z_dim, hidden=(256, 256), seed=0):
        super().__init__(name="concatenated")
        # One kernel for both, so that it is initialized as a layer with A + B inputs.
        self.first = dense(hidden[0], seed, "first")
        self.first.build((None, x_dim + z_dim))
        self.rest = mlp(hidden[0], (*hidden[1:], 1), seed + 1, "rest")
        self.x_dim = x_dim

    def call(self, inputs):
        x, z = (tf.cast(values, tf.float32) for values in inputs)
        kernel = tf.convert_to_tensor(self.first.kernel)
        of_x = tf.matmul(x, kernel[: self.x_dim]) + self.first.bias
        of_z = tf.matmul(z, kernel[self.x_dim :])
        pairs = tf.nn.relu(of_x[:, None] + of_z[None])
        scores = self.rest(tf.reshape(pairs, [-1, pairs.shape[-1]]))
        return tf.reshape(scores, tf.shape(pairs)[:2])


CRITICS = {"separable": Separable, "bilinear": Bilinear, "concatenated": Concatenated}


def mlp(in_dim, widths, seed, name):
    """Dense layers with ReLU between them: float [B, in_dim] -> [B, widths[-1]]."""
    inputs = x = keras.Input((in_dim,))
    for index, width in enumerate(widths):
        x = dense(width, seed + index, f"dense_{index}")(x)
        x = keras.layers.ReLU()(x) if index < len(widths) - 1 else x
    return keras.Model(inputs, x, name=name)


def dense(width, seed, name):
    return keras.layers.Dense(
        width,
        dtype="float32",
        name=name,
        kernel_initializer=keras.initializers.GlorotUniform(seed=seed),
    )
