"""How fast a device computes: products, convolutions, a training step, and the input pipeline."""

import dataclasses
import os
import threading
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from tfssl import augment, compat, data, encoders, layers, memory, methods, optim
from tfssl.data.arrays import source_of

ENOUGH = 0.8  # seconds to measure for
SIDE = 32  # pixels of the views
SIZE = {"CPU": 2048, "GPU": 8192}  # of the matrices
BATCH = {"CPU": 64, "GPU": 256}  # images of a step; XLA tries out algorithms at this size


@dataclasses.dataclass(frozen=True)
class Rate:
    """What was measured.

    Attributes:
        name: such as "matrix product, bfloat16".
        dtype: the type that is computed in.
        flops: floating-point operations per second; 0: not counted.
        images: images per second; 0: none are processed.
        bytes_per_image: memory that grows with the batch; 0: not measured.
        rest: bytes of memory that do not.
    """

    name: str
    dtype: str
    flops: float = 0.0
    images: float = 0.0
    bytes_per_image: float = 0.0
    rest: float = 0.0


def kind() -> str:
    """ "GPU" or "CPU", whichever trains."""
    return "GPU" if tf.config.list_physical_devices("GPU") else "CPU"


def seconds(call: Callable[[], object], enough: float = ENOUGH) -> float:
    """Seconds of a call, which returns a scalar tensor: the median over calls after the first."""
    float(call())
    times, began = [], time.perf_counter()
    while not times or time.perf_counter() - began < enough:
        start = time.perf_counter()
        float(call())
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def product(dtype: str, size: int | None = None, calls: int = 4) -> Rate:
    """The product of two square matrices."""
    size = size or SIZE[kind()]
    left = tf.cast(tf.random.stateless_uniform([size, size], [0, 1], -1, 1), dtype)
    right = tf.cast(tf.random.stateless_uniform([size, size], [0, 2], -1, 1), dtype)

    @tf.function(autograph=False)
    def multiply():
        made = [tf.matmul(left, right, transpose_b=bool(number % 2)) for number in range(calls)]
        return tf.add_n([tf.cast(one[0, 0], tf.float32) for one in made])

    return Rate(f"matrix product, {size} x {size}", dtype, calls * 2 * size**3 / seconds(multiply))


def convolution(dtype: str, channels: int, side: int, batch: int | None = None) -> Rate:
    """A 3x3 convolution with both of its gradients."""
    batch = batch or BATCH[kind()]
    shape = [batch, side, side, channels]
    images = tf.cast(tf.random.stateless_uniform(shape, [0, 1]), dtype)
    kernel = tf.cast(tf.random.stateless_normal([3, 3, channels, channels], [0, 2]), dtype)

    @tf.function(autograph=False)
    def convolve():
        with tf.GradientTape() as tape:
            tape.watch([images, kernel])
            made = tf.nn.conv2d(images, kernel, 1, "SAME")
        of_images, of_kernel = tape.gradient(made, [images, kernel], output_gradients=made)
        return tf.cast(of_images[0, 0, 0, 0] + of_kernel[0, 0, 0, 0], tf.float32)

    flops = 3 * 2 * 9 * channels**2 * side**2 * batch
    return Rate(
        f"convolution 3x3, {channels} channels of {side} px, and its gradients",
        dtype,
        flops / seconds(convolve),
    )


def flops_of(encoder: keras.Model, size: int | tuple[int, int] = SIDE) -> int:
    """Floating-point operations of one image, forward and backward.

    Those of convolutions and dense layers, of which the backward pass takes twice as many as the
    forward pass; all else is a few per cent.
    """
    sides = (size, size) if isinstance(size, int) else tuple(size)
    model = keras.models.clone_model(encoder, input_tensors=keras.Input((*sides, 3)))
    total = 0
    for layer in model.layers:
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense)):
            places = int(np.prod(layer.output.shape[1:-1], dtype=np.int64))
            total += int(np.prod(layer.kernel.shape, dtype=np.int64)) * places
    return 3 * 2 * total


def step(precision: str, compiled: bool, batch: int | None = None, depth: int = 18) -> Rate:
    """A training step of SimCLR with a ResNet on views of 32 px, augmentation included on a GPU."""
    batch, on_gpu = batch or BATCH[kind()], kind() == "GPU"
    before = memory_in_use()
    with compat.dtype_policy(precision):
        encoder = encoders.resnet(
            depth,
            stem="cifar",
            normalization=layers.FusedBatchNormalization,
            convolution=layers.ProductGradientConv2D,
        )
        model = methods.SimCLR(encoder, temperature=0.2)
    source = images(max(batch, 1024))
    recipes = [augment.simclr(SIDE)] * 2
    finish = data.finisher(source, recipes, in_blocks=False, device="GPU:0" if on_gpu else None)
    options = dict(batch_size=batch, seed=0, stop_step=10**6)
    model.build((None, SIDE, SIDE, 3))
    model.compile(
        optim.LARS(0.1), weight_decay=1e-4, jit_compile=compiled, prepare=finish if on_gpu else None
    )
    batches = data.views(source, recipes, **options, finished=not on_gpu, by_index=on_gpu)
    first = next(iter(batches))
    train = tf.function(model.train_step, autograph=False, jit_compile=compiled)
    with Peak() as peak:
        taken = seconds(lambda: train(first)["loss"], 2 * ENOUGH)
    return Rate(
        f"training step, ResNet-{depth}, {batch} images, {'XLA' if compiled else 'no XLA'}",
        precision,
        2 * batch * flops_of(encoder) / taken,
        batch / taken,
        max(0.0, peak.bytes - before) / batch,
        before,
    )


def pipeline(batch: int = 256) -> Rate:
    """Two augmented views of each image, made on the processor."""
    source, recipes = images(4096), [augment.simclr(SIDE)] * 2
    batches = iter(
        data.views(source, recipes, batch_size=batch, seed=0, stop_step=10**6, compiled=True)
    )
    for _ in range(4):  # those that are prepared while nothing is taken
        next(batches)
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < 2 * ENOUGH:
        next(batches)
        count += batch
    return Rate(
        "input pipeline on the processor, two views",
        "float32",
        images=count / (time.perf_counter() - began),
    )


def images(count):
    rng = np.random.default_rng(0)
    return source_of(rng.integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8))


def memory_in_use() -> float:
    """Bytes of the training device in use: of the GPU, or of this process."""
    if kind() == "GPU":
        return float(tf.config.experimental.get_memory_info("GPU:0")["current"])
    with open("/proc/self/statm") as file:
        return float(int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE"))


def memory_limit() -> float:
    """Bytes of memory of the training device."""
    return float(compat.gpu_memory() if kind() == "GPU" else memory.available())


class Peak:
    """A context; `bytes` is the most memory in use within it."""

    def __enter__(self):
        self.bytes, self.ended = 0.0, threading.Event()
        if kind() == "GPU":
            tf.config.experimental.reset_memory_stats("GPU:0")
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()
        return self

    def watch(self):
        while not self.ended.is_set():
            self.bytes = max(self.bytes, memory_in_use())
            self.ended.wait(0.005)

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        if kind() == "GPU":
            self.bytes = float(tf.config.experimental.get_memory_info("GPU:0")["peak"])


def largest_batch(rate: Rate) -> int:
    """The largest power of two of images whose step fits into the memory, estimated."""
    if rate.bytes_per_image <= 0:
        return 0
    fits = 0.9 * (memory_limit() - rate.rest) / rate.bytes_per_image
    return 2 ** int(np.log2(fits)) if fits >= 1 else 0
