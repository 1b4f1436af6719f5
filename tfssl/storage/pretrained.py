"""Loads pretrained weights: --checkpoint, in each of its forms.

Only the description of the network and its weights are used, not the optimizer, the step or the
classifier of that run. Weights fit any image size, as the encoder ends in global average pooling.
"""

import dataclasses
import os

import tensorflow as tf

from tfssl import encoders, files
from tfssl.config import ARCHITECTURE, LATER
from tfssl.encoders import google
from tfssl.errors import UsageError
from tfssl.files import sha256
from tfssl.storage import export, foreign, networks
from tfssl.storage.checkpoint import MANIFEST, Checkpoints, verify

SCRATCH = "none"
LEARNED = {"finetune": "finetuned", "distill": "distilled"}  # {task: word for messages}


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """Pretrained weights, found and verified, but not loaded yet.

    Attributes:
        path: the checkpoint directory or the encoder.keras file.
        about: the description of the weights: the settings in ARCHITECTURE, the stem, and their
            origin: dataset, image_size, step.
    """

    path: str
    about: dict

    @property
    def is_encoder(self):
        return self.path.endswith(".keras")

    @property
    def fingerprint(self):
        """A digest that identifies these weights."""
        return sha256(self.path if self.is_encoder else os.path.join(self.path, MANIFEST))

    @property
    def origin(self):
        """The record of these weights in a run that starts from them."""
        return {**self.about, "path": self.path, "weights": self.fingerprint}

    def restore(self, encoder, projector=None):
        """Loads the weights into networks of the described architecture.

        Raises:
            UsageError: they do not fit.
        """
        if self.is_encoder:
            if projector is not None:
                raise UsageError(
                    f"--ft_proj_selector needs the projector, which {self.path} does "
                    "not have: give the directory of the run as --checkpoint."
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
        """The UsageError for weights that do not match their description."""
        return UsageError(
            f"--checkpoint={self.path} does not fit the network that it describes "
            f"({files.why(error)})."
        )


def find(path, input_range=None):
    """Finds and verifies the weights of --checkpoint.

    Args:
        path: directory of a run (its newest checkpoint, or its encoder.keras if there is none), a
            checkpoint in it, or an encoder.keras; or a checkpoint of google-research/simclr's tf2
            code, see `tfssl.encoders.google`; or a file of a transformer's weights, see `foreign`.
        input_range: --input_range as it was given, for weights that do not say it; or None.

    Returns:
        A `Pretrained`, or what is like one.

    Raises:
        UsageError: there are no weights, they are damaged, or not from tfssl.
    """
    theirs = google.prefix(path)
    if theirs and not os.path.exists(os.path.join(path, MANIFEST)):
        return google.find(theirs)
    if not os.path.exists(path):
        raise UsageError(
            "--checkpoint must be the directory of a run, a checkpoint in it, an encoder.keras, or "
            f"weights by the names of timm. Received: {path}, which does not exist"
        )
    if foreign.is_one(path):
        return foreign.find(path, input_range)
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
    if about.get("export_input") == "raw":
        raise UsageError(
            f"--checkpoint={path} takes values as they are stored, for programs other than tfssl: "
            "give the run that it was exported from, or an export with --export_input=unit."
        )
    return Pretrained(path, about)


def given_range(config, given):
    """--input_range, if it was given; None if not."""
    return config.input_range if "input_range" in given else None


def adopt(config, given, about, path):
    """Sets the architecture of a Config to that of a checkpoint; its stem is then explicit.

    Args:
        config: a `tfssl.Config`.
        given: names of the flags that the user gave.
        about: `Pretrained.about`.
        path: path of the weights, for messages.

    Returns:
        A `tfssl.Config`.

    Raises:
        UsageError: a flag that was given contradicts the checkpoint.
    """
    about = {**LATER, **about}
    about["channels"] = about["channels"] or 3  # images of other numbers are converted or refused
    for name in ARCHITECTURE:
        value = getattr(config, name)
        if name in given and value != about[name]:
            raise UsageError(
                f"--{name}={value} contradicts --checkpoint={path}, whose network has "
                f"--{name}={about[name]}."
            )
    stem = about["stem"] if config.stem in ("auto", "keep") else config.stem
    network = {name: about[name] for name in ARCHITECTURE}
    return config.explicit().replace(**network, stem=stem)  # defaults by method stay as they were


def load(pretrained, config, normalization, projector=None, **classes):
    """Builds an encoder with pretrained weights.

    Args:
        pretrained: a `Pretrained`.
        config: result of `adopt`; if its stem differs from that of the weights, the layers of the
            stem get new weights.
        normalization: class of the encoder's normalization layers.
        projector: a projector of the described architecture to restore too, or None.
        **classes: further classes for `encoders.resnet`.

    Returns:
        A functional `keras.Model`, images [B, H, W, channels] in [0, 1] -> h [B, D].
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


def learned_by(origin):
    """A word for how weights were learned."""
    by_others = origin.get("source") == foreign.SOURCE
    return "weights" if by_others else LEARNED.get(origin.get("task"), origin["method"])


def described(origin):
    """A description of the weights for messages."""
    size = origin["image_size"]
    if origin.get("source") == foreign.SOURCE:
        name = origin["encoder"].partition("_")[0]
        return (
            f"{origin['path']}: weights of a {foreign.NAMES[name]}, which is given images as by "
            f"--input_range={origin['input_range']}"
        )
    return (
        f"{origin['path']}: {learned_by(origin)} on {origin['dataset']}"
        + (f" at {size[0]}x{size[1]} px" if size else "")
        + f", step {origin['step']}"
    )
