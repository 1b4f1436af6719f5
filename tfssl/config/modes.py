"""The table of modes of the command line.

A new mode needs one entry in MODES, and the module that implements it.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Mode:
    """Properties of a mode.

    Attributes:
        help: phrase for the help text of --mode.
        run: "MODULE:FUNCTION" that implements it: (config, given) -> result, and for a training
            (config, given, flagfile, distribution) -> result. "": that of --train_mode.
        trains: whether it trains an encoder.
        again: for a training, "MODULE:FUNCTION", (job) -> result, that repeats its evaluation for
            --mode=eval.
        defaults: for a training, {setting: default}, which override those of the method.
        evaluates: whether it measures accuracies, if the images have labels.
        needs_run: whether it requires a run in --model_dir.
        own_directory: whether it writes to --model_dir, which gets a default name.
        takes_labels: whether it learns from labels selected by --label_fraction.
        classifies: whether it needs at least two classes.
        neighbours: whether it always evaluates nearest neighbours.
        split: the setting that names the split that it uses.
        alone: whether it uses no run.
        flags: the settings that --help of the mode lists; (): the most common ones of all.
        own: the settings that no other mode reads.
        example: flags of a command line, for --help.
    """

    help: str
    run: str = ""
    trains: bool = False
    again: str = ""
    defaults: dict = dataclasses.field(default_factory=dict)
    evaluates: bool = True
    needs_run: bool = False
    own_directory: bool = True
    takes_labels: bool = False
    classifies: bool = False
    neighbours: bool = False
    split: str = "train_split"
    alone: bool = False
    flags: tuple = ()
    own: tuple = ()
    example: str = ""


IMAGES = ("dataset", "data_dir", "channels", "group_by")
SPLITS = (*IMAGES, "train_split", "eval_split")
WEIGHTS = ("checkpoint", "model_dir")
TRAINING = ("image_size", "train_epochs", "train_batch_size", "optimizer", "learning_rate")
MORE = ("seed", "precision", "dry_run", "report")  # of a training
LABELS = ("label_fraction", "label_list")

MODES = {
    "pretrain": Mode(
        "learn the encoder, then evaluate it",
        "tfssl.runner.pretrain:pretrain",
        trains=True,
        again="tfssl.runner.pretrain:evaluate_pretrained",
    ),
    "finetune": Mode(
        "train the encoder in --checkpoint with labels, then evaluate it",
        "tfssl.runner.finetune:finetune",
        trains=True,
        again="tfssl.runner.finetune:evaluate_finetuned",
        classifies=True,
        defaults=dict(
            optimizer="momentum",
            learning_rate=0.05,
            warmup_epochs=0.0,
            weight_decay=0.0,
            train_batch_size=256,
            train_epochs=60.0,
        ),
        flags=(
            *SPLITS,
            *WEIGHTS,
            *LABELS,
            "fine_tune_after_block",
            "layer_decay",
            "ft_proj_selector",
            "views",
            *TRAINING,
            *MORE,
        ),
        example="--checkpoint=runs/NAME --label_fraction=0.1",
    ),
    "distill": Mode(
        "train a network on the outputs of --teacher, then evaluate it",
        "tfssl.runner.distill:distill",
        trains=True,
        again="tfssl.runner.finetune:evaluate_finetuned",
        classifies=True,
        defaults=dict(
            optimizer="momentum",
            learning_rate=0.1,
            warmup_epochs=5.0,
            weight_decay=1e-4,
            train_batch_size=256,
            train_epochs=100.0,
            checkpoint="none",
        ),
        flags=(
            *SPLITS,
            "teacher",
            "model_dir",
            "probe_dataset",
            "distill_temperature",
            "distill_alpha",
            *LABELS,
            "resnet_depth",
            "width_multiplier",
            *TRAINING,
            *MORE,
        ),
        example="--teacher=runs/FINETUNED --width_multiplier=0.5",
    ),
    "eval": Mode(
        "evaluate the run in --model_dir",
        "tfssl.runner.program:evaluate",
        needs_run=True,
        flags=(
            "model_dir",
            "eval_split",
            "eval_image_size",
            "knn_k",
            "linear_probe",
            "eval_baseline",
            "protocols",
        ),
        example="--model_dir=runs/NAME",
    ),
    "linear_eval": Mode(
        "train a linear classifier on the frozen encoder in --checkpoint, or that of the run in "
        "--model_dir, by DeepMind's protocol",
        "tfssl.runner.linear_eval:linear_evaluation",
        takes_labels=True,
        classifies=True,
        flags=(*WEIGHTS, *SPLITS, "eval_image_size", *LABELS, "linear_epochs", "linear_batch_size"),
        example="--model_dir=runs/NAME",
    ),
    "knn": Mode(
        "classify by nearest neighbours of the encoder, without training",
        "tfssl.runner.frozen:nearest_neighbours",
        takes_labels=True,
        neighbours=True,
        flags=(*WEIGHTS, *SPLITS, "eval_image_size", *LABELS, "knn_k", "knn_temperature"),
        example="--checkpoint=encoder.keras --dataset=./photos",
    ),
    "embed": Mode(
        "write representations of --eval_split by the encoder, with a t-SNE plot",
        "tfssl.runner.embed:embed",
        evaluates=False,
        split="eval_split",
        flags=(*WEIGHTS, *IMAGES, "eval_split", "eval_image_size", "embed_points"),
        own=("embed_points",),
        example="--model_dir=runs/NAME",
    ),
    "report": Mode(
        "write report.html of the run in --model_dir, or with --compare one page of several runs",
        "tfssl.runner.report:write",
        evaluates=False,
        needs_run=True,
        split="eval_split",
        flags=("model_dir", "compare", "output"),
        own=("compare",),
        example="runs/ONE runs/OTHER",
    ),
    "select": Mode(
        "choose the --count images of --train_split to label first, by the encoder",
        "tfssl.runner.select:select",
        evaluates=False,
        takes_labels=True,
        flags=(
            *WEIGHTS,
            *IMAGES,
            "train_split",
            "count",
            "by",
            "label_list",
            "eval_image_size",
            "seed",
        ),
        own=("count", "by"),
        example="--model_dir=runs/NAME --count=100",
    ),
    "export": Mode(
        "write the encoder as --format",
        "tfssl.runner.convert:export",
        evaluates=False,
        own_directory=False,
        flags=(*WEIGHTS, "format", "export_input", "output"),
        own=("format", "export_input"),
        example="--checkpoint=runs/NAME --format=onnx",
    ),
    "predict": Mode(
        "write the likeliest classes of every image of --eval_split, by the finetuned or distilled "
        "network in --checkpoint",
        "tfssl.runner.predict:predict",
        evaluates=False,
        own_directory=False,
        split="eval_split",
        flags=("checkpoint", "model_dir", *IMAGES, "eval_split", "output"),
        example="--checkpoint=runs/FINETUNED --data_dir=FOLDER",
    ),
    "doctor": Mode(
        "check that this machine computes rightly, measure how fast, and write doctor.json",
        "tfssl.runner.doctor:doctor",
        evaluates=False,
        own_directory=False,
        alone=True,
        flags=("method", "precision", "full", "output"),
        own=("full",),
        example="--full",
    ),
    "data_dispatcher": Mode(
        "serve as the dispatcher of a tf.data service at the address --data_service",
        "tfssl.runner.data_service:dispatcher",
        evaluates=False,
        own_directory=False,
        alone=True,
        flags=("data_service",),
        example="--data_service=node1:5050",
    ),
    "data_worker": Mode(
        "read and augment images for the trainings that name the same --data_service",
        "tfssl.runner.data_service:worker",
        evaluates=False,
        own_directory=False,
        alone=True,
        flags=("data_service", "worker_address"),
        own=("worker_address",),
        example="--data_service=node1:5050",
    ),
    "plan": Mode(
        "choose the settings of a pretraining that takes --minutes on this machine, with a reason "
        "for each, and write them as a flagfile",
        "tfssl.runner.planner:plan_training",
        own_directory=False,
        alone=True,
        flags=(
            "minutes",
            *SPLITS,
            "method",
            "encoder",
            "resnet_depth",
            "views",
            "image_size",
            "width_multiplier",
            "train_batch_size",
            "output",
        ),
        own=("minutes",),
        example="--dataset=./photos --minutes=30",
    ),
    "train": Mode(
        "train as --train_mode says, like google-research/simclr",
        trains=True,
        evaluates=False,
    ),
    "train_then_eval": Mode("as train, then evaluate it", trains=True),
}
SERVING = ("data_dispatcher", "data_worker")  # of a tf.data service
TASKS = tuple(name for name, mode in MODES.items() if mode.trains and mode.run)
