"""MAE and SimMIM: predict the pixels of masked patches."""

import tensorflow as tf

from tfssl.losses.checks import positive


def mae(
    predicted: tf.Tensor, patches: tf.Tensor, *, normalized: bool = True, eps: float = 1e-6
) -> tf.Tensor:
    """Mean squared error of the predicted pixels of masked patches.

    He et al. 2022, "Masked Autoencoders Are Scalable Vision Learners", arXiv:2111.06377, section 3:
    the error is averaged over masked patches only, each of which is normalized by its own mean and
    standard deviation ("reconstruction target"), the unbiased one, as in facebookresearch/mae
    (models_mae.py, efb2a80).

    Args:
        predicted: float [B, m, P], predictions of the P values of m masked patches of each image.
        patches: float [B, m, P], P >= 2, the values themselves.
        normalized: whether the patches are normalized; False: their values are predicted.
        eps: float > 0, added to the variances.

    Returns:
        float32 scalar >= 0.

    Raises:
        ValueError: the two are not of one shape [B, m, P], or `eps` is not positive.

    Example:

    ```python
    patches = np.float32([[[0, 1], [5, 5]]])  # normalized: [-0.7, 0.7] and [0, 0]
    round(float(tfssl.losses.mae(np.zeros((1, 2, 2), "float32"), patches)), 3)  # 0.25
    ```
    """
    positive(eps=eps)
    predicted, patches = _of_one_shape(predicted, patches)
    targets = normalized_patches(patches, eps)[0] if normalized else patches
    return tf.reduce_mean(tf.square(predicted - targets))


def normalized_patches(
    patches: tf.Tensor, eps: float = 1e-6
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Patches less their mean and over their standard deviation, each by itself.

    Args:
        patches: float [..., P], P >= 2.
        eps: float > 0, added to the variances.

    Returns:
        float32 [..., P]; and the means and the unbiased standard deviations, [..., 1].

    Example:

    ```python
    normal, mean, deviation = tfssl.losses.normalized_patches(np.float32([[0, 2]]))
    float(mean[0, 0]), round(float(deviation[0, 0]), 3)  # (1.0, 1.414)
    ```
    """
    patches = tf.cast(patches, tf.float32)
    mean = tf.reduce_mean(patches, axis=-1, keepdims=True)
    squares = tf.reduce_sum(tf.square(patches - mean), axis=-1, keepdims=True)
    count = tf.cast(tf.shape(patches)[-1], tf.float32)
    deviation = tf.sqrt(squares / (count - 1.0) + eps)
    return (patches - mean) / deviation, mean, deviation


def simmim(predicted: tf.Tensor, patches: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Mean absolute error of the predicted pixels of masked patches.

    Xie et al. 2022, "SimMIM: A Simple Framework for Masked Image Modeling", arXiv:2111.09886,
    Eq. (1).

    Args:
        predicted: float [B, n, P], predictions of the P values of all patches of each image.
        patches: float [B, n, P], the values themselves.
        mask: [B, n], 1 or True for masked patches, of which each image has one at least.

    Returns:
        float32 scalar >= 0: the mean over the masked patches of an image, averaged over images.

    Raises:
        ValueError: the first two are not of one shape [B, n, P], or the mask has another one.

    Example:

    ```python
    patches = np.float32([[[1, 1], [9, 9]]])  # the second is not masked
    float(tfssl.losses.simmim(np.zeros((1, 2, 2), "float32"), patches, [[1, 0]]))  # 1.0
    ```
    """
    predicted, patches = _of_one_shape(predicted, patches)
    mask = tf.cast(mask, tf.float32)
    if not mask.shape.is_compatible_with(patches.shape[:2]):
        raise ValueError(
            f"`mask` must be of shape {patches.shape[:2]}, that of the patches. "
            f"Received: {mask.shape}"
        )
    errors = tf.reduce_mean(tf.abs(predicted - patches), axis=-1)
    return tf.reduce_mean(tf.reduce_sum(errors * mask, axis=1) / tf.reduce_sum(mask, axis=1))


def _of_one_shape(predicted, patches):
    """Both in float32."""
    pair = [tf.cast(values, tf.float32) for values in (predicted, patches)]
    shapes = [values.shape for values in pair]
    if any(shape.rank != 3 for shape in shapes) or not shapes[0].is_compatible_with(shapes[1]):
        raise ValueError(
            "`predicted` and `patches` must be of one shape [B, n, P]. "
            f"Received: {shapes[0]} and {shapes[1]}"
        )
    return pair
