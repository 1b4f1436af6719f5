"""Settings of training: optimizer, logs, speed, devices, compatibility."""

from typing import Literal, Optional

from tfssl.config.defaults import by_length
from tfssl.config.schema import COMPAT, DEVICES, LOG, OPTIM, SPEED, Schema, group, knob
from tfssl.config.values import ADDRESS, HOST, NON_NEGATIVE, POSITIVE, SUFFIX, at_least


@group
class OptimizerOptions(Schema):
    """The optimizer and its schedule."""

    optimizer: Literal["lars", "momentum", "adam", "adamw", "lion", "muon"] = knob(
        "lars",
        OPTIM,
        "lars (You et al. 2017), momentum (SGD with Nesterov momentum), adam, adamw, lion or muon. "
        "The last three have decoupled weight decay: Loshchilov & Hutter 2019, Chen et al. 2023, "
        "Liu et al. 2025 (matrices by muon; all else, and the last layers, by adamw).",
        common=True,
    )
    lars_form: Literal["classic", "popular"] = knob(
        "classic",
        OPTIM,
        "Where LARS multiplies by the learning rate: before the momentum (classic, "
        "google-research/simclr) or after it (popular, DeepMind's BYOL). As in these projects, the "
        "classic form excludes the online head from layer adaptation, the popular one does not.",
    )
    lars_eeta: float = knob(
        0.001,
        OPTIM,
        "Trust coefficient of LARS: the step of a layer is the learning rate times this share of "
        "the norm of its weights. 0.02 is usual with batches of a few hundred images.",
        POSITIVE,
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
        "L2 penalty on the kernels of convolutions and dense layers. With adamw, lion and muon it "
        "is the share of these that a step takes, times its learning rate."
        + by_length("weight_decay"),
        NON_NEGATIVE,
        common=True,
    )
    weight_decay_end: Optional[float] = knob(
        None,
        OPTIM,
        "Weight decay at the end of the training, to which adamw, lion and muon go from "
        "--weight_decay by a cosine, as DINO does from 0.04 to 0.4. Not given: it does not change.",
        NON_NEGATIVE,
    )
    momentum: float = knob(
        0.9, OPTIM, "Momentum of lars and momentum.", (lambda x: 0 <= x < 1, "a number in [0, 1)")
    )
    adam_beta_2: float = knob(
        0.999,
        OPTIM,
        "Decay of the mean of squared gradients in adam, adamw and muon.",
        (lambda x: 0 <= x < 1, "a number in [0, 1)"),
    )
    clip_norm: Optional[float] = knob(
        None,
        OPTIM,
        "Norm of all gradients together above which they are scaled down to it. Not given: none.",
        POSITIVE,
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
        "Number of parts of a batch, computed one after the other for one optimizer step, which "
        "needs the memory of one part. SimCLR still contrasts every image with the whole "
        "batch, at the cost of a second forward pass. Batch normalization sees one part at a time.",
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
        "Pretraining: log lower bounds on the information that the views share, and statistics of "
        "the representations, as information/ at every TensorBoard point; and the information "
        "about the label as information_bound in result.json.",
    )
    report: bool = knob(
        True,
        LOG,
        "Write report.html after a training: the verdict, curves, accuracies, views, and images "
        "with their nearest neighbours.",
    )
    stop_when: Optional[Literal["levelled_off", "broken", "any"]] = knob(
        None,
        LOG,
        "Pretraining: stop early where two verdicts in a row say that the representation no longer "
        "becomes better, that something is broken, or any of these; evaluation follows. Not given: "
        "train to the end.",
    )
    logger: Optional[Literal["wandb", "mlflow"]] = knob(
        None,
        LOG,
        "Send every scalar of TensorBoard to Weights & Biases or MLflow too, as one run there also "
        "after an interruption. Where to is what their environment variables say (WANDB_MODE, "
        "MLFLOW_TRACKING_URI).",
    )
    quiet: bool = knob(False, LOG, "Print warnings and errors only, to standard error.")
    json: bool = knob(
        False,
        LOG,
        "Print the result as one JSON object to standard output, and all else to standard error.",
    )


