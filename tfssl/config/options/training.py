"""How it is trained: the optimizer, the devices, what is written meanwhile."""

from typing import Literal, Optional

from tfssl.config.defaults import by_length
from tfssl.config.schema import COMPAT, DEVICES, LOG, OPTIM, SPEED, Schema, group, knob
from tfssl.config.values import NON_NEGATIVE, POSITIVE, SUFFIX, at_least


@group
class OptimizerOptions(Schema):
    """The optimizer and its schedule."""

    optimizer: Literal["lars", "momentum", "adam"] = knob(
        "lars",
        OPTIM,
        "lars (You et al. 2017), momentum (SGD with Nesterov momentum) or adam.",
        common=True,
    )
    lars_form: Literal["classic", "popular"] = knob(
        "classic",
        OPTIM,
        "Where LARS multiplies by the learning rate: before the momentum (classic, "
        "google-research/simclr) or after it (popular, DeepMind's BYOL). The classic form leaves "
        "the online head out of its layer adaptation, the popular one does not, as they do there.",
    )
    learning_rate: float = knob(
        1.0,
        OPTIM,
        f"Base learning rate; see --learning_rate_scaling.{by_length('learning_rate')}",
        NON_NEGATIVE,
        common=True,
    )
    learning_rate_scaling: Literal["linear", "sqrt"] = knob(
        "linear", OPTIM, "Learning rate = base x batch/256 (linear) or base x sqrt(batch)."
    )
    warmup_epochs: float = knob(
        10.0,
        OPTIM,
        "Epochs over which the learning rate rises from 0, before its cosine decay to 0.",
        NON_NEGATIVE,
    )
    weight_decay: float = knob(
        1e-4,
        OPTIM,
        "L2 penalty on the kernels of convolutions and dense layers." + by_length("weight_decay"),
        NON_NEGATIVE,
        common=True,
    )
    momentum: float = knob(
        0.9, OPTIM, "Momentum of lars and momentum.", (lambda x: 0 <= x < 1, "a number in [0, 1)")
    )
    train_batch_size: int = knob(
        512,
        OPTIM,
        "Images in a training batch, over all devices. In pretraining each gives two views.",
        at_least(2),
        common=True,
    )
    accumulate_steps: int = knob(
        1,
        OPTIM,
        "Parts that a batch is computed in, one after the other, for one step: the "
        "memory of a part, the learning of the batch. SimCLR contrasts every image with the whole "
        "batch all the same, at one more forward pass. Batch normalization sees a part at a time.",
        at_least(1),
    )
    train_epochs: float = knob(
        100.0,
        OPTIM,
        "Length of the training in epochs.",
        POSITIVE,
        common=True,
    )
    train_steps: int = knob(
        0, OPTIM, "Length in steps; 0: from --train_epochs.", NON_NEGATIVE, common=True
    )


@group
class LogOptions(Schema):
    """Checkpoints and logs."""

    checkpoint_epochs: float = knob(1.0, LOG, "Epochs between checkpoints.", POSITIVE)
    checkpoint_steps: int = knob(
        0, LOG, "Steps between checkpoints; 0: see --checkpoint_epochs.", NON_NEGATIVE
    )
    keep_checkpoint_max: int = knob(5, LOG, "Newest checkpoints to keep; 0: all.", NON_NEGATIVE)
    train_summary_steps: int = knob(
        10, LOG, "Steps between TensorBoard points; 0: none while training.", NON_NEGATIVE
    )
    information_scalars: bool = knob(
        True,
        LOG,
        "Pretraining: say how much information the views are certified to share, how "
        "representations are spread, and at the end what they tell of the label: the scalars "
        "under information/ at every TensorBoard point, and information_bound in result.json.",
    )


@group
class SpeedOptions(Schema):
    """What makes it faster or smaller, and changes nothing else, up to rounding."""

    fused_batch_norm: bool = knob(
        True,
        SPEED,
        "Train with TensorFlow's fused batch-normalization kernel. Exported encoders "
        "carry Keras's own layer either way.",
    )
    product_gradients: bool = knob(
        True,
        SPEED,
        "On a processor, compute the weight gradients of convolutions with small "
        "outputs as matrix products. Exported encoders carry Keras's own layer either way.",
    )
    remat: bool = knob(
        False,
        SPEED,
        "Train with less memory: of the encoder keep only what its residual blocks "
        "begin with, and compute the inside of each again for the gradient, a third more work.",
    )
    compile_augmentation: bool = knob(
        True,
        SPEED,
        "Have XLA compile the augmentation; it then works through a batch in blocks "
        "that fit the processor's cache.",
    )
    augment_on: Literal["host", "device"] = knob(
        "host",
        SPEED,
        "Where what augmentation does to whole batches runs: beside the training, "
        "on the processor, or within the training step, on the GPU.",
    )
    steps_per_execution: int = knob(
        1,
        SPEED,
        "Training steps between two looks of Python, which shows progress, saves and "
        "stops: more of them for networks so small that the looks cost.",
        at_least(1),
    )
    blockwise_loss_from: int = knob(
        1024,
        SPEED,
        "SimCLR: from this --train_batch_size on, the loss is computed in blocks of "
        "the similarity matrix, whose memory does not grow with its square; 0: never.",
        NON_NEGATIVE,
    )


@group
class DeviceOptions(Schema):
    """Which devices compute."""

    distribute: Literal["auto", "none", "mirrored", "multi_worker", "tpu"] = knob(
        "auto",
        DEVICES,
        "Who computes a training. mirrored: all GPUs of this machine, each its "
        "part of the batch, together what one would compute. multi_worker: the processes that "
        "TF_CONFIG names, likewise, with a --model_dir that all of them share. auto: multi_worker "
        "where TF_CONFIG names several, mirrored where there are several GPUs, tpu with --use_tpu, "
        "else one device.",
    )
    replicas: int = knob(
        0,
        DEVICES,
        "GPUs that --distribute=mirrored uses; 0: all. Without a GPU, the processor "
        "acts as so many devices, to try it.",
        NON_NEGATIVE,
    )
    global_bn: bool = knob(
        True,
        DEVICES,
        "Batch normalization by the statistics of all replicas; otherwise each "
        "takes its own, and the first one's moving averages are kept.",
    )
    use_tpu: bool = knob(False, DEVICES, "google-research/simclr's spelling of --distribute=tpu.")
    tpu_name: Optional[str] = knob(
        None, DEVICES, "Name or address of the TPU; not given: the one of this machine."
    )


@group
class CompatibilityOptions(Schema):
    """Flags of google-research/simclr that are accepted."""

    tpu_zone: Optional[str] = knob(None, COMPAT, "Zone of the Cloud TPU; without one, ignored.")
    gcp_project: Optional[str] = knob(
        None, COMPAT, "Project of the Cloud TPU; without one, ignored."
    )
    master: Optional[str] = knob(
        None, COMPAT, "Address of the TPU, where --tpu_name is not given; without one, ignored."
    )
    keep_hub_module_max: int = knob(
        1, COMPAT, "Ignored: it concerns Hub exports only.", NON_NEGATIVE
    )
    eval_name: Optional[str] = knob(
        None, COMPAT, "Suffix of the TensorBoard folder of the evaluation.", SUFFIX
    )
    variable_schema: Optional[str] = knob(
        None,
        COMPAT,
        "Regular expression for the variables of --checkpoint that are loaded, by "
        "their names in google-research/simclr's tf1 code. What is loaded here is settled: the "
        "encoder, and the projector where --ft_proj_selector reads it; an expression that means "
        "this is accepted, another one refused.",
    )
