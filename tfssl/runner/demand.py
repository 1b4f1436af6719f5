"""Refuses settings that need more memory than there is, before anything is built.

It uses lower bounds on the parts that grow with a flag, so that nothing is refused that could run.
The memory that a run needs is several times as much.
"""

import tensorflow as tf

from tfssl import encoders, memory
from tfssl.errors import UsageError
from tfssl.layers.heads import depth

FLOAT, HALF = 4, 2  # bytes per number; features may be in half precision
ACCELERATOR = 2**40  # bytes, more than any GPU or TPU has
COPIES = 3  # of the network: parameters, gradients, the optimizer's momentum
MOST_STEPS = 2**31 - 1


def check(job):
    """Raises UsageError if a run needs more memory than there is, or too many steps."""
    accelerators = job.config.trains and (
        len(tf.config.list_physical_devices("GPU")) or job.distribution.workers - 1
    )
    limit = max(memory.available(), accelerators * ACCELERATOR)
    memory.require(of_training(job) if job.config.trains else of_evaluation(job), limit)
    for flags, steps in (
        ("--train_epochs and --train_steps", job.total_steps),
        ("--warmup_epochs", job.warmup_steps),
    ):
        if steps > MOST_STEPS:
            raise UsageError(
                f"{flags} must come to at most {MOST_STEPS:,} steps. Received: {steps:.4g}"
            )


def of_training(job):
    """The parts of `memory.require` for a training."""
    config = job.config
    trained, copies = (
        parameters(config),
        COPIES
        + (config.task == "pretrain" and (config.facts.has_target or config.memory_size > 0)),
    )
    views = (config.num_views if config.task == "pretrain" else 1) * config.train_batch_size
    at_once = views // config.accumulate_steps // job.distribution.replicas
    parts = [(flags, what, copies * FLOAT * count) for flags, what, count in trained]
    parts += [
        (
            "--image_size and --train_batch_size",
            "views of {}x{} px".format(*job.size),
            FLOAT * 3 * views // job.distribution.replicas * area(job.size),
        ),
        (
            "--image_size, --train_batch_size and --width_multiplier",
            "features of views of {}x{} px".format(*job.size),
            at_once * features(config, job.stem, job.size),
        ),
    ]
    if config.task == "pretrain":
        parts.append(
            (
                "--memory_size and --proj_out_dim",
                f"{config.memory_size:,} projections",
                FLOAT * config.memory_size * projected(config),
            )
        )
    return parts + (of_crops(job) if job.evaluates else [])


def of_evaluation(job):
    """The parts of `memory.require` for a mode that trains no encoder."""
    return [
        (flags, what, FLOAT * count) for flags, what, count in parameters(job.config)[:1]
    ] + of_crops(job)


def of_crops(job):
    """The parts of `memory.require` for an evaluation batch."""
    config, size = job.config, job.eval_size
    images = min(config.eval_batch_size, max(1, job.train_source.num_examples))
    return [
        (
            "--eval_image_size and --eval_batch_size",
            "crops of {}x{} px".format(*size),
            images * (FLOAT * 3 * area(size) + features(config, job.stem, size)),
        )
    ]


def parameters(config):
    """Lower bounds on the parameters: [(flags, description, count)] of encoder and projector."""
    found, width = of_encoder(config), width_of(config)
    layers = depth(config.proj_head_mode, config.num_proj_layers)
    if config.task == "pretrain" and layers:
        hidden = config.proj_hidden_dim or width
        sizes = (width, *[hidden] * min(layers - 1, 2), config.proj_out_dim)
        count = sum(a * b for a, b in zip(sizes, sizes[1:])) + max(0, layers - 3) * hidden**2
        found.append(
            (
                "--proj_out_dim, --proj_hidden_dim and --num_proj_layers",
                "a projector of so many units",
                count,
            )
        )
    return found


def of_encoder(config):
    """The entry of a ResNet in `parameters`; none for other encoders."""
    if config.encoder != "resnet":
        return []
    bottlenecks, counts = encoders.BLOCKS[config.resnet_depth]
    filters = 8 * encoders.first_filters(config.width_multiplier)  # of the last group
    of_a_block = (9 + 8 * bottlenecks) * filters**2
    return [
        (
            "--width_multiplier and --resnet_depth",
            "an encoder of so many filters",
            counts[-1] * of_a_block,
        )
    ]


def width_of(config):
    """Lower bound on the dimension of h."""
    if config.encoder != "resnet":
        return 1
    return encoders.width(config.resnet_depth, config.width_multiplier)


def projected(config):
    """Lower bound on the dimension of z."""
    return width_of(config) if config.proj_head_mode == "none" else config.proj_out_dim


def features(config, stem, size):
    """Lower bound on the bytes of the first feature map of an image."""
    if config.encoder != "resnet":
        return 0
    stride = {"cifar": 1, "imagenet": 2}[stem]
    return (
        HALF
        * encoders.first_filters(config.width_multiplier)
        * area([max(1, side // stride) for side in size])
    )


def area(size):
    return size[0] * size[1]
