"""Constructor arguments of a method: checked, recorded for `get_config`, serialized."""

import difflib
import inspect

import keras
import numpy as np

from tfssl.encoders import adapt

PASSED_ON = ("probe",)  # accepted by every self-supervised method through **options


class BuildsWhenItCan(type(keras.Model)):
    """Records the constructor arguments, and builds models whose input shape is known."""

    def __call__(cls, *args, **kwargs):
        refuse_unknown(cls, kwargs)
        model = super().__call__(*args, **kwargs)
        given = arguments(cls, args, kwargs)
        refuse_truthy(cls, given)
        if not model.built:
            model.hidden.given = given
            model.build_if_known()
        return model


def refuse_unknown(cls, given):
    """Raises TypeError for a keyword that no constructor of a class or its parents accepts."""
    known = parameters(cls)
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f" Did you mean `{near[0]}`?" if near else ""
            raise TypeError(f"{cls.__name__} takes no argument `{name}`.{hint}")


def refuse_truthy(cls, given):
    """Raises ValueError for a value other than True or False of an argument annotated as bool."""
    known = parameters(cls)
    for name, value in given.items():
        wanted = name in known and known[name].annotation in (bool, "bool")
        if wanted and not isinstance(value, (bool, np.bool_)):
            raise ValueError(f"`{name}` must be True or False. Received: {name}={value!r}")


def parameters(cls):
    """{name: parameter} of what a constructor takes, with those that it passes to its parents."""
    known = {}
    for parent in cls.__mro__:
        own = inspect.signature(parent.__init__).parameters
        known |= own
        if all(p.kind != inspect.Parameter.VAR_KEYWORD for p in own.values()):
            break
    return known


def arguments(cls, args, kwargs):
    """{name: value} of the arguments of a constructor call."""
    bound = inspect.signature(cls.__init__).bind(None, *args, **kwargs)
    found = {}
    for name, value in list(bound.arguments.items())[1:]:
        kind = bound.signature.parameters[name].kind
        found |= value if kind == inspect.Parameter.VAR_KEYWORD else {name: value}
    return found


def serialized(name, value):
    """Converts an argument to a JSON-serializable value.

    Raises:
        ValueError: it cannot be saved.
    """
    if inspect.isfunction(value) or isinstance(value, (tuple, list)) and any(map(callable, value)):
        raise ValueError(f"`{name}` is a function, and a model with one cannot be saved")
    try:
        return keras.saving.serialize_keras_object(value)
    except Exception as error:  # get_config is the user's code
        raise ValueError(
            f"`{name}` ({type(value).__name__}) cannot be saved: {adapt.why(error)}"
        ) from None


def required(function):
    """The names of the arguments that a function must be given."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # some built-in functions have no signature
        return []
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind not in variadic]


def built_by(encoder):
    """Checks a function without arguments that builds an encoder.

    Raises:
        ValueError: `encoder` is neither a layer nor such a function.
    """
    if isinstance(encoder, type):
        raise ValueError(
            "`encoder` must be a keras.Layer, or a function without arguments that builds one: "
            f"{encoder.__name__}(...), or lambda: {encoder.__name__}(...). "
            f"Received: the class {encoder.__name__}"
        )
    if callable(encoder) and not required(encoder):
        return encoder
    raise ValueError(
        "`encoder` must be a keras.Layer, or a function without arguments that builds one. "
        f"Received: {encoder!r}"
    )
