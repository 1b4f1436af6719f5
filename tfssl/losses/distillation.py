"""Cross-entropy between a student's and a teacher's softmax."""

import tensorflow as tf

from tfssl.losses.tensors import float32_pair


def distillation_loss(student: tf.Tensor, teacher: tf.Tensor, temperature: float) -> tf.Tensor:
    """Cross-entropy between the softened predictions of a teacher and a student.

    SimCLRv2, Chen et al. 2020, arXiv:2006.10029, Eq. (2): the mean over images of the cross-entropy
    between softmax(teacher / temperature) and softmax(student / temperature), as in Hinton et al.
    2015, arXiv:1503.02531, without its factor temperature^2. Its minimum, where the two are equal,
    is the entropy of the teacher's distribution. No gradient flows to the teacher.

    Args:
        student, teacher: float [N, C], logits.
        temperature: float > 0.

    Returns:
        float32 scalar >= 0, in nats.

    Raises:
        ValueError: the shapes differ, or `temperature` is not positive.

    Example:

    ```python
    teacher = np.log([[0.9, 0.1]])
    loss = tfssl.losses.distillation_loss(teacher, teacher, temperature=1.0)
    round(float(loss), 4)  # 0.3251
    ```
    """
    if not temperature > 0:
        raise ValueError(f"`temperature` must be positive. Received: temperature={temperature}")
    student, teacher = float32_pair(student=student, teacher=teacher)
    targets = tf.stop_gradient(tf.nn.softmax(teacher / temperature))
    return tf.reduce_mean(
        tf.nn.softmax_cross_entropy_with_logits(labels=targets, logits=student / temperature)
    )
