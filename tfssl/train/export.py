"""The encoder as a model of its own."""

import json
import os
import zipfile

import keras

from tfssl import nets
from tfssl.config import ARCHITECTURE
from tfssl.errors import UsageError

FILE, CLASSIFIER = "encoder.keras", "classifier.keras"
ABOUT = "tfssl.json"  # within that archive; Keras ignores it


def build_encoder(config, stem, normalization, seed=0, name="encoder", **classes):
    """The encoder that a Config describes; further classes as `nets.resnet` takes them."""
    return nets.resnet(
        config.resnet_depth, stem=stem, width_multiplier=config.width_multiplier,
        sk_ratio=config.sk_ratio, se_ratio=config.se_ratio, bn_momentum=config.batch_norm_decay,
        input_normalization=config.input_normalization, normalization=normalization,
        seed=seed, name=name, **classes)


def describe(config, stem, size, **more):
    """What a user, or a later run, has to know about an encoder's weights, as JSON can hold it.

    Args:
        stem: the stem that was built.
        size: (height, width) of the images that it learned from.
        **more: where they come from.
    """
    return {
        **{name: getattr(config, name) for name in ARCHITECTURE},
        "stem": stem,
        "input": "float [B, height, width, 3], RGB in [0, 1]; --input_normalization is a layer",
        "output": "float [B, D], the representation h",
        "image_size": list(size),
        "dataset": config.dataset,
        "train_split": config.train_split,
        "task": config.task,
        "seed": config.seed,
        **more,
    }


def export_encoder(config, stem, encoder, model_dir, about):
    """Writes the encoder as `encoder.keras`: Keras layers only, float32, any image size.

    It loads with `keras.models.load_model` where tfssl is not installed, on any Keras backend.
    Images are [B, H, W, 3] in [0, 1]; the output is h, [B, D].

    Args:
        about: what `describe` returned; `read_about` finds it in the file.

    Returns:
        The path of the file.
    """
    return write(plain_encoder(config, stem, encoder), os.path.join(model_dir, FILE), about)


def export_classifier(config, stem, model, model_dir, about):
    """Writes a finetuned network whole as `classifier.keras`: images -> logits [B, C].

    Args:
        model: a `tfssl.methods.Supervised`.
        about: what `describe` returned.

    Returns:
        The path of the file.
    """
    outputs = inputs = keras.Input((None, None, 3), name="images")
    for name, part in model.parts.items():
        plain = plain_encoder(config, stem, part) if name == "encoder" else plain_head(part)
        outputs = plain(outputs)
    return write(keras.Model(inputs, outputs, name="classifier"),
                 os.path.join(model_dir, CLASSIFIER), about)


def load_classifier(path, precision="float32"):
    """What `export_classifier` wrote, as a `keras.Model`: float [B, H, W, 3] in [0, 1] -> logits.

    Args:
        path: the file.
        precision: of its convolutions and normalizations; dense layers and --input_normalization
            stay in float32.

    Raises:
        UsageError: it is not a Keras model.
    """
    def in_precision(layer):
        settings = layer.get_config()
        if not isinstance(layer, (keras.layers.Dense, keras.layers.Rescaling)):
            settings["dtype"] = precision
        return type(layer).from_config(settings)

    model = load_model(path)
    if precision == "float32":
        return model
    clone = keras.models.clone_model(model, clone_function=in_precision, recursive=True)
    clone.set_weights(model.get_weights())
    return clone


def plain_encoder(config, stem, encoder):
    """The same encoder in float32, of Keras's own layers alone."""
    plain = build_encoder(config, stem, keras.layers.BatchNormalization)
    plain.set_weights(encoder.get_weights())
    return plain


def plain_head(head):
    """A projector or classifier likewise."""
    def replaced(layer):
        settings = layer.get_config()
        settings["dtype"] = "float32"
        kind = type(layer)
        if isinstance(layer, keras.layers.BatchNormalization):
            kind = keras.layers.BatchNormalization
        return kind.from_config(settings)

    plain = keras.models.clone_model(head, clone_function=replaced)
    plain.set_weights(head.get_weights())
    return plain


def write(model, path, about):
    """Saves a model whole or not at all, with what it is in the same archive."""
    unfinished = os.path.join(os.path.dirname(path), "unfinished." + os.path.basename(path))
    model.save(unfinished)
    with zipfile.ZipFile(unfinished, "a") as archive:
        archive.writestr(ABOUT, json.dumps(about, indent=1))
    os.replace(unfinished, path)
    return path


def read_about(path):
    """What `export_encoder` wrote beside the weights; None where the file is another's.

    Raises:
        UsageError: it is not a .keras file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read(ABOUT)) if ABOUT in archive.namelist() else None
    except (OSError, ValueError, zipfile.BadZipFile):
        raise UsageError(f"{path} is not a .keras file, or only a part of one.") from None


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
    return load_model(file)


def load_model(file):
    """A model from a .keras file, or UsageError."""
    if not zipfile.is_zipfile(file):
        raise UsageError(f"{file} is not a .keras file, or only a part of one.")
    try:
        return keras.models.load_model(file, compile=False)
    except (KeyError, OSError, ValueError, zipfile.BadZipFile) as error:
        raise UsageError(f"{file} is not a Keras model ({str(error).splitlines()[0]}).") from None
