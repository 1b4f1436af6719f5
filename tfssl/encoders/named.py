"""Encoders by name: those of tfssl, registered ones, keras.applications, keras-hub, files."""

import ast
import importlib
import importlib.util
import inspect
import os
import zipfile
from typing import Any

import keras

from tfssl import registry
from tfssl.encoders import adapt, convnexts, vits
from tfssl.encoders.resnets import resnet

APPLICATIONS, HUB = "keras.applications.", "keras_hub:"
EXPECTED = (
    "resnet, vit_tiny, vit_small, vit_base, convnext_atto to convnext_tiny, a registered name, "
    "keras.applications.NAME, keras_hub:CLASS, FILE.py:FUNCTION or FILE.keras"
)


def make(
    name: str, input_shape: tuple[int | None, int | None, int], seed: int = 0, **more: Any
) -> keras.Layer:
    """Makes an encoder by name.

    Args:
        name: "resnet18", "resnet50", ... for the ResNets of tfssl; "vit_tiny", "vit_small" or
            "vit_base" for its Vision Transformers, whose patches have 16 px; "convnext_atto",
            "convnext_femto", "convnext_pico", "convnext_nano" or "convnext_tiny"; a name registered
            with `tfssl.register(name, kind="encoder")`; "keras.applications.NAME", without its top
            and with random weights; "keras_hub:CLASS", a backbone; "FILE.py:FUNCTION", a function
            (input_shape) or () -> `keras.Layer`; or "FILE.keras", a saved model with its weights.
            Arguments may follow in parentheses: "keras_hub:ViTBackbone(patch_size=4, ...)".
        input_shape: (height, width, channels) of the images; sides may be None.
        seed: integer; equal seeds give equal initial weights.
        **more: further arguments, beside those in parentheses.

    Returns:
        A `keras.Layer`.

    Raises:
        ValueError: there is no such encoder, or it cannot be made with these arguments.

    Example:

    ```python
    from tfssl.encoders.named import make

    encoder = make("resnet18(width_multiplier=0.0625)", (32, 32, 3))
    encoder.output_shape  # (None, 32)
    ```
    """
    plain, options = split(name)
    try:
        encoder = maker_of(plain)(input_shape, seed, options | more)
    except ValueError:
        raise
    except Exception as error:  # constructors and files are the user's code
        raise ValueError(
            f"`encoder` {name} could not be made: {adapt.first_line(error)}"
        ) from error
    if not isinstance(encoder, keras.Layer):
        raise ValueError(f"`encoder` {name} must give a keras.Layer. Received: {encoder!r}")
    return encoder


def has_blocks(name):
    """Whether the blocks of an encoder of tfssl by this name can be computed again (`remat`)."""
    return sized(name.partition("(")[0]) is not None


def split(name):
    """Splits a name from its arguments: "a(b=1)" -> ("a", {"b": 1})."""
    plain, bracket, rest = name.partition("(")
    if not bracket:
        return name, {}
    try:
        call = ast.parse(f"f({rest}", mode="eval").body
        if call.args:
            raise ValueError
        return plain, {word.arg: ast.literal_eval(word.value) for word in call.keywords}
    except (SyntaxError, ValueError, AttributeError):
        raise ValueError(
            f"Arguments of `encoder` must be name=value, of plain values. Received: {name}"
        ) from None


def maker_of(name):
    """The function (input_shape, seed, options) -> encoder of a name without arguments.

    Raises:
        ValueError: there is no such encoder.
    """
    entry = registry.find("encoder", name)
    if entry:
        return lambda shape, seed, options: called(entry.value, shape, seed, options)
    if name.startswith("resnet") and name[6:].isdigit():
        return lambda shape, seed, options: our_resnet(int(name[6:]), shape, seed, options)
    if sized(name):
        build, size = sized(name)
        return lambda shape, seed, options: build(
            size, **{"channels": shape[-1], "seed": seed} | options
        )
    if name.startswith(APPLICATIONS):
        return application(name)
    if name.startswith(HUB):
        return hub(name)
    if name.endswith(".keras"):
        return saved(name)
    path, colon, function = name.rpartition(":")
    if colon and path.endswith(".py"):
        found = function_of(path, function)
        return lambda shape, seed, options: called(found, shape, seed, options)
    raise ValueError(f"`encoder` must be {EXPECTED}. Received: {name}")


def sized(name):
    """The function that builds an encoder of a family, and its size; None: it is of none."""
    family, _, size = name.partition("_")
    build, sizes = FAMILIES.get(family, (None, ()))
    return (build, size) if size in sizes else None


FAMILIES = {"vit": (vits.vit, vits.SIZES), "convnext": (convnexts.convnext, convnexts.SIZES)}


def our_resnet(depth, shape, seed, options):
    sides = [side for side in shape[:2] if side is not None]
    stem = "cifar" if sides and min(sides) <= 64 else "imagenet"
    return resnet(depth, **{"stem": stem, "channels": shape[-1], "seed": seed} | options)


def application(name):
    """The maker of a model of keras.applications."""
    constructor = getattr(keras.applications, name.removeprefix(APPLICATIONS), None)
    if not callable(constructor):
        raise ValueError(f"`encoder` must be a model of keras.applications. Received: {name}")

    def make(shape, seed, options):
        keras.utils.set_random_seed(seed)
        settings = {"include_top": False, "weights": None, "input_shape": tuple(shape)}
        return constructor(**settings | options)

    return make


def hub(name):
    """The maker of a backbone of keras-hub."""
    try:
        keras_hub = importlib.import_module("keras_hub")
    except ImportError:
        raise ValueError(f"`encoder` {name} needs keras-hub: pip install 'tfssl[hub]'") from None
    constructor = getattr(keras_hub.models, name.removeprefix(HUB), None)
    if not callable(constructor):
        raise ValueError(f"`encoder` must be a class of keras_hub.models. Received: {name}")

    def make(shape, seed, options):
        keras.utils.set_random_seed(seed)
        takes = inspect.signature(constructor).parameters
        settings = {"image_shape": tuple(shape)} if "image_shape" in takes else {}
        return constructor(**settings | options)

    return make


def saved(path):
    """The maker of the model in a .keras file, with its weights."""
    if not os.path.isfile(path):
        raise ValueError(f"`encoder` must be an existing file. Received: {path}")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"`encoder` must be a file that Keras saved. Received: {path}")
    return lambda shape, seed, options: keras.models.load_model(path, compile=False)


def called(function, shape, seed, options):
    """Calls a function of the user, with the input shape if it has a required parameter."""
    keras.utils.set_random_seed(seed)
    needed = [
        parameter
        for parameter in inspect.signature(function).parameters.values()
        if parameter.default is parameter.empty and parameter.kind in POSITIONAL
    ]
    return function(tuple(shape), **options) if needed else function(**options)


POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def function_of(path, name):
    """Runs a Python file and returns a function of it."""
    found = getattr(load(path), name, None)
    if not callable(found):
        raise ValueError(f"`encoder` must be a function in {path}. Received: {name}")
    return found


def load(path):
    """A Python file as a module, run once per process."""
    if not os.path.isfile(path):
        raise ValueError(f"`encoder` must be in an existing file. Received: {path}")
    return registry.module_of(path)
