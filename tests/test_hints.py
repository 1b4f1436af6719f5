"""The public API has type hints: what `tfssl` exports, and what these take and return."""

import ast
import collections.abc
import configparser
import functools
import importlib
import inspect
import pathlib
import types
import typing

import pytest

import tfssl
from tfssl.augment import ops
from tfssl.encoders import named

ROOT = pathlib.Path(__file__).parent.parent

# Modules whose functions need none, and why. Constructors are no exception.
EXCEPTIONS = {
    "tfssl.config": "the fields of a Config have the types, of which the flags are made",
}


def functions_of(value):
    """{qualified name: function} of what is public in a function, class or module of tfssl."""
    if inspect.ismodule(value):
        return of_all(getattr(value, name) for name in exported(value))
    if inspect.isclass(value):
        return merged(methods_of(cls) for cls in value.__mro__ if of_tfssl(cls))
    if isinstance(value, functools.partial):
        return functions_of(value.func)
    return {f"{value.__module__}.{value.__qualname__}": value} if inspect.isroutine(value) else {}


def of_all(values):
    return merged(map(functions_of, values))


def merged(dicts):
    return functools.reduce(lambda before, one: before | one, dicts, {})


def exported(module):
    """The names in `__all__`; without one, the functions and classes that are public."""
    return getattr(module, "__all__", None) or [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]


def of_tfssl(value):
    return value.__module__.split(".")[0] in ("tfssl", __name__.split(".")[0])


def methods_of(cls):
    """{qualified name: function} of the public methods that a class defines itself."""
    found = {
        name: plain(value)
        for name, value in vars(cls).items()
        if not name.startswith("_") or name in ("__init__", "__call__")
    }
    return {
        f"{cls.__module__}.{cls.__qualname__}.{name}": value
        for name, value in found.items()
        if inspect.isfunction(value) and not excepted(cls.__module__, name)
    }


def plain(value):
    """The function in a property, class method or static method."""
    if isinstance(value, property):
        return value.fget
    return getattr(value, "__func__", value)


def excepted(module, name):
    return name != "__init__" and any(
        module == other or module.startswith(f"{other}.") for other in EXCEPTIONS
    )


def parameters_of(function):
    """The parameters of a function but `self` and `cls`, {name: parameter}."""
    found = inspect.signature(function).parameters
    return {name: each for name, each in found.items() if name not in ("self", "cls")}


def missing(function):
    """What of a function has no hint: names of parameters, and "return"."""
    names = [
        name for name, each in parameters_of(function).items() if each.annotation is each.empty
    ]
    returns = inspect.signature(function).return_annotation
    return names + (["return"] if returns is inspect.Signature.empty else [])


def fits(value, hint):
    """Whether a default is of the type that its hint says."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is typing.Any or origin is typing.Literal:
        return origin is None or value in arguments
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, one) for one in arguments)
    if origin is tuple and isinstance(value, tuple):
        each = [arguments[0]] * len(value) if Ellipsis in arguments else arguments
        return len(each) == len(value) and all(map(fits, value, each))
    if hint in (int, float):
        return isinstance(value, (int, hint)) and not isinstance(value, bool)
    return isinstance(value, origin or hint)


PUBLIC = of_all([*(getattr(tfssl, name) for name in tfssl.__all__), ops, named.make])


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_public_callables_have_hints(name):
    assert missing(PUBLIC[name]) == []


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_hints_can_be_evaluated_and_defaults_are_of_their_types(name):
    hints = typing.get_type_hints(PUBLIC[name])
    for parameter, each in parameters_of(PUBLIC[name]).items():
        if each.default is not each.empty and "factory" not in repr(each.default):
            assert fits(each.default, hints[parameter]), (parameter, each.default)


def test_every_export_is_looked_at():
    """So that the walk cannot lose a part of the API unseen."""
    for name in tfssl.__all__:
        assert functions_of(getattr(tfssl, name)), name
    names = {name.removeprefix("tfssl.") for name in PUBLIC}
    assert names > {
        *("methods.byol.BYOL.__init__", "methods.learner.Learner.compile"),
        *("methods.learner.Learner.fit", "methods.selfsupervised.SelfSupervised.make_heads"),
        *("methods.learner.Outputs.__init__", "methods.simclr.Contrastive.contrast"),
        *("data.inputs.views", "evaluation.measure.evaluate", "evaluation.protocols.KNN.scores"),
        *("callbacks.measures.Information.__init__", "augment.recipes.View.__call__"),
        *("augment.ops.blur", "encoders.resnets.resnet", "encoders.named.make"),
        *("layers.heads.byol_head", "losses.contrastive.nt_xent", "optim.lars.LARS.__init__"),
        *("registry.register", "storage.export.load_encoder", "runner.program.run"),
        "config.settings.Config.__init__",
    }


class Partly:
    """A class with a gap of each kind."""

    def __init__(self, size): ...

    def method(self, *sizes, name: str = "", **options) -> None: ...

    @property
    def value(self): ...

    @classmethod
    def made(cls, size: int): ...

    @staticmethod
    def counted(size) -> int: ...

    def _hidden(self, size): ...


def test_the_walk_sees_what_has_no_hint():
    found = {
        name.rpartition(".")[-1]: missing(value) for name, value in functions_of(Partly).items()
    }
    assert found == {
        "__init__": ["size", "return"],
        "method": ["sizes", "options"],
        "value": ["return"],
        "made": ["return"],
        "counted": ["size"],
    }


@pytest.mark.parametrize(
    "value, hint, expected",
    [
        (None, str, False),
        (None, str | None, True),
        (True, int, False),
        (1, float, True),
        (0.5, int, False),
        ((1.0, 2.0), tuple[float, float], True),
        ((1.0,), tuple[float, float], False),
        (("a",), tuple[int, ...], False),
        ("b", bool | typing.Literal["a"], False),
        (len, collections.abc.Callable[..., int], True),
    ],
)
def test_a_default_of_another_type_is_seen(value, hint, expected):
    assert fits(value, hint) == expected


def test_the_stub_has_what_the_package_exports():
    """What type checkers see of the lazy imports is what there is."""
    tree = ast.parse((ROOT / "tfssl" / "__init__.pyi").read_text())
    imported = {
        alias.asname: getattr(module_of(node), alias.name)
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names  # without `as`, a stub does not export them
    }
    (names,) = (node.value for node in tree.body if isinstance(node, ast.Assign))
    assert sorted(ast.literal_eval(names)) == sorted(imported) == sorted(tfssl.__all__)
    for name, value in imported.items():
        assert value is getattr(tfssl, name)


def module_of(node):
    return importlib.import_module("." * node.level + (node.module or ""), "tfssl")


def test_the_hints_are_installed():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    shipped = [name.strip() for name in config["options.package_data"]["tfssl"].split(",")]
    assert shipped == ["py.typed", "__init__.pyi"]
    assert all((ROOT / "tfssl" / name).is_file() for name in shipped)
