"""What users add to tfssl by name: methods, encoders, sources of images, recipes, protocols."""

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
    """Something that was registered.

    Attributes:
        name, kind: as it was registered.
        value: the class or function.
        origin: the file that it is from; "" for what was typed in, as in a notebook.
        options: a frozen dataclass of its options, or None; see `register`.
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
    """A decorator that gives a class or function a name, for `--plugin` and the command line.

    The same name again from the same file, or from another cell of a notebook, replaces.

    What a name stands for, by its kind, and the flag that takes it:

    - "method", `--method`: a subclass of `tfssl.SelfSupervised`
    - "encoder", `--encoder`: a function (input_shape) -> `keras.Layer`
    - "source", `--dataset`: a function (split) -> images, as `tfssl.views` takes arrays and
      datasets; `tfssl.views(name, ...)` takes the name too
    - "recipe", `--recipe`: a function (size, channels) -> `tfssl.augment.View`, or a tuple
      of these, one for each view
    - "protocol", `--protocols`: a class or function without arguments -> an object like
      `tfssl.evaluation.Linear()`

    Args:
        name: a name of letters, digits and underscores.
        kind: see above.
        options: for methods; a frozen dataclass, whose fields are arguments of the class by the
            same names, each with a type (bool, int, float or str), a default, and
            `metadata={"help": text}`. Each becomes a flag of the command line.

    Raises:
        ValueError: the name is no name, or belongs to tfssl or to another file; an unknown kind.

    Example:

    ```python
    @tfssl.register("simsiam")
    class SimSiam(tfssl.SelfSupervised): ...
    ```
    """
    check(name, kind, options)

    def add(value):
        entry = Entry(name, kind, value, origin_of(value), options)
        there = ENTRIES[kind].get(name)
        if there and there.origin != entry.origin:
            raise ValueError(
                f"`name` {name!r} is taken: another {kind} of {there.origin or 'this session'} has "
                f"it. Received: one of {entry.origin or 'this session'}"
            )
        ENTRIES[kind][name] = entry
        return saved_by_keras(name, value)

    return add


def check(name, kind, options):
    """Raises ValueError where the arguments of `register` are not what it takes."""
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
    """A layer or model as Keras finds it when it loads one that was saved; others as they are."""
    keras = sys.modules.get("keras")
    if keras is None or not (isinstance(value, type) and issubclass(value, keras.Layer)):
        return value
    return keras.saving.register_keras_serializable(package="plugin", name=name)(value)


def origin_of(value):
    """The file that a class or function is from; "" for what was typed in."""
    if getattr(value, "__module__", None) == "__main__":  # a script, or a notebook, which is none
        found = getattr(sys.modules["__main__"], "__file__", None)
        return os.path.realpath(found) if found else ""
    try:
        return os.path.realpath(inspect.getsourcefile(value))
    except TypeError:
        return ""


def find(kind, name):
    """The `Entry` of a name, or None."""
    return ENTRIES[kind].get(name)


def module_of(path):
    """A Python file as a module; run once in a process.

    What it imports beside it is found there.

    Raises:
        ValueError: it fails.
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


PERMITTED = set()  # real paths of the Python files that this process may run for a record
MODULES = {}  # real path of a file that was run -> the module that it became
