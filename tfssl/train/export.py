"""The encoder as a model of its own."""

import os
import zipfile

import keras

from tfssl import nets
from tfssl.errors import UsageError

FILE = "encoder.keras"


def build_encoder(config, stem, normalization, seed=0, name="encoder"):
    """The encoder that a Config describes."""
    return nets.resnet(
        config.resnet_depth, stem=stem, width_multiplier=config.width_multiplier,
        sk_ratio=config.sk_ratio, se_ratio=config.se_ratio, bn_momentum=config.batch_norm_decay,
        input_normalization=config.input_normalization, normalization=normalization, seed=seed,
        name=name)


def export_encoder(config, stem, encoder, model_dir):
    """Writes the encoder as `encoder.keras`: Keras layers only, float32, any image size.

    It loads with `keras.models.load_model` where tfssl is not installed, on any Keras backend.
    Images are [B, H, W, 3] in [0, 1]; the output is h, [B, D].

    Returns:
        The path of the file.
    """
    plain = build_encoder(config, stem, keras.layers.BatchNormalization)
    plain.set_weights(encoder.get_weights())
    path = os.path.join(model_dir, FILE)
    unfinished = os.path.join(model_dir, "unfinished." + FILE)
    plain.save(unfinished)
    os.replace(unfinished, path)
    return path


def load_encoder(path):
    """The encoder of a run, as a `keras.Model`: float [B, H, W, 3] in [0, 1] -> h [B, D].

    Args:
        path: directory of a run, or an `encoder.keras` file.

    Raises:
        UsageError: there is no such file, or it is not a Keras model.
    """
    file = os.path.join(path, FILE) if os.path.isdir(path) else path
    if not os.path.exists(file):
        raise UsageError(f"There is no encoder at {file}: pretraining writes it at its end.")
    if not zipfile.is_zipfile(file):
        raise UsageError(f"{file} is not a .keras file, or only a part of one.")
    try:
        return keras.models.load_model(file, compile=False)
    except (KeyError, OSError, ValueError, zipfile.BadZipFile) as error:
        raise UsageError(f"{file} is not a Keras model ({str(error).splitlines()[0]}).") from None
