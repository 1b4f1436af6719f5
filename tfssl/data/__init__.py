"""Datasets as `Source`s, one per split, and the pipeline that makes batches of them."""

from tfssl.data.near import alike
from tfssl.data.pipeline import WHOLE, Share, finisher, labelled, views
from tfssl.data.service import served
from tfssl.data.source import (
    Source,
    balanced,
    digest,
    fingerprint,
    held,
    labels_of,
    numbered,
    read_list,
    reading,
    subset,
)

__all__ = [
    "Share",
    "Source",
    "WHOLE",
    "alike",
    "balanced",
    "digest",
    "fingerprint",
    "finisher",
    "held",
    "labelled",
    "labels_of",
    "numbered",
    "read_list",
    "reading",
    "served",
    "subset",
    "views",
]
