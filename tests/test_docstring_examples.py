"""Every public function and class has an example in its docstring, and the examples run.

The comment behind an expression is its value: an example `f(2)  # 4` fails where `str(f(2))` is
another text.
"""

import ast
import importlib
import inspect
import io
import pkgutil
import re
import tokenize

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfssl

ROOMS = (
    *("augment", "callbacks", "data", "encoders", "evaluation", "information", "layers"),
    *("doctor", "losses", "methods", "optim"),
)
MOST_LINES = 8
# Exported by `tfssl` itself, and without an example that could run here.
WITHOUT = {
    "TrainingError": "raised only by a training that fails",
    "load_encoder": "needs the directory of a run",
    "run": "trains for minutes",
}
FENCE = re.compile(r"^Example:\n\n```python\n(.*?)^```$", re.S | re.M)
SECTION = re.compile(r"^(?:Args|Attributes):\n((?:    .*\n)+)", re.M)
NAMES = re.compile(r"^    (\*{0,2}\w+(?:, \*{0,2}\w+)*):", re.M)


def public():
    """{dotted name: function or class} of what the rooms and `tfssl` export, each once."""
    packages = {room: importlib.import_module(f"tfssl.{room}") for room in ROOMS} | {"tfssl": tfssl}
    names = {}
    for room, package in packages.items():
        for name in package.__all__:
            thing = getattr(package, name)
            if is_described(thing) and (room != "tfssl" or name not in WITHOUT):
                names.setdefault(id(thing), (f"{room}.{name}", thing))
    return dict(names.values())


def is_described(thing):
    return inspect.isfunction(thing) or inspect.isclass(thing)


def example_of(thing):
    """The code of the example in a docstring; None where there is none."""
    found = FENCE.search(inspect.getdoc(thing) or "")
    return found and found[1]


def modules():
    """The rooms and all modules in them."""
    for room in ROOMS:
        package = importlib.import_module(f"tfssl.{room}")
        yield package
        for found in pkgutil.iter_modules(package.__path__, f"tfssl.{room}."):
            yield importlib.import_module(found.name)


def further():
    """{dotted name: example} of the functions and classes with one that no room exports."""
    exported = {id(thing) for thing in public().values()}
    return {
        f"{module.__name__.removeprefix('tfssl.')}.{name}": example_of(thing)
        for module in modules()
        for name, thing in vars(module).items()
        if getattr(thing, "__module__", None) == module.__name__
        and id(thing) not in exported
        and example_of(thing)
    }


def comments(source):
    """{line: the comment on it}."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {
        token.start[0]: token.string.removeprefix("# ")
        for token in tokens
        if token.type == tokenize.COMMENT
    }


def run(source, path):
    """Executes an example, and compares the values of its expressions with their comments."""
    path.write_text(source)  # AutoGraph reads the sources of functions
    names = {"keras": keras, "np": np, "tf": tf, "tfssl": tfssl}
    stated = comments(source)
    for statement in ast.parse(source).body:
        if not isinstance(statement, ast.Expr):
            exec(compile(ast.Module([statement], []), str(path), "exec"), names)
            continue
        value = eval(compile(ast.Expression(statement.value), str(path), "eval"), names)
        if statement.end_lineno in stated:
            assert str(value) == stated[statement.end_lineno], ast.unparse(statement)


EXAMPLES = {name: example_of(thing) for name, thing in public().items()}
FURTHER = further()


@pytest.mark.parametrize("name", [*EXAMPLES, *FURTHER])
def test_an_example_runs_and_states_the_true_values(name, tmp_path, monkeypatch):
    source = (EXAMPLES | FURTHER)[name]
    assert source, f"{name} has no example"
    assert len(source.splitlines()) <= MOST_LINES
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(0)
    run(source, tmp_path / "example.py")


def takes_its_constructor_from_keras(thing):
    owner = next(one for one in inspect.getmro(thing) if "__init__" in vars(one))
    return owner.__module__.startswith("keras.")


def parameters(thing):
    """The named parameters of a function or of a constructor of tfssl."""
    if inspect.isclass(thing) and takes_its_constructor_from_keras(thing):
        return []
    return [
        name
        for name, parameter in inspect.signature(thing).parameters.items()
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    ]


def described(thing):
    """The names that the sections of arguments in a docstring describe."""
    sections = "".join(SECTION.findall(inspect.getdoc(thing)))
    return {name for names in NAMES.findall(sections) for name in names.split(", ")}


# The help text of each flag describes these; `tests/test_config.py` requires them.
DESCRIBED_BY_HELP = ("tfssl.Config",)


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name not in DESCRIBED_BY_HELP])
def test_a_docstring_describes_every_parameter(name):
    thing = public()[name]
    assert not set(parameters(thing)) - described(thing)


def test_the_list_of_names_without_an_example_is_up_to_date():
    assert WITHOUT.keys() <= set(tfssl.__all__)
    assert not [name for name in WITHOUT if example_of(getattr(tfssl, name))]


def test_a_wrong_value_is_seen(tmp_path):
    run("x = 1  # one\nx + 1  # 2\n", tmp_path / "right.py")
    with pytest.raises(AssertionError):
        run("x = 1\nx + 1  # 3\n", tmp_path / "wrong.py")


def test_an_example_must_follow_its_heading():
    def plain():
        """Does it.

        ```python
        1 + 1  # 2
        ```
        """

    assert example_of(plain) is None and example_of(tfssl.augment.simclr)
