"""Settings of evaluation, finetuning, distillation and export."""

import math
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
    """Evaluation of a training."""

    eval_batch_size: int = knob(256, EVAL, "Images in an evaluation batch.", at_least(1))
    eval_steps: int = knob(0, EVAL, "Batches to evaluate; 0: the whole split.", NON_NEGATIVE)
    eval_image_size: Optional[str] = knob(
        None,
        EVAL,
        "Size of the evaluation crops, in the same form. Not given: --image_size. Random "
        "crops magnify objects, so views of 24 px suit whole images of 32 px, at half the cost.",
        SIZE,
    )
    eval_crop_proportion: Optional[float] = knob(
        None,
        EVAL,
        "Side of the central crop, as a fraction of the image's shorter side. Not "
        "given: 0.875, and 1 up to 32 px, where the reference does not crop.",
        FRACTION,
    )
    eval_patches: int = knob(
        1,
        EVAL,
        "Evaluate the mean representation of so many patches of an image, a square number; each "
        "has a quarter of its area and is enlarged to its size, as EMP-SSL does. Not for "
        "--mode=linear_eval, finetune and distill. 1: the representation of the whole image.",
        (lambda x: x >= 1 and math.isqrt(x) ** 2 == x, "a square number"),
    )
    knn_k: str = knob(
        "20,200",
        EVAL,
        "Neighbours of the kNN evaluation, comma-separated; empty: none.",
        COUNTS,
        common=True,
    )
    protocols: Optional[str] = knob(
        None,
        EVAL,
        "Further evaluation protocols, by the names that plug-ins registered, "
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
        "Dataset for evaluation by linear classifier and kNN. Not given: that of pretraining. "
        "With it, the pretraining images need no labels, and --eval_split is one of its splits.",
        NOT_EMPTY,
    )
    probe_data_dir: Optional[str] = knob(
        None, EVAL, "The --data_dir of --probe_dataset. Not given: the same."
    )
    probe_train_split: str = knob(
        "train", EVAL, "Split of --probe_dataset that the classifiers learn from.", NOT_EMPTY
    )
    eval_baseline: Optional[bool] = knob(
        None,
        EVAL,
        "Evaluate the untrained encoder too, by the same protocols. Not given: as far "
        "as it takes no longer than the training did, or less than a minute.",
    )


@group
class TransferOptions(Schema):
    """Pretrained weights, and labels to learn from."""

    checkpoint: Optional[str] = knob(
        None,
        TRANSFER,
        "Pretrained weights: the directory of a run, a checkpoint in it, an "
        "encoder.keras, a checkpoint of google-research/simclr's tf2 code, or weights of timm, "
        "DINO or MAE (.safetensors, .npz). The architecture is "
        "read from them; images may have any size. finetune and distill (for the student) also "
        "accept none: the network of the flags, from scratch. predict takes the directory of a "
        "finetuned or distilled run, or its classifier.keras.",
        NOT_EMPTY,
        common=True,
    )
    label_fraction: float = knob(
        1.0,
        TRANSFER,
        "Fraction of --train_split to learn from: a class-balanced subset, drawn with --seed. "
        "distill learns from all images, and from the labels of this subset.",
        FRACTION,
        common=True,
    )
    label_list: Optional[str] = knob(
        None,
        TRANSFER,
        "Instead of --label_fraction: a file with the indices of these images in "
        "--train_split, one per line, from 0 (results/labels/ has lists).",
        NOT_EMPTY,
    )
    fine_tune_after_block: int = knob(
        -1,
        TRANSFER,
        "Layers that finetuning trains. -1: all; 0: those after the stem; 1, 2, 3: those "
        "after that group of blocks; 4: only the head. For a Vision Transformer, 0: those after "
        "the embedding; 1, 2, 3: those after that quarter of the blocks. For another --encoder, 0 "
        "to 3: those after the feature map is 1/2, 1/4, 1/8 or 1/16 of the image. Frozen layers "
        "keep their batch statistics too.",
        (lambda x: -1 <= x <= 4, "an integer from -1 to 4"),
    )
    layer_decay: Optional[float] = knob(
        None,
        TRANSFER,
        "Factor of the learning rate from each block of a Vision Transformer to the one before; "
        "0.65 to 0.75 is usual after MAE. Not given: one rate.",
        (lambda x: 0 < x <= 1, "a number above 0, 1 at most"),
    )
    ft_proj_selector: int = knob(
        0,
        TRANSFER,
        "Layer of the projector on which the finetuned head is placed, trained with it. 0: "
        "none, the representation; 1: the first (SimCLRv2); -1: the last.",
        at_least(-1),
    )
    zero_init_logits_layer: bool = knob(
        False, TRANSFER, "Start the finetuned head at 0 instead of at random."
    )


