"""Checks of the numbers and of the lists of views that losses take."""

import tensorflow as tf


def positive(**named):
    """Refuses numbers that are known not to be positive when the graph is built."""
    _refuse(lambda number: number > 0, "be positive", named)


def not_negative(**named):
    """Refuses numbers that are known to be negative when the graph is built."""
    _refuse(lambda number: number >= 0, "not be negative", named)


def at_least_one(**named):
    """Refuses what is no integer of at least 1."""
    _refuse(
        lambda number: number >= 1 and number == int(number), "be an integer of at least 1", named
    )


def at_least_two_rows(**named):
    """Refuses matrices that are known to have a single row when the graph is built."""
    for name, z in named.items():
        if z.shape[0] is not None and z.shape[0] < 2:
            raise ValueError(
                f"`{name}` must be projections of at least two images. "
                f"Received: {name}.shape={z.shape}"
            )


def float32_views(least=1, **lists):
    """Checks lists of matrices of one shape and returns all of them as one list in float32.

    Args:
        least: how many matrices there must be in all.
        lists: lists or tuples of float [N, D], by the names of the arguments.
    """
    names = " and ".join(f"`{name}`" for name in lists)
    if not all(isinstance(views, (list, tuple)) for views in lists.values()):
        kinds = ", ".join(type(views).__name__ for views in lists.values())
        raise ValueError(f"{names} must be lists of matrices [N, D]. Received: {kinds}")
    views = [tf.convert_to_tensor(view) for views in lists.values() for view in views]
    if len(views) < least:
        raise ValueError(
            f"{names} must hold at least {least} matrices [N, D]. Received: {len(views)}"
        )
    shapes = [view.shape for view in views]
    if not _are_one(shapes):
        received = ", ".join(map(str, shapes))
        raise ValueError(f"{names} must be matrices of one shape [N, D]. Received: {received}")
    return [tf.cast(view, tf.float32) for view in views]


def _refuse(permitted, must, named):
    for name, number in named.items():
        known = number
        if not isinstance(number, (int, float)):
            known = tf.get_static_value(tf.convert_to_tensor(number))
        if known is not None and not permitted(known):
            raise ValueError(f"`{name}` must {must}. Received: {name}={known}")


def _are_one(shapes):
    common = tf.TensorShape([None, None])
    for shape in shapes:
        if shape.rank != 2 or not common.is_compatible_with(shape):
            return False
        common = common.merge_with(shape)
    return True
