"""Cross-entropy between a student's and a teacher's softmax."""

import tensorflow as tf

from tfssl.losses.tensors import float32_pair


def distillation_loss(student: tf.Tensor, teacher: tf.Tensor, temperature: float) -> tf.Tensor:
    """How far a student's answers are from a teacher's: mean over images, a float32 scalar in nats.

    SimCLRv2's Eq. (2), Chen et al. 2020, arXiv:2006.10029 (the softmaxes are Hinton et al.'s,
    arXiv:1503.02531, whose factor temperature^2 it leaves out): the cross-entropy between
    softmax(teacher / temperature) and softmax(student / temperature). Least, the entropy of the
    former, where the two are equal. No gradient reaches the teacher.

    Args:
        student, teacher: logits, float [N, C].
        temperature: float > 0.

    Raises:
        ValueError: the shapes differ, or temperature is not positive.
    """
    if not temperature > 0:
        raise ValueError(f"`temperature` must be positive. Received: temperature={temperature}")
    student, teacher = float32_pair(student=student, teacher=teacher)
    targets = tf.stop_gradient(tf.nn.softmax(teacher / temperature))
    return tf.reduce_mean(
        tf.nn.softmax_cross_entropy_with_logits(labels=targets, logits=student / temperature)
    )
