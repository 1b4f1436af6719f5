"""Exported encoders and classifiers as .keras files: writing, checking, loading."""

import contextlib
import json
import os
import zipfile

import keras
import numpy as np

from tfssl import files
from tfssl.config import ARCHITECTURE, LATER, METHODS, no_data
from tfssl.errors import UsageError
from tfssl.storage import networks, records

FILE, CLASSIFIER = "encoder.keras", "classifier.keras"
FOREIGN = (".safetensors", ".npz")  # weights by other names; see `foreign`
ABOUT = "tfssl.json"  # a file in that archive; Keras ignores it
UNPACKED, AT_LEAST = 20, 2**26  # an archive may unpack to 20 times its size, or to 64 MiB
SIZED = ("units", "filters")  # entries of a layer's config that determine its number of weights


def export_encoder(config, stem, encoder, model_dir, about):
    """Writes the encoder as `encoder.keras`: float32, ResNets as Keras layers only.

    These load with `keras.models.load_model` without tfssl, on any Keras backend. Inputs are images
    [B, H, W, channels] in [0, 1]; the output is h, [B, D].

    Args:
        config: the `tfssl.Config` of the run.
        stem: the stem of the encoder.
        encoder: the trained encoder.
        model_dir: directory to write to.
        about: result of `networks.describe`, stored in the file; see `read_about`.

    Returns:
        The path of the file; None: the encoder has layers that cannot be saved.
    """
    plain = networks.plain_encoder(config, stem, encoder)
    if config.encoder != "resnet" and not can_be_saved(plain):
        return None
    return write(plain, os.path.join(model_dir, FILE), about)


def can_be_saved(model):
    """Whether all layers of a model can be serialized."""
    try:
        json.dumps(keras.saving.serialize_keras_object(model))
    except Exception:  # get_config is the user's code
        return False
    return True


def export_classifier(config, stem, model, model_dir, about):
    """Writes a finetuned network as `classifier.keras`: images -> logits [B, C].

    Args:
        model: a `tfssl.methods.Supervised`.
        config, stem, model_dir, about: as for `export_encoder`.

    Returns:
        The path of the file.
    """
    outputs = inputs = keras.Input((None, None, networks.channels(config)), name="images")
    for name, part in model.parts.items():
        plain = (
            networks.plain_encoder(config, stem, part) if name == "encoder" else plain_head(part)
        )
        outputs = plain(outputs)
    return write(
        keras.Model(inputs, outputs, name="classifier"), os.path.join(model_dir, CLASSIFIER), about
    )


def of_raw_values(encoder, about, path):
    """An encoder that takes values as they are stored, and its description.

    Args:
        encoder: a `keras.Model` of images in [0, 1].
        about: its description, with the `value_ranges` and `no_data` of its training images.
        path: of the weights, for messages.

    Raises:
        UsageError: the images were of several types, or the range is of other channels.
    """
    ranges = about.get("value_ranges") or {"uint8": [0.0, 255.0]}
    if len(ranges) > 1:
        raise UsageError(
            f"--export_input=raw needs images of one type. {path} was trained on images of "
            f"{' and '.join(ranges)}; --export_input=unit takes them in [0, 1]."
        )
    ((dtype, pair),) = ranges.items()
    low, high = (np.asarray(side, np.float64) for side in pair)
    channels = encoder.input_shape[-1]
    if low.shape not in ((), (channels,)):
        raise UsageError(
            f"--export_input=raw needs a value range of {channels} channels, as many as the "
            f"network of {path} takes. Received: one of {len(low)}; --export_input=unit takes "
            "images in [0, 1]."
        )
    scale = 1.0 / (high - low)
    images = keras.Input(encoder.input_shape[1:], name="images")
    made = keras.layers.Rescaling(scale.tolist(), (-low * scale).tolist(), dtype="float32")(images)
    made = keras.layers.ReLU(max_value=1.0, dtype="float32")(made)
    for value in no_data(about["no_data"]) if about.get("no_data") else ():
        gone = keras.ops.isnan(images) if np.isnan(value) else keras.ops.equal(images, value)
        made = keras.ops.where(gone, about.get("no_data_fill", 0.0), made)
    said = f"values of {dtype} as they are stored: {pair[0]} becomes 0, and {pair[1]} 1"
    about = {
        **about,
        "input": f"float [B, height, width, {channels}], {said}",
        "export_input": "raw",
    }
    return keras.Model(images, encoder(made), name="encoder"), about


