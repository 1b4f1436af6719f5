"""Which values are black and white, and what becomes of those between."""

import numpy as np
import pytest
import tensorflow as tf

from tfssl.data import values


@pytest.mark.parametrize(
    "dtype,lowest,highest,expected",
    [
        (np.uint8, 3, 200, None),
        (np.uint16, 0, 255, (0, 255)),
        (np.uint16, 7, 256, (0, 1023)),
        (np.uint16, 0, 1023, (0, 1023)),
        (np.uint16, 12, 4011, (0, 4095)),
        (np.uint16, 0, 4096, (0, 16383)),
        (np.uint16, 0, 16384, (0, 65535)),
        (np.uint16, 0, 65535, (0, 65535)),
        (np.uint16, 0, 0, (0, 255)),
        (np.int32, -5, 300, (-5, 300)),
        (np.int32, 0, 70_000, (0, 70_000)),
        (np.int32, -7, -7, (-7, -6)),
        (np.int32, 9, 300, (0, 1023)),
        (np.float32, 0.0, 1.0, (0, 1)),
        (np.float32, 0.2, 0.3, (0, 1)),
        (np.float32, -0.1, 1.0, (-1, 1)),
        (np.float32, 0.0, 1.5, (0.0, 1.5)),
        (np.float32, 0.0026, 1.008, (0, 1)),
        (np.float32, 0.0, 10.0, (0.0, 10.0)),
        (np.float32, -0.5, 200.0, (0, 255)),
        (np.float32, 0.0, 256.0, (0, 255)),
        (np.float32, 300.0, 300.0, (300.0, 301.0)),
    ],
)
def test_the_range_is_that_of_the_fewest_bits_or_customary_fractions(
    dtype, lowest, highest, expected
):
    assert values.choose_range(dtype, lowest, highest) == expected


@pytest.mark.parametrize(
    "dtype,expected",
    [(np.uint8, None), (np.uint16, (0, 65535)), (np.int16, (-32768, 32767)), (np.float32, (0, 1))],
)
def test_what_a_type_can_hold(dtype, expected):
    assert values.dtype_range(dtype) == expected


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32])
def test_scaling_is_linear_and_clips(dtype):
    image = np.array([[[0, 10, 60], [85, 110, 200]]], dtype)
    made = tf.function(values.scaled)(image, 10.0, 110.0)
    assert made.dtype == tf.float32
    np.testing.assert_allclose(made, [[[0, 0, 0.5], [0.75, 1, 1]]], atol=1e-7)


def test_one_value_in_all_images_is_black():
    low, high = values.choose_range(np.float32, 1e10, 1e10)
    np.testing.assert_array_equal(values.scaled(np.full((1, 1, 3), 1e10, np.float32), low, high), 0)


def test_the_range_is_told_with_what_was_found():
    assert values.range_summary(np.uint16, (0, 4095), (12, 4011)) == (
        "values of uint16 found from 12 to 4,011: taken as 0 to 4095"
    )
    assert values.range_summary(np.float32, (-1, 1), (-0.98765, 1.0)) == (
        "values of float32 found from -0.9877 to 1: taken as -1 to 1"
    )
    assert values.range_summary(np.uint16, (0, 65535)) == "values of uint16: taken as 0 to 65535"
