"""tfssl: self-supervised learning (SimCLR, BYOL and relatives) for Keras 3 on TensorFlow.

    import tfssl
    result = tfssl.run(tfssl.Config(dataset="shapes", model_dir="runs/first"))
    encoder = tfssl.load_encoder("runs/first")      # a keras.Model: images in [0, 1] -> h

TensorFlow is loaded when a name that needs it is first used, so the command line prints its help,
or refuses a flag, in a fraction of a second. Import tfssl before TensorFlow, so that it can set
environment variables and filter log messages: see `tfssl.loading`.
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
    "open_images": "tfssl.data.opening",
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
_MODULES = (
    *("augment", "callbacks", "data", "encoders", "evaluation", "layers", "losses", "optim"),
    *("selection", "verdict"),
)


__all__ = ["Config", "TrainingError", "UsageError", "register", *sorted(_LAZY), *_MODULES]


def __getattr__(name):
    if name in _MODULES:
        return importlib.import_module(f"tfssl.{name}")
    if name not in _LAZY:
        import difflib  # only here: it would slow down every start

        near = difflib.get_close_matches(name, __all__, 1)
        hint = f". Did you mean {near[0]!r}?" if near else ""
        raise AttributeError(f"module 'tfssl' has no attribute {name!r}{hint}")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__():
    return sorted(__all__)


loading.register()