@group
class DistillationOptions(Schema):
    """The teacher and its weight in the loss."""

    teacher: Optional[str] = knob(
        None,
        DISTILL,
        "Directory of a finetuned or distilled run, or its classifier.keras. Its logits are "
        "computed once for every image of --train_split, labelled or not, on evaluation crops.",
        NOT_EMPTY,
        common=True,
    )
    distill_temperature: float = knob(
        1.0,
        DISTILL,
        "Temperature of both softmaxes: 1 for a smaller student, 0.1 for one with the "
        "teacher's architecture (SimCLRv2).",
        POSITIVE,
    )
    distill_alpha: float = knob(
        1.0,
        DISTILL,
        "Weight of the teacher's term in the loss; the labels have 1 minus this weight. With 1, "
        "no labels are needed.",
        PROBABILITY,
    )


@group
class LinearOptions(Schema):
    """The protocol of --mode=linear_eval."""

    linear_epochs: float = knob(
        80,
        LINEAR,
        "Epochs over the training split, with random crops and "
        "flips (Grill et al. 2020, Appendix C.1).",
        POSITIVE,
    )
    linear_learning_rate: float = knob(
        0.2,
        LINEAR,
        "Base learning rate of SGD with Nesterov momentum 0.9, multiplied by batch/256, with "
        "cosine decay to 0.",
        POSITIVE,
    )
    linear_batch_size: int = knob(256, LINEAR, "Images in a batch.", at_least(1))


@group
class ExportOptions(Schema):
    """The output of --mode=export, embed, report, select, predict and plan."""

    format: Literal["keras", "saved_model", "onnx", "npz"] = knob(
        "keras",
        EXPORT,
        "Format of --mode=export: a .keras file of Keras's own layers, a "
        "TensorFlow SavedModel, ONNX (needs the onnx extra), or the weights for NumPy. Each "
        "takes images of any size.",
    )
    export_input: Literal["unit", "raw"] = knob(
        "unit",
        EXPORT,
        "What the file of --mode=export takes. unit: images in [0, 1]. raw: values as they are "
        "stored, which it scales as the images of its training were, by --value_range and "
        "--no_data.",
    )
    output: Optional[str] = knob(
        None,
        EXPORT,
        "File to write, or directory. With --mode=export and predict it must not exist. Not given: "
        "a name next to the weights; or predictions.csv in "
        "--model_dir or, without one, in the current directory. With --mode=doctor: the file for "
        "what was found, which is replaced; not given: doctor.json in the current directory. With "
        "--mode=report: the page; not given: report.html or compare.html in --model_dir. With "
        "--mode=plan: the flagfile, which must not exist; not given: plan.flags in the current "
        "directory.",
        NOT_EMPTY,
    )
    embed_points: int = knob(
        2000,
        EXPORT,
        "Images in the t-SNE plot and in TensorBoard's projector, drawn with "
        "--seed; the representations of all images are written.",
        at_least(10),
    )
    compare: Optional[str] = knob(
        None,
        EXPORT,
        "Further runs for --mode=report, comma-separated: one page shows them beside that in "
        "--model_dir.",
        NOT_EMPTY,
    )
    minutes: float = knob(
        30.0,
        EXPORT,
        "Minutes that the training which --mode=plan plans may take, with its start, evaluation "
        "and report.",
        POSITIVE,
    )
    count: int = knob(100, EXPORT, "Images that --mode=select chooses.", at_least(1))
    by: Literal["typical", "coverage", "uncertain", "random"] = knob(
        "typical",
        EXPORT,
        "How --mode=select chooses images. typical: the most typical one of each cluster, "
        "for few labels (TypiClust). coverage: those farthest from all others chosen "
        "(k-center). uncertain: those between the classes of a linear classifier of the images "
        "with a label. random. Images with a label are those of --label_list, or those that "
        "have one where others have none.",
    )
