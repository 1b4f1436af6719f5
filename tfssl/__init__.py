"""tfssl: self-supervised learning (SimCLR, BYOL) for Keras 3 on TensorFlow.

    import tfssl
    result = tfssl.run(tfssl.Config(dataset="shapes", model_dir="runs/first"))
    encoder = tfssl.load_encoder("runs/first")      # a keras.Model: images in [0, 1] -> h

Importing the package is cheap: TensorFlow is loaded by the first name that needs it, so that a
command line can print its help, or refuse a flag, in a fraction of a second. It is to be imported
before TensorFlow, which is then loaded without its noise: see `tfssl.loading`.
"""

import importlib

from tfssl import loading
from tfssl.config import METHODS, Config
from tfssl.errors import TrainingError, UsageError
from tfssl.registry import register

__version__ = "0.2.0"

loading.watch()

_LAZY = {
    "run": "tfssl.runner.program",
    "load_encoder": "tfssl.storage.export",
    "views": "tfssl.data.inputs",
    "evaluate": "tfssl.evaluation",
    "represent": "tfssl.evaluation",
    "LARS": "tfssl.optim",
    "WarmupCosine": "tfssl.optim",
    "Distilled": "tfssl.methods",
    "Outputs": "tfssl.methods",
    "SelfSupervised": "tfssl.methods",
    "Supervised": "tfssl.methods",
    **{method.path.partition(":")[2]: "tfssl.methods" for method in METHODS.values()},
}
_MODULES = ("augment", "callbacks", "data", "encoders", "evaluation", "layers", "losses", "optim")


__all__ = ["Config", "TrainingError", "UsageError", "register", *sorted(_LAZY), *_MODULES]


def __getattr__(name):
    if name in _MODULES:
        return importlib.import_module(f"tfssl.{name}")
    if name not in _LAZY:
        raise AttributeError(f"module 'tfssl' has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__():
    return sorted(__all__)


loading.register()
