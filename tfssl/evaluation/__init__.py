"""How good are frozen representations: class scores from them, and exact counts."""

from tfssl.evaluation.knn import knn_scores
from tfssl.evaluation.linear import linear_probe
from tfssl.evaluation.topk import TOP, telling, topk_correct

__all__ = ["TOP", "knn_scores", "linear_probe", "telling", "topk_correct"]
