"""Registry of plug-ins: methods, encoders, sources of images, recipes, protocols."""

import dataclasses
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from tfssl.config import methods

Registered = TypeVar("Registered")
KINDS = ("method", "encoder", "source", "recipe", "protocol")


@dataclasses.dataclass(frozen=True)
class Entry:
    """A registered class or function.

    Attributes:
        name, kind, options: the arguments of `register`.
        value: the class or function.
        origin: the file that defines it; "" in an interactive session, such as a notebook.
    """

    name: str
    kind: str
    value: Any
    origin: str
    options: Any = None


ENTRIES = {kind: {} for kind in KINDS}
BUILT_IN = {
    "method": methods.BUILT_IN,
    "encoder": ("resnet",),
    "source": ("shapes", "folder"),
    "recipe": (),
    "protocol": ("knn", "linear", "linear_sgd", "online"),
}


def register(
    name: str, *, kind: str = "method", options: type | None = None
) -> Callable[[Registered], Registered]:
    """A decorator that registers a class or function by name, for `--plugin` and other flags.

    Registering a name again from the same file, or from a notebook, replaces the entry.

    The kinds, and the flags that accept their names:

    - "method", `--method`: a subclass of `tfssl.SelfSupervised`
    - "encoder", `--encoder`: a function (input_shape) -> `keras.Layer`
    - "source", `--dataset`: a function (split) -> images, in any form that `tfssl.views` accepts;
      `tfssl.views(name, ...)` accepts the name too
    - "recipe", `--views`: a function (size, channels) -> `tfssl.augment.View`, or a tuple
      of these, one for each view
    - "protocol", `--protocols`: a class or function without arguments that returns an object like
      `tfssl.evaluation.Linear()`

    Args:
        name: string of letters, digits and underscores.
        kind: one of the kinds above.
        options: for methods, a frozen dataclass whose fields are arguments of the class, each with
            a type (bool, int, float or str), a default, and `metadata={"help": text}`. Each becomes
            a flag of the command line.

    Raises:
        ValueError: an invalid name, a name that is taken by tfssl or another file, or an unknown
            kind.

    Example:

    ```python
    @tfssl.register("mine")
    class Mine(tfssl.SelfSupervised): ...
    ```
    """
    check(name, kind, options)

    def add(value):
        if not callable(value):
            raise ValueError(
                f"A class or a function must be registered as {name!r}. Received: {value!r}"
            )
        entry = Entry(name, kind, value, origin_of(value), options)
        other = ENTRIES[kind].get(name)
        if other and other.origin != entry.origin:
            raise ValueError(
                f"`name` {name!r} is taken: another {kind} of {other.origin or 'this session'} has "
                f"it. Received: one of {entry.origin or 'this session'}"
            )
        ENTRIES[kind][name] = entry
        return saved_by_keras(name, value)

    return add


def check(name, kind, options):
    """Raises ValueError if an argument of `register` is invalid."""
    if kind not in KINDS:
        raise ValueError(f"`kind` must be one of {', '.join(KINDS)}. Received: {kind!r}")
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"`name` must be of letters, digits and underscores. Received: {name!r}")
    if name in BUILT_IN[kind]:
        raise ValueError(f"`name` {name!r} is taken: tfssl has a {kind} of that name")
    if options is not None and kind != "method":
        raise ValueError(f"`options` are for methods. Received: options of a {kind}")
    if options is not None and not dataclasses.is_dataclass(options):
        raise ValueError(f"`options` must be a dataclass. Received: {options!r}")


def saved_by_keras(name, value):
    """Registers a layer or model for deserialization by Keras; returns other values unchanged."""
    keras = sys.modules.get("keras")
    if keras is None or not (isinstance(value, type) and issubclass(value, keras.Layer)):
        return value
    return keras.saving.register_keras_serializable(package="plugin", name=name)(value)


def origin_of(value):
    """The file that defines a class or function; "" in an interactive session."""
    if getattr(value, "__module__", None) == "__main__":  # a script or a notebook
        found = getattr(sys.modules["__main__"], "__file__", None)
        return os.path.realpath(found) if found else ""
    try:
        return os.path.realpath(inspect.getsourcefile(value))
    except TypeError:
        return ""


def find(kind, name):
    """Returns the `Entry` of a name, or None."""
    return ENTRIES[kind].get(name)


def module_of(path):
    """Imports a Python file, once per process; it can import modules in its own directory.

    Raises:
        ValueError: the file fails.
    """
    place = os.path.realpath(path)
    if place in MODULES:
        return MODULES[place]
    spec = importlib.util.spec_from_file_location(f"tfssl_plugin_{len(MODULES)}", place)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses and Keras look for it
    sys.path.insert(0, os.path.dirname(place))
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the file is the user's
        del sys.modules[spec.name]
        raise ValueError(f"{path} fails: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(os.path.dirname(place))
    MODULES[place] = module
    return module


PERMITTED = set()  # real paths of Python files that may be run because the user named them
MODULES = {}  # {real path of an imported file: its module}