def load_classifier(path, precision="float32"):
    """Loads the file of `export_classifier`: float [B, H, W, channels] in [0, 1] -> logits.

    Args:
        path: the file.
        precision: dtype policy of convolutions and normalizations; dense layers and
            --input_normalization stay in float32.

    Returns:
        A `keras.Model`.

    Raises:
        UsageError: the file is not a Keras model.
    """

    def in_precision(layer):
        settings = layer.get_config()
        if not isinstance(layer, (keras.layers.Dense, keras.layers.Rescaling)):
            settings["dtype"] = precision
        return type(layer).from_config(settings)

    model = load_model(path)
    if precision == "float32":
        return model
    try:
        clone = keras.models.clone_model(model, clone_function=in_precision, recursive=True)
    except (TypeError, ValueError):  # an encoder that cannot be cloned layer by layer
        return model
    clone.set_weights(model.get_weights())
    return clone


def plain_head(head):
    """A projector or classifier in float32, of Keras's own layers."""

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
    """Saves a model atomically, with its description in the same archive."""
    with files.whole(path, ".keras") as unfinished:
        model.save(unfinished)
        with zipfile.ZipFile(unfinished, "a") as archive:
            archive.writestr(ABOUT, json.dumps(about, indent=1))
    return path


def read_about(path):
    """The description stored in an exported file; None: the file is not from tfssl.

    Raises:
        UsageError: it is not a .keras file, or its description is invalid.
    """
    with archive_of(path) as archive:
        if ABOUT not in archive.namelist():
            return None
        return check_about(parsed(path, archive, ABOUT), path)


@contextlib.contextmanager
def archive_of(path):
    """Opens a .keras file as a zip archive, without unpacking it.

    Raises:
        UsageError: it is not a zip archive, cannot be read, or would unpack to far more than its
            size.
    """
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(files.opened(path))
            archive = stack.enter_context(zipfile.ZipFile(file))
            unpacked = sum(info.file_size for info in archive.infolist())
        except Exception as error:  # a damaged archive can raise any kind of error
            why = getattr(error, "strerror", None)
            raise UsageError(
                f"{path} is not a .keras file, or only a part of one"
                + (f" ({why})." if why else ".")
            ) from None
        if unpacked > max(AT_LEAST, UNPACKED * os.path.getsize(path)):
            raise UsageError(
                f"{path} is not a .keras file: it says that it unpacks to "
                f"{unpacked / 2**20:,.0f} MiB."
            )
        yield archive


def parsed(path, archive, name):
    """Reads a JSON file in an archive; raises UsageError if it is damaged."""
    try:
        return json.loads(archive.read(name))
    except Exception:  # of zipfile, zlib and the json module, on whatever the bytes are
        raise UsageError(
            f"{path} is damaged, or not a Keras model: {name} in it cannot be read."
        ) from None


def check_about(about, path):
    """Validates the description of weights, and adds settings that are newer than it.

    Raises:
        UsageError: naming the first invalid entry.
    """
    if not isinstance(about, dict):
        raise UsageError(f"{path} is damaged: {ABOUT} in it is no record.")
    wrong = records.ABOUT(about)
    if not wrong and about.get("class_names") and len(about["class_names"]) != about.get("classes"):
        wrong = "class_names: must be as many as the classes"
    if wrong:
        raise UsageError(f"{path} is damaged: its description of the network is wrong ({wrong}).")
    if "method" in about and about["method"] not in METHODS:
        raise UsageError(
            f"{path} is of --method={about['method']}, which is not a method of tfssl: if a "
            "plug-in adds it, give --plugin=FILE.py."
        )
    return {**{name: LATER[name] for name in ARCHITECTURE if name in LATER}, **about}


