"""`--mode=export`: writes the encoder in other formats."""

import os

import keras
import tensorflow as tf

from tfssl import files
from tfssl.errors import UsageError
from tfssl.storage import foreign, formats, pretrained
from tfssl.storage.export import of_raw_values
from tfssl.text import printable


def export(config, given):
    """Writes the encoder of --checkpoint, or of the run in --model_dir, as --format.

    keras: Keras's own layers, float32. saved_model: `tf.saved_model.load(path).serve(images)`.
    onnx: one input, one output, for onnxruntime and others. npz: arrays by the names of their
    variables, and "about". All take images [B, H, W, C] in [0, 1], or with --export_input=raw as
    they are stored, of any size if the encoder does.

    Args:
        config: a `tfssl.Config`.
        given: names of the flags that the user gave.

    Returns:
        The path that was written.

    Raises:
        UsageError: there are no weights, the target exists, or a library for the format is missing.
    """
    source = config.checkpoint or config.model_dir
    if source == pretrained.SCRATCH:
        raise UsageError(
            "--mode=export needs --checkpoint or --model_dir: the weights to export. "
            f"Received: {source}"
        )
    found = pretrained.find(source, pretrained.given_range(config, given))
    config = pretrained.adopt(config, given, found.about, source)
    if config.stem != found.about["stem"]:
        raise UsageError(
            f"--stem={config.stem} contradicts {source}, whose network has "
            f"--stem={found.about['stem']}."
        )
    directory = source if os.path.isdir(source) else os.path.dirname(source)
    if foreign.is_one(source):
        directory = ""  # not beside the weights of others
    raw = config.export_input == "raw"
    name = formats.NAMES[config.format]
    name = name.replace("encoder", "encoder_raw") if raw else name
    path = config.output or os.path.join(directory, name)
    if os.path.lexists(path):
        raise UsageError(
            f"--output must not exist yet. Received: {path}"
            if config.output
            else f"{path} already exists; give another path by --output."
        )
    if config.format == "keras" and not path.endswith(".keras"):
        raise UsageError(f"--output must end in .keras for --format=keras. Received: {path}")
    encoder = pretrained.load(found, config, keras.layers.BatchNormalization)
    about = found.about
    if raw:
        encoder, about = of_raw_values(encoder, about, source)
    try:
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        formats.WRITERS[config.format](encoder, path, about)
    except UsageError:
        raise
    except (OSError, ValueError, tf.errors.OpError) as error:  # ValueError: NUL in the name
        raise UsageError(
            "--output must be a path that can be written. Received: "
            f"{printable(path)} ({files.why(error)})"
        ) from None
    print(
        f"{path}: {config.format}, images [B, H, W, {encoder.input_shape[-1]}] "
        f"{'as they are stored' if raw else 'in [0, 1]'} {sizes(encoder)} -> "
        f"[B, {encoder.output_shape[-1]}]"
    )
    return path


def sizes(encoder):
    """The image sizes that an encoder accepts, for messages."""
    height, width = encoder.input_shape[1:3]
    return "of any size" if height is None else f"of {height}x{width} px"
