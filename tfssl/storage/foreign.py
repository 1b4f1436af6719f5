"""Weights of Vision Transformers and ConvNeXts by the names of timm, as a --checkpoint."""

import contextlib
import dataclasses
import os

from tfssl.config import ARCHITECTURE, Config
from tfssl.encoders import timm
from tfssl.errors import UsageError
from tfssl.files import sha256
from tfssl.storage import export

ENDINGS = export.FOREIGN
PICKLED = (".pth", ".pt", ".bin")  # by PyTorch, which runs what is in them
SOURCE = "timm's names"
NAMES = {"vit": "Vision Transformer", "convnext": "ConvNeXt"}
NORMALIZED = "imagenet"  # as the images of nearly all published trainings


@dataclasses.dataclass(frozen=True)
class TimmWeights:
    """Weights in a file; see `tfssl.storage.pretrained.Pretrained`.

    Attributes:
        path: the file.
        about: see `Pretrained`.
    """

    path: str
    about: dict

    @property
    def origin(self):
        """What a run records about the weights."""
        return {**self.about, "path": self.path, "weights": sha256(self.path)}

    def restore(self, encoder, projector=None):
        """Loads the weights into an encoder of the described architecture.

        Raises:
            UsageError: a projector is wanted; or they are not finite.
        """
        if projector is not None:
            raise UsageError(
                f"--ft_proj_selector needs the projector of a run, which {self.path} does not have."
            )
        with reading(self.path):
            encoder.set_weights(timm.from_timm(self.path).get_weights())
        export.require_finite(encoder, f"--checkpoint={self.path}")


def is_one(path):
    """Whether a path is of such a file, by its ending."""
    return path.endswith(ENDINGS + PICKLED) and not os.path.isdir(path)


def find(path, input_range=None):
    """The `TimmWeights` of a file.

    Args:
        path: the file.
        input_range: the pixel values that the network expects, which its weights do not say; None:
            those of images normalized by the means and deviations of ImageNet.

    Raises:
        UsageError: it cannot be read, or has other weights.
    """
    with reading(path):
        if path.endswith(PICKLED):
            raise UsageError(
                "--checkpoint must be a .safetensors or .npz file, as PyTorch's can run code: "
                f"safetensors.torch.save_file writes its weights as one. Received: {path}"
            )
        weights = timm.plain(path)
        try:
            family, options = timm.described(weights)
        except KeyError as error:
            raise ValueError(f"{timm.EXPECTED} Missing: {error.args[0]}") from None
        except (TypeError, IndexError, AttributeError):
            raise ValueError(f"{timm.EXPECTED} Received: weights of other shapes") from None
    side = options.get("image_size")
    channels = options["channels"]
    plain = Config()
    return TimmWeights(
        path,
        {
            **{name: getattr(plain, name) for name in ARCHITECTURE},
            "encoder": timm.name_of(family, options),
            "channels": None if channels == 3 else int(channels),
            "input_range": input_range or (NORMALIZED if channels == 3 else "0,1"),
            "input_normalization": "none",
            "stem": "imagenet",
            "dataset": "images that are not recorded",
            "task": "pretrain",
            "image_size": [side, side] if side else None,
            "step": 0,
            "source": SOURCE,
        },
    )


@contextlib.contextmanager
def reading(path):
    """Context that names --checkpoint in what is wrong with a file."""
    try:
        yield
    except UsageError:
        raise
    except ValueError as error:
        what = str(error).replace("`weights` ", "").replace(f"{path} ", "")
        raise UsageError(f"--checkpoint={path}: its weights {what}") from None
