"""DINO: a student predicts the centred and sharpened outputs of a teacher."""

import tensorflow as tf

from tfssl.losses.assignment import mean_over_pairs
from tfssl.losses.checks import float32_views, positive


def dino(
    students: list[tf.Tensor],
    teachers: list[tf.Tensor],
    center: tf.Tensor,
    *,
    student_temperature: float = 0.1,
    teacher_temperature: float = 0.04,
    center_momentum: float = 0.9,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Self-distillation with no labels, the loss of DINO, and the next center.

    Caron et al. 2021, "Emerging Properties in Self-Supervised Vision Transformers",
    arXiv:2104.14294, Eq. (3) and Algorithm 1: the cross-entropy between
    softmax((teacher - center) / teacher_temperature) and softmax(student / student_temperature),
    for all pairs of a view of the teacher and another view of the student. The new center (Eq. 4)
    is center_momentum * center + (1 - center_momentum) * the mean of the teacher's outputs; the
    loss uses the old one. No gradient flows to `teachers` and `center`.

    Differs from Eq. (3), which sums over the pairs of views: as in facebookresearch/dino
    (main_dino.py, 7c446df), they are averaged.

    Args:
        students: list of float [N, K], outputs of the student for all views, those of the teacher
            first and in the same order.
        teachers: list of float [N, K], outputs of the teacher for the large views.
        center: float [K] or [1, K], of the outputs of the teacher.
        student_temperature: float > 0.
        teacher_temperature: float > 0; the lower, the sharper the targets.
        center_momentum: float in [0, 1].

    Returns:
        A pair: the loss, a float32 scalar >= 0 in nats, and the new center, float32 of the shape of
        `center`.

    Raises:
        ValueError: the outputs are not lists of matrices of one shape, there are fewer than two
            views or fewer than the teacher has, `center` does not fit, or a number is out of range.

    Example:

    ```python
    outputs = [np.zeros((8, 4), "float32")] * 2  # the student guesses, and so does the teacher
    loss, center = tfssl.losses.dino(outputs, outputs, center=np.zeros(4))
    np.isclose(loss, np.log(4))  # True
    ```
    """
    positive(student_temperature=student_temperature, teacher_temperature=teacher_temperature)
    if not 0 <= center_momentum <= 1:
        raise ValueError(
            f"`center_momentum` must be in [0, 1]. Received: center_momentum={center_momentum}"
        )
    students, teachers, center = _checked(students, teachers, center)
    center, *teachers = (tf.stop_gradient(values) for values in (center, *teachers))
    targets = [tf.nn.softmax((teacher - center) / teacher_temperature) for teacher in teachers]
    loss = mean_over_pairs(targets, [student / student_temperature for student in students])
    mean = tf.reduce_mean(tf.stack(teachers), axis=[0, 1])
    return loss, center_momentum * center + (1.0 - center_momentum) * mean


def _checked(students, teachers, center):
    students = float32_views(students=students, least=2)
    teachers = float32_views(teachers=teachers)
    if len(teachers) > len(students):
        raise ValueError(
            "`students` must hold all views of `teachers`. Received: "
            f"{len(students)} and {len(teachers)} views"
        )
    float32_views(students=students, teachers=teachers)
    center = tf.cast(center, tf.float32)
    outputs = students[0].shape[1]
    if not any(center.shape.is_compatible_with(fit) for fit in ([outputs], [1, outputs])):
        raise ValueError(
            "`center` must be [K] or [1, K] for outputs [N, K]. Received: "
            f"center.shape={center.shape}, K={outputs}"
        )
    return students, teachers, center
