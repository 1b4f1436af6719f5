"""A convolution that computes the weight gradient of small feature maps as a matrix product."""

import keras
import tensorflow as tf

PLACES = 32  # output pixels up to which the product is faster, measured on AVX-512 bf16


@keras.saving.register_keras_serializable(package="tfssl")
class ProductGradientConv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` with the same outputs and gradients, faster to train on a CPU.

    oneDNN's weight gradient is slow for feature maps of few pixels, as in the last groups of a
    ResNet on small images. Here it is one matrix product per position of the kernel, on shifted
    slices of the input. TensorFlow backend only: an exported encoder is rebuilt with the parent
    class.

    The product is used for outputs of at most 32 pixels, and for strided 1x1 convolutions of any
    size, where it is faster too (and TensorFlow 2.21 has been seen to corrupt memory in their
    gradients on batches of 3 images). All else is computed by the parent class: channels first,
    dilation, groups, images of unknown size, larger outputs, and everything on a GPU.

    Args:
        *args, **kwargs: as for `keras.layers.Conv2D`.

    Example:

    ```python
    layer = tfssl.layers.ProductGradientConv2D(16, 3, padding="same")
    layer(tf.zeros((2, 4, 4, 8))).shape  # (2, 4, 4, 16)
    ```
    """

    def convolution_op(self, inputs: tf.Tensor, kernel: keras.Variable | tf.Tensor) -> tf.Tensor:
        if not self._worth_it(inputs):
            return super().convolution_op(inputs, kernel)
        stride, padding = self.strides[0], self.padding.upper()
        before = (self.kernel_size[0] - 1) // 2 if padding == "SAME" else 0
        size = self.kernel_size[0]

        @tf.custom_gradient
        def convolve(images, weights):
            def gradient(flow):
                to_images = tf.raw_ops.Conv2DBackpropInput(
                    input_sizes=tf.shape(images),
                    filter=weights,
                    out_backprop=flow,
                    strides=[1, stride, stride, 1],
                    padding=padding,
                )
                return to_images, weight_gradient(images, flow, size, stride, before)

            return tf.nn.conv2d(images, weights, stride, padding), gradient

        return convolve(inputs, tf.convert_to_tensor(kernel))

    def _worth_it(self, inputs):
        height, width = inputs.shape[1:3]
        plain = (
            isinstance(inputs, tf.Tensor)
            and height
            and width
            and self.groups == 1
            and self.data_format == "channels_last"
            and self.dilation_rate == (1, 1)
            and self.kernel_size[0] == self.kernel_size[1]
            and self.kernel_size[0] % 2 == 1
            and self.strides[0] == self.strides[1]
            and (self.padding == "valid" or self.strides == (1, 1))
        )
        if not plain or tf.config.list_logical_devices("GPU"):
            return False
        _, height, width, _ = self.compute_output_shape(inputs.shape)
        strided = self.kernel_size == (1, 1) and self.strides[0] > 1
        return strided or height * width <= PLACES


def weight_gradient(images, flow, size, stride, before):
    """The gradient of a convolution with respect to its kernel.

    Args:
        images: [B, h, w, C], the input.
        flow: [B, H, W, D], the gradient with respect to the output.
        size: side of the kernel.
        stride: stride of the convolution.
        before: width of the zero padding.

    Returns:
        [size, size, C, D].
    """
    height, width, filters = flow.shape[1:]
    channels = images.shape[-1]
    images = tf.pad(images, [[0, 0], [before, before], [before, before], [0, 0]])
    flow = tf.reshape(flow, [-1, filters])

    def at(row, column):
        seen = images[
            :,
            row : row + stride * (height - 1) + 1 : stride,
            column : column + stride * (width - 1) + 1 : stride,
        ]
        return tf.matmul(tf.reshape(seen, [-1, channels]), flow, transpose_a=True)

    products = [at(row, column) for row in range(size) for column in range(size)]
    return tf.reshape(tf.stack(products), [size, size, channels, filters])
