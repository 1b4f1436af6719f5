"""What is done with an encoder: evaluation, finetuning, distillation, export."""

from typing import Literal, Optional

from tfssl.config.schema import DISTILL, EVAL, EXPORT, LINEAR, TRANSFER, Schema, group, knob
from tfssl.config.values import (
    COUNTS,
    FRACTION,
    NON_NEGATIVE,
    NOT_EMPTY,
    POSITIVE,
    PROBABILITY,
    SIZE,
    at_least,
)


@group
class EvaluationOptions(Schema):
    """What a training is evaluated by."""

    eval_batch_size: int = knob(256, EVAL, "Images in an evaluation batch.", at_least(1))
    eval_steps: int = knob(0, EVAL, "Batches to evaluate; 0: the whole split.", NON_NEGATIVE)
    eval_image_size: Optional[str] = knob(
        None,
        EVAL,
        "Size of the evaluation crops, likewise. Not given: --image_size. Random "
        "crops magnify what they show, so views of 24 px suit whole images of 32 px, at half the "
        "cost.",
        SIZE,
    )
    eval_crop_proportion: Optional[float] = knob(
        None,
        EVAL,
        "Side of the central crop, as a fraction of the image's shorter side. Not "
        "given: 0.875, and 1 up to 32 px, where the reference does not crop.",
        FRACTION,
    )
    knn_k: str = knob(
        "20,200",
        EVAL,
        "Neighbours of the kNN evaluation, comma-separated; empty: no kNN evaluation.",
        COUNTS,
        common=True,
    )
    protocols: Optional[str] = knob(
        None,
        EVAL,
        "Further protocols to evaluate with, by the names that plug-ins registered, "
        "comma-separated. Not given: none.",
        NOT_EMPTY,
    )
    knn_temperature: float = knob(0.07, EVAL, "Votes are weighted by exp(cosine / this).", POSITIVE)
    linear_probe: bool = knob(
        True,
        EVAL,
        "After training, fit a logistic regression to the frozen "
        "representations of the whole training split, without augmentation.",
        common=True,
    )
    probe_dataset: Optional[str] = knob(
        None,
        EVAL,
        "Dataset to evaluate on by linear classifier and kNN, where it is not that of "
        "the pretraining, which may have no labels then. --eval_split is its.",
        NOT_EMPTY,
    )
    probe_data_dir: Optional[str] = knob(None, EVAL, "Its --data_dir. Not given: the same.")
    probe_train_split: str = knob(
        "train", EVAL, "Split of --probe_dataset that the classifiers learn from.", NOT_EMPTY
    )
    eval_baseline: Optional[bool] = knob(
        None,
        EVAL,
        "Evaluate the untrained encoder too, by the same protocols. Not given: as far "
        "as that takes no longer than the training did, or under a minute.",
    )


@group
class TransferOptions(Schema):
    """Pretrained weights, and labels to learn from."""

    checkpoint: Optional[str] = knob(
        None,
        TRANSFER,
        "Pretrained weights: the directory of a run, a checkpoint in it, an "
        "encoder.keras, or a checkpoint of google-research/simclr's tf2 code. They say what the "
        "network is; images may have any size. finetune and distill (there the student's) also "
        "take none: the network of the flags, from scratch. predict takes the directory of a "
        "finetuned or distilled run, or its classifier.keras.",
        NOT_EMPTY,
        common=True,
    )
    label_fraction: float = knob(
        1.0,
        TRANSFER,
        "Share of --train_split to learn from: a subset with equal numbers of "
        "every class, drawn by --seed. distill learns from all images, and from the labels of "
        "these.",
        FRACTION,
        common=True,
    )
    label_list: Optional[str] = knob(
        None,
        TRANSFER,
        "In place of --label_fraction: a file with the places of these images in "
        "--train_split, one number a line, from 0 (results/labels/ has lists).",
        NOT_EMPTY,
    )
    fine_tune_after_block: int = knob(
        -1,
        TRANSFER,
        "What finetuning trains. -1: everything; 0: all after the stem; 1, 2, 3: all "
        "after that group of blocks; 4: the head alone. Of another --encoder, 0 to 3: what comes "
        "after its map is 1/2, 1/4, 1/8 or 1/16 of the image. What is not trained keeps its batch "
        "statistics too.",
        (lambda x: -1 <= x <= 4, "an integer from -1 to 4"),
    )
    ft_proj_selector: int = knob(
        0,
        TRANSFER,
        "Layer of the projector that the finetuned head reads, trained with it: 0: "
        "none, the representation; 1: the first (SimCLRv2); -1: the last.",
        at_least(-1),
    )
    zero_init_logits_layer: bool = knob(
        False, TRANSFER, "Start the finetuned head at 0 instead of at random."
    )


@group
class DistillationOptions(Schema):
    """The teacher, and how much it is believed."""

    teacher: Optional[str] = knob(
        None,
        DISTILL,
        "Directory of a finetuned or distilled run, or its classifier.keras. It "
        "answers once for every image of --train_split, labelled or not, as it was evaluated.",
        NOT_EMPTY,
        common=True,
    )
    distill_temperature: float = knob(
        1.0,
        DISTILL,
        "Temperature of both softmaxes: 1 for a smaller student, 0.1 for one of the "
        "teacher's form (SimCLRv2).",
        POSITIVE,
    )
    distill_alpha: float = knob(
        1.0,
        DISTILL,
        "Weight of the teacher's answers in the loss; 1 minus it is that of the "
        "labels, of which 1 needs none.",
        PROBABILITY,
    )


@group
class LinearOptions(Schema):
    """The protocol of --mode=linear_eval."""

    linear_epochs: float = knob(
        80,
        LINEAR,
        "Passes over the training split, as random crops and "
        "flips (Grill et al. 2020, Appendix C.1).",
        POSITIVE,
    )
    linear_learning_rate: float = knob(
        0.2,
        LINEAR,
        "Base learning rate of SGD with Nesterov momentum 0.9: times batch/256, and "
        "to 0 along a cosine.",
        POSITIVE,
    )
    linear_batch_size: int = knob(256, LINEAR, "Images in a batch.", at_least(1))


@group
class ExportOptions(Schema):
    """What --mode=export, embed and predict write."""

    format: Literal["keras", "saved_model", "onnx", "npz"] = knob(
        "keras",
        EXPORT,
        "What --mode=export writes: a .keras file of Keras's own layers, a "
        "TensorFlow SavedModel, ONNX (needs the onnx extra), or the bare weights for NumPy. Each "
        "takes images of any size.",
    )
    output: Optional[str] = knob(
        None,
        EXPORT,
        "File or directory that --mode=export writes, or file that --mode=predict "
        "does; it must not exist. Not given: a name beside the weights; or predictions.csv in "
        "--model_dir or, without one, where the command is run.",
        NOT_EMPTY,
    )
    embed_points: int = knob(
        2000,
        EXPORT,
        "Images in the picture (t-SNE) and in TensorBoard's projector, drawn by "
        "--seed; the representations of all are written.",
        at_least(10),
    )