def load_encoder(path: str | os.PathLike[str]) -> keras.Model:
    """Loads the encoder of a run: float [B, H, W, channels] in [0, 1] -> h [B, D].

    Args:
        path: directory of a run, or an `encoder.keras` file.

    Returns:
        A `keras.Model`.

    Raises:
        UsageError: there is no such file, or it is not such a Keras model.
    """
    file = os.path.join(path, FILE) if os.path.isdir(path) else path
    if not os.path.exists(file):
        raise UsageError(f"There is no encoder at {file}: pretraining writes it at its end.")
    if os.fspath(file).endswith(FOREIGN):
        raise UsageError(
            "`path` must be that of a run or of a .keras file; tfssl.encoders.from_timm makes the "
            f"encoder of weights by the names of timm. Received: {file}"
        )
    return load_model(file)


def load_model(file):
    """Loads a model from a .keras file: images [B, H, W, channels] -> [B, D].

    Raises:
        UsageError: it is not a Keras model, contains code, has other inputs or outputs, or has
            weights that are not finite.
    """
    with archive_of(file) as archive:
        check_sizes(file, archive)
    try:
        model = keras.models.load_model(file, compile=False, safe_mode=True)
    except Exception as error:  # of Keras, h5py and every layer's constructor, for any JSON there
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UsageError(f"{file} is not a Keras model ({reason[:200]}{newer(file)}).") from None
    shapes = [getattr(model, name, None) for name in ("input_shape", "output_shape")]
    if not all(isinstance(shape, tuple) for shape in shapes) or (
        [len(shape) for shape in shapes] != [4, 2] or not shapes[0][-1]
    ):
        raise UsageError(
            f"{file} is not a network from images [B, H, W, channels] to [B, D]: it is one "
            f"from {shape_text(shapes[0])} to {shape_text(shapes[1])}."
        )
    require_finite(model, file)
    return model


def newer(file):
    """The version of Keras that saved a file, for messages, where it is newer than this one."""
    with contextlib.suppress(Exception), archive_of(file) as archive:
        saved_by = parsed(file, archive, "metadata.json")["keras_version"]
        numbers = [
            [int(part) for part in version.split(".")[:2]]
            for version in (saved_by, keras.__version__)
        ]
        if numbers[0] > numbers[1]:
            return f"; Keras {saved_by} saved it, and this is {keras.__version__}"
    return ""


def shape_text(shape):
    """A shape as text, e.g. [?, 32]."""
    return (
        f"[{', '.join('?' if side is None else str(side) for side in shape)}]"
        if isinstance(shape, tuple)
        else "something else"
    )


def check_sizes(path, archive):
    """Raises UsageError if the config of a layer needs more weights than the archive has bytes.

    Keras allocates the layers, of any size, before it reads the weights.
    """
    if "config.json" not in archive.namelist():
        raise UsageError(f"{path} is not a Keras model (there is no config.json in it).")
    stack = [parsed(path, archive, "config.json")]
    most = sum(info.file_size for info in archive.infolist())
    while stack:
        part = stack.pop()
        stack += part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
        for name in SIZED if isinstance(part, dict) else ():
            size = part.get(name)
            if records.is_number(size) and size > most:
                raise UsageError(
                    f"{path} is damaged: {name} of a layer in it is {size:,}, more "
                    "than it has weights."
                )


def require_finite(model, path):
    """Raises UsageError if weights are not finite."""
    wrong = next(
        (
            variable.path
            for variable in model.variables
            if not np.isfinite(np.asarray(variable, np.float32)).all()
        ),
        None,
    )
    if wrong:
        raise UsageError(f"{path} cannot be used: its weights {wrong} are not finite.")
