"""The modes: what the command line can be asked to do, and the facts about each.

A new mode is one entry of MODES, beside the module that does it.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Mode:
    """The facts about a mode.

    Attributes:
        help: what it does, a phrase for the help text of --mode.
        run: "MODULE:FUNCTION" that does it; (config, given) -> result, and for a training (config,
            given, flagfile, distribution) -> result. "": that of the mode in --train_mode.
        trains: whether it trains an encoder.
        again: of a training, "MODULE:FUNCTION", (job) -> result, that --mode=eval repeats its
            evaluation by.
        defaults: of a training, {knob: default}, which come before those of the method.
        evaluates: whether accuracies are measured, where the images have labels.
        needs_run: whether it concerns the run in --model_dir and no other weights.
        own_directory: whether its results are a run, in --model_dir, which gets a name where none
            is given.
        takes_labels: whether it learns from labels that are chosen anew, by --label_fraction.
        classifies: whether it needs two classes or more.
        neighbours: whether it always classifies by nearest neighbours.
        split: the knob that names the images that it is about.
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
    ),
    "distill": Mode(
        "train a network to answer as that of --teacher does, then evaluate it",
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
    ),
    "eval": Mode(
        "evaluate what is in --model_dir", "tfssl.runner.program:evaluate", needs_run=True
    ),
    "linear_eval": Mode(
        "train a linear classifier on the frozen encoder in --checkpoint, or that of the run in "
        "--model_dir, by DeepMind's protocol",
        "tfssl.runner.linear_eval:linear_evaluation",
        takes_labels=True,
        classifies=True,
    ),
    "knn": Mode(
        "classify with it by nearest neighbours, which trains nothing",
        "tfssl.runner.frozen:nearest_neighbours",
        takes_labels=True,
        neighbours=True,
    ),
    "embed": Mode(
        "write its representations of --eval_split, with a picture",
        "tfssl.runner.embed:embed",
        evaluates=False,
        split="eval_split",
    ),
    "export": Mode(
        "write it as --format",
        "tfssl.runner.convert:export",
        evaluates=False,
        own_directory=False,
    ),
    "predict": Mode(
        "write the likeliest classes of every image of --eval_split, by the finetuned or distilled "
        "network in --checkpoint",
        "tfssl.runner.predict:predict",
        evaluates=False,
        own_directory=False,
        split="eval_split",
    ),
    "train": Mode(
        "train what --train_mode says, as google-research/simclr does",
        trains=True,
        evaluates=False,
    ),
    "train_then_eval": Mode("likewise, then evaluate it", trains=True),
}
TASKS = tuple(name for name, mode in MODES.items() if mode.trains and mode.run)
