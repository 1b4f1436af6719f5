"""Evaluation of frozen representations: kNN, linear classifiers, exact counts."""

from tfssl.evaluation.images import crop_proportion
from tfssl.evaluation.knn import knn_scores, knn_seconds
from tfssl.evaluation.linear import linear_probe, linear_seconds
from tfssl.evaluation.measure import evaluate, represent
from tfssl.evaluation.protocols import KNN, Linear
from tfssl.evaluation.topk import TOP, accuracies, telling, topk_correct

__all__ = [
    "KNN",
    "Linear",
    "TOP",
    "accuracies",
    "crop_proportion",
    "evaluate",
    "knn_scores",
    "knn_seconds",
    "linear_probe",
    "linear_seconds",
    "represent",
    "telling",
    "topk_correct",
]