@group
class SpeedOptions(Schema):
    """Speed and memory; these settings change results only by rounding."""

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
        "Train with less memory: keep only the inputs of the encoder's residual blocks, and "
        "compute the inside of each again for the gradient, a third more computation.",
    )
    compile_augmentation: bool = knob(
        True,
        SPEED,
        "Compile the augmentation with XLA, in blocks of the batch that fit the processor's cache.",
    )
    augment_on: Literal["auto", "host", "device"] = knob(
        "auto",
        SPEED,
        "Where augmentation of whole batches runs: on the processor, in parallel to training "
        "(host), or on the GPU, within the training step (device), which also holds images that "
        "fit its memory. auto: device with a GPU.",
    )
    jit_compile: Literal["auto", "on", "off"] = knob(
        "auto",
        SPEED,
        "Compile the training step with XLA, which takes minutes once. auto: on with one "
        "GPU, for trainings of 1,500 steps or more, except where a plug-in's operations cannot be "
        "compiled.",
    )
    steps_per_execution: int = knob(
        0,
        SPEED,
        "Training steps per call from Python, at most. Progress is shown between calls, which end "
        "at every TensorBoard point and checkpoint; a signal is obeyed after a call. 0: one on a "
        "processor, as many as take a second on a GPU.",
        NON_NEGATIVE,
    )
    blockwise_loss_from: int = knob(
        1024,
        SPEED,
        "SimCLR of two views: from this --train_batch_size on, the loss is computed in blocks of "
        "the similarity matrix, so that memory does not grow quadratically; 0: never.",
        NON_NEGATIVE,
    )


@group
class DeviceOptions(Schema):
    """Devices and distribution."""

    distribute: Literal["auto", "none", "mirrored", "multi_worker", "tpu"] = knob(
        "auto",
        DEVICES,
        "Selects the tf.distribute strategy for training. mirrored: all GPUs of this machine, each "
        "for its share of the batch; together they compute what one would. multi_worker: the same "
        "with the processes in TF_CONFIG, which need a shared --model_dir. auto: multi_worker "
        "if TF_CONFIG lists several, mirrored if there are several GPUs, tpu with --use_tpu, "
        "otherwise one device.",
    )
    replicas: int = knob(
        0,
        DEVICES,
        "Number of GPUs for --distribute=mirrored; 0: all. Without a GPU, the processor "
        "is divided into as many logical devices, for tests.",
        NON_NEGATIVE,
    )
    global_bn: bool = knob(
        True,
        DEVICES,
        "Synchronize batch normalization over all replicas; otherwise each "
        "uses its own statistics, and the moving averages of the first one are kept.",
    )
    data_service: Optional[str] = knob(
        None,
        DEVICES,
        "HOST:PORT of the dispatcher of a tf.data service, whose workers read and augment the "
        "training images: the same batches, made by other hosts (--mode=data_dispatcher and "
        "--mode=data_worker start it). Batches that do not come are made here.",
        ADDRESS,
    )
    worker_address: Optional[str] = knob(
        None,
        DEVICES,
        "HOST or HOST:PORT by which others reach this worker of the data service. Not given: the "
        "name of this machine (localhost, if the dispatcher is there) and a free port.",
        HOST,
    )
    use_tpu: bool = knob(False, DEVICES, "google-research/simclr's flag for --distribute=tpu.")
    tpu_name: Optional[str] = knob(
        None, DEVICES, "Name or address of the TPU. Not given: the one of this machine."
    )


@group
class CompatibilityOptions(Schema):
    """Flags of google-research/simclr, accepted for compatibility."""

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
        "Regular expression for the variables of --checkpoint to load, by "
        "their names in google-research/simclr's tf1 code. tfssl always loads the "
        "encoder, and the projector if --ft_proj_selector uses it; an expression that selects "
        "these is accepted, any other one refused.",
    )
