"""Weights to start from: --checkpoint, in each of its forms.

What is taken is the description of the network and its weights; the optimizer, the step and the
classifier of that run are not. Weights do not know image sizes: the encoder's last layer averages
over the map, whatever its size.
"""

import dataclasses
import os

import tensorflow as tf

from tfssl import encoders, files
from tfssl.config import ARCHITECTURE, LATER
from tfssl.encoders import google
from tfssl.errors import UsageError
from tfssl.files import sha256
from tfssl.storage import export, networks
from tfssl.storage.checkpoint import MANIFEST, Checkpoints, verify

SCRATCH = "none"
LEARNED = {"finetune": "finetuned", "distill": "distilled"}  # how, in words, where not by a method


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """Pretrained weights, found and checked, not read yet.

    Attributes:
        path: the checkpoint directory or the encoder.keras file.
        about: what was written beside the weights: the knobs in ARCHITECTURE, the stem that was
            built, and where they come from: dataset, image_size, step.
    """

    path: str
    about: dict

    @property
    def is_encoder(self):
        return self.path.endswith(".keras")

    @property
    def fingerprint(self):
        """What tells these weights from others, as text."""
        return sha256(self.path if self.is_encoder else os.path.join(self.path, MANIFEST))

    @property
    def origin(self):
        """What a run records of the weights that it starts from."""
        return {**self.about, "path": self.path, "weights": self.fingerprint}

    def restore(self, encoder, projector=None):
        """Reads the weights into networks of the described form.

        Raises:
            UsageError: they do not fit.
        """
        if self.is_encoder:
            if projector is not None:
                raise UsageError(
                    f"--ft_proj_selector needs the projector, which {self.path} does "
                    "not hold: give the directory of the run as --checkpoint."
                )
            try:
                encoder.set_weights(export.load_encoder(self.path).get_weights())
            except ValueError as error:
                raise error if isinstance(error, UsageError) else self.unfit(error) from None
            return
        parts = {"encoder": encoder, **({"projector": projector} if projector is not None else {})}
        try:
            status = tf.train.Checkpoint(**parts).read(os.path.join(self.path, "state"))
            status.expect_partial()
            status.assert_existing_objects_matched()
        except (AssertionError, ValueError, RuntimeError, tf.errors.OpError) as error:
            raise self.unfit(error) from None
        for part in parts.values():
            export.require_finite(part, f"--checkpoint={self.path}")

    def unfit(self, error):
        """The UsageError for weights of another form than what is said of them."""
        return UsageError(
            f"--checkpoint={self.path} does not fit the network that it describes "
            f"({files.why(error)})."
        )


def find(path):
    """The Pretrained that --checkpoint names.

    Args:
        path: directory of a run (its newest checkpoint is taken, or its encoder.keras where there
            is none), a checkpoint in it, or an encoder.keras; or a checkpoint of
            google-research/simclr's tf2 code, see `google.py`.

    Raises:
        UsageError: there is nothing, it is damaged, or it was written by something else.
    """
    theirs = google.prefix(path)
    if theirs and not os.path.exists(os.path.join(path, MANIFEST)):
        return google.find(theirs)
    if not os.path.exists(path):
        raise UsageError(
            "--checkpoint must be the directory of a run, a checkpoint in it, or an "
            f"encoder.keras. Received: {path}, which does not exist"
        )
    if os.path.isdir(path) and not os.path.exists(os.path.join(path, MANIFEST)):
        checkpoints = Checkpoints(path)
        step = checkpoints.newest_whole()
        file = os.path.join(path, export.FILE)
        if not step and not os.path.exists(file):
            raise UsageError(
                "--checkpoint must be the directory of a run, a checkpoint in it, or "
                f"an encoder.keras. Received: {path}, which holds no weights"
            )
        path = checkpoints.path(step) if step else file
    if os.path.isdir(path):
        manifest = verify(path)
        about = export.check_about(
            {**(manifest.get("about") or {}), "step": manifest["step"]}, path
        )
    else:
        about = export.read_about(path)
    missing = [
        name
        for name in (*ARCHITECTURE, "stem", "dataset", "image_size", "step")
        if name not in (about or {})
    ]
    if missing:
        raise UsageError(
            f"--checkpoint={path} does not say what its network is ({missing[0]} is "
            "missing): it was not written by this version of tfssl."
        )
    if "classes" in about:
        raise UsageError(
            f"--checkpoint={path} is a classifier, not an encoder: give the directory "
            f"of its run, or the {export.FILE} there."
        )
    return Pretrained(path, about)


def adopt(config, given, about, path):
    """The Config with the network of a checkpoint; its stem is then never auto or keep.

    Args:
        config: a `tfssl.Config`.
        given: names of the flags that the user gave.
        about: `Pretrained.about`.
        path: for messages.

    Raises:
        UsageError: a flag was given that contradicts it.
    """
    about = {**LATER, **about}
    for name in ARCHITECTURE:
        value = getattr(config, name)
        if name in given and value != about[name]:
            raise UsageError(
                f"--{name}={value} contradicts --checkpoint={path}, whose network has "
                f"--{name}={about[name]}."
            )
    stem = about["stem"] if config.stem in ("auto", "keep") else config.stem
    network = {name: about[name] for name in ARCHITECTURE}
    return config.explicit().replace(**network, stem=stem)  # how it trains stays as it was


def load(pretrained, config, normalization, projector=None, **classes):
    """An encoder with pretrained weights.

    Args:
        pretrained: where they are.
        config: a `tfssl.Config` that `adopt` returned; where its stem is not that of the weights,
            the layers of the stem start anew.
        normalization: class of the encoder's normalization layers.
        projector: a model of the described form to restore too, or None.
        **classes: further classes of the encoder's, as `encoders.resnet` takes them.

    Returns:
        A functional `keras.Model`, images [B, H, W, 3] in [0, 1] -> h [B, D].
    """

    def build(stem):
        return networks.build_encoder(config, stem, normalization, config.seed, **classes)

    encoder = build(pretrained.about["stem"])
    pretrained.restore(encoder, projector)
    if config.stem == pretrained.about["stem"]:
        return encoder
    changed = build(config.stem)
    encoders.copy_all_but_the_stem(encoder, changed)
    return changed


def described(origin):
    """Which encoder it is, as text."""
    size = origin["image_size"]
    what = LEARNED.get(origin.get("task"), origin["method"])
    return (
        f"{origin['path']}: {what} on {origin['dataset']}"
        + (f" at {size[0]}x{size[1]} px" if size else "")
        + f", step {origin['step']}"
    )
