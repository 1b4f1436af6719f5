"""How good are frozen representations: class scores from them, and exact counts."""

from tfssl.evaluation.knn import knn_scores, knn_seconds
from tfssl.evaluation.linear import linear_probe, linear_seconds
from tfssl.evaluation.topk import TOP, telling, topk_correct

__all__ = [
    "TOP",
    "knn_scores",
    "knn_seconds",
    "linear_probe",
    "linear_seconds",
    "telling",
    "topk_correct",
]
