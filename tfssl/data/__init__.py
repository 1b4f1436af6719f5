"""Data: one `Source` per split, and the pipeline that turns sources into batches."""

from tfssl.data.pipeline import WHOLE, Share, finisher, labelled, views
from tfssl.data.source import (
    Source,
    digest,
    fingerprint,
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
    "digest",
    "fingerprint",
    "finisher",
    "labelled",
    "labels_of",
    "numbered",
    "read_list",
    "reading",
    "subset",
    "views",
]
