"""NT-Xent computed in blocks, with memory linear instead of quadratic in the batch size."""

import tensorflow as tf

BLOCK_ELEMENTS = 2**20  # similarities in memory at a time: 4 MB
LEAST = 64  # images per block at least: each block reads all projections


@tf.function(jit_compile=True)
def contrast(z1, z2, temperature, images=None, negatives=None):
    """NT-Xent and its scalars, for projections that are already normalized if they are to be.

    Equals `losses.nt_xent_with_scalars(..., normalize=False)` in value and gradient up to rounding.
    The rows of the similarity matrix for a few images are computed, reduced and dropped, and
    computed again for the gradient; one number per row is kept in between. The matrix s is
    symmetric, so a single product (softmax_i(s_ij) + softmax_j(s_ij)) z is the gradient through
    both of its factors: three matrix products in all, as in the plain form. XLA fuses a block with
    its sums.

    Args:
        z1, z2: float32 [N, D].
        temperature: float > 0.
        images: integer, images per block; None: chosen by BLOCK_ELEMENTS and LEAST.
        negatives: float32 [K, D], additional constant negatives; None for none.

    Returns:
        A pair as for `losses.nt_xent_with_scalars`. No gradient flows through the scalars.

    Raises:
        ValueError: N is not known when the graph is built.
    """
    n, dimensions = z1.shape
    if n is None:
        raise ValueError(
            "The number of projections must be known when the graph is built. "
            f"Received: z1.shape={z1.shape}"
        )
    negatives = tf.zeros([0, dimensions]) if negatives is None else negatives
    per_image = 2 * (2 * n + negatives.shape[0])
    size = min(n, images or max(BLOCK_ELEMENTS // per_image, LEAST))
    blocks = -(-n // size)
    padded = blocks * size  # images including the padding of the last block

    def prepare(z1, z2):
        """Stacks the views, [2 * padded, D], and again with a column that is -inf in the padding:
        multiplied with a column of ones it masks the padding within the matrix product."""
        filled = [tf.pad(z, [[0, padded - n], [0, 0]]) for z in (z1, z2)]
        barrier = tf.where(tf.range(padded) < n, 0.0, -float("inf"))[:, None]
        z = tf.concat(filled, axis=0)
        return z, tf.concat([z, tf.tile(barrier, [2, 1])], axis=1)

    def part(values, block):
        """The rows of both views of a block's images, [2 * size, ...]."""
        # `tf.slice`, as XLA needs a static size.
        return tf.concat(
            [
                tf.slice(values, [start, 0], [size, values.shape[1]])
                for start in (block * size, padded + block * size)
            ],
            axis=0,
        )

    def logits_of(z, candidates, block):
        mine = tf.pad(part(z, block) / temperature, [[0, 0], [0, 1]], constant_values=1.0)
        logits = tf.matmul(mine, candidates, transpose_b=True)
        place = block * size + tf.range(size)
        itself = tf.concat([place, padded + place], axis=0)[:, None] == tf.range(2 * padded)
        return tf.where(itself, -float("inf"), logits), place

    def against_negatives(z, block):
        return tf.matmul(part(z, block) / temperature, negatives, transpose_b=True)

    def over_blocks(function, signature):
        """Concatenates the results [size, ...] of all blocks, without the padding."""
        made = tf.map_fn(
            function, tf.range(blocks), fn_output_signature=signature, parallel_iterations=1
        )
        return tf.nest.map_structure(
            lambda values: tf.reshape(values, [padded, *values.shape[2:]])[:n], made
        )

    @tf.custom_gradient
    def compute(z1, z2):
        z, candidates = prepare(z1, z2)

        def forward(block):
            logits, place = logits_of(z, candidates, block)
            totals = tf.reduce_logsumexp(
                tf.stack(
                    [
                        tf.reduce_logsumexp(one, axis=1)
                        for one in (logits, against_negatives(z, block))
                    ]
                ),
                axis=0,
            )
            positives = tf.gather(logits, tf.concat([padded + place, place], axis=0), batch_dims=1)
            across = logits[:size, padded:]
            log_p = across - tf.reduce_logsumexp(across, axis=1, keepdims=True)
            entropy = -tf.reduce_sum(tf.math.multiply_no_nan(log_p, tf.exp(log_p)), axis=1)
            hit = tf.argmax(across, axis=1, output_type=tf.int32) == place
            return (
                tf.transpose(tf.reshape(totals, [2, size])),
                tf.transpose(tf.reshape(positives, [2, size])),
                tf.cast(hit, tf.float32),
                entropy,
            )

        totals, positives, hit, entropy = over_blocks(forward, (tf.float32,) * 4)

        def gradient(upstream, *_):
            z, candidates = prepare(z1, z2)
            columns = tf.reshape(
                tf.transpose(tf.pad(totals, [[0, padded - n], [0, 0]])), [2 * padded, 1]
            )

            def backward(block):
                logits, _ = logits_of(z, candidates, block)
                weights = tf.exp(logits - part(columns, block))
                weights += tf.exp(logits - tf.transpose(columns))
                flow = tf.matmul(weights, z)
                weights = tf.exp(against_negatives(z, block) - part(columns, block))
                flow += tf.matmul(weights, negatives)
                return tf.transpose(tf.reshape(flow, [2, size, dimensions]), [1, 0, 2])

            flow = over_blocks(backward, tf.float32)
            scale = upstream / (2 * n * temperature)
            return scale * (flow[:, 0] - 2.0 * z2), scale * (flow[:, 1] - 2.0 * z1)

        return (
            tf.reduce_sum(totals - positives) / (2 * n),
            tf.reduce_mean(hit),
            tf.reduce_mean(entropy),
        ), gradient

    loss, accuracy, entropy = compute(z1, z2)
    return loss, {"contrast_acc": accuracy, "contrast_entropy": entropy}
