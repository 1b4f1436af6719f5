"""Which room may import which, and that flags are read at the edge only."""

import ast
import pathlib
import re
import sys

import pytest

import tfssl
from tfssl import Config

ROOT = pathlib.Path(__file__).parent.parent
MODULES = sorted((ROOT / "tfssl").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

# Room -> rooms of tfssl that it may import. "" is the package's own top level.
ALLOWED = {
    "compat": set(),
    "config": {"domains", "errors"},
    "domains": set(),
    "errors": set(),
    "files": set(),
    "loading": set(),
    "memory": {"errors"},
    "notes": set(),
    "registry": {"config"},
    "signals": {"errors"},
    "terminal": set(),
    "text": {"terminal"},
    "augment": {"compat", "domains"},
    "callbacks": {
        *("data", "errors", "evaluation", "files", "information", "losses", "methods"),
        *("terminal", "verdict"),
    },
    "data": {"augment", "compat", "errors", "files", "memory", "notes", "registry", "text"},
    "distribute": {"data", "errors", "signals"},
    "doctor": {
        *("augment", "compat", "data", "distribute", "encoders", "layers", "loading", "losses"),
        *("memory", "methods", "optim"),
    },
    "encoders": {"compat", "errors", "files", "layers", "registry"},
    "evaluation": {"augment", "compat", "data", "encoders", "errors", "methods", "notes"},
    "information": {"losses"},
    "layers": {"distribute"},
    "losses": set(),
    "methods": {
        *("compat", "distribute", "encoders", "information", "layers", "losses", "notes"),
        "optim",
    },
    "optim": set(),
    "storage": {"config", "encoders", "errors", "files", "registry", "text"},
    "runner": {
        *("augment", "callbacks", "compat", "config", "data", "distribute", "doctor"),
        *(
            "domains",
            "encoders",
            "errors",
            "evaluation",
            "files",
            "information",
            "layers",
            "memory",
            "methods",
        ),
        *("optim", "registry", "report", "selection", "signals", "storage", "terminal", "text"),
        "verdict",
    },
    "report": {"verdict"},
    "selection": set(),
    "verdict": {"information"},
    "__main__": {"runner"},
    "": {"config", "errors", "loading", "registry"},
}
# Rooms that know no Config, not even by the attributes of one that is handed to them. Below them
# are those of the command line: its settings, its run directories, its programs.
LIBRARY = {
    *("augment", "callbacks", "data", "distribute", "doctor", "encoders", "evaluation"),
    *("information", "layers", "losses", "methods", "optim", "report", "selection"),
    "verdict",
}
OF_KERAS = {"from_config", "build_from_config", "compile_from_config"}
EDGE = {"runner"}  # where flags are read
STANDARD_LIBRARY_ONLY = {
    *("config", "domains", "errors", "files", "loading", "notes", "registry", "signals"),
    *("terminal", "text"),
}


def room(path):
    parts = path.relative_to(ROOT / "tfssl").with_suffix("").parts
    return "" if parts == ("__init__",) else parts[0]


def imports(path):
    """Dotted names that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_rooms_import_downwards(path):
    here = room(path)
    assert here in ALLOWED, f"{here} is a new room: say what it may import"
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "tfssl" and len(parts) > 1:
            assert parts[1] == here or parts[1] in ALLOWED[here], f"{path} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_flags_below_the_edge(path):
    forbidden = {"flags", "run", "tests", "scripts"}
    forbidden |= set() if room(path) in EDGE else {"absl"}
    for name in imports(path):
        assert name.split(".")[0] not in forbidden, name


def configs(path):
    """Functions of a file that take something called config, but for those of Keras's interface."""
    functions = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.FunctionDef, ast.Lambda))
    ]
    return [
        getattr(function, "name", "lambda")
        for function in functions
        if "config"
        in {argument.arg for argument in ast.walk(function.args) if hasattr(argument, "arg")}
        and getattr(function, "name", "lambda") not in OF_KERAS
    ]


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if room(path) in LIBRARY],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_the_library_knows_no_config(path):
    assert not [name for name in imports(path) if name.startswith("tfssl.config")]
    assert not configs(path)


@pytest.mark.parametrize(
    "path",
    [path for path in MODULES if room(path) in LIBRARY],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_the_library_names_no_flags(path):
    """Its messages name arguments in backticks, of which `runner/edge.py` makes flags."""
    named = set(re.findall(r"--([a-z_]+)", path.read_text()))
    assert not named & set(Config.__dataclass_fields__)


def test_a_config_that_is_handed_on_is_seen(tmp_path):
    leak = tmp_path / "leak.py"
    leak.write_text("def f(config):\n    return config.seed\ng = lambda config: 1\n")
    assert configs(leak) == ["f", "lambda"]


@pytest.mark.parametrize("here", sorted(STANDARD_LIBRARY_ONLY))
def test_what_comes_before_tensorflow_needs_the_standard_library_only(here):
    paths = [path for path in MODULES if room(path) == here]
    assert paths
    for name in set().union(*map(imports, paths)):
        assert name.split(".")[0] in sys.stdlib_module_names | {"tfssl"}, name


def of_test_modules(names):
    """Those of the dotted names that lead to a test module, or into one."""
    modules = {path.stem for path in TESTS if path.stem.startswith("test_")}
    return {name for name in names if modules & set(name.split("."))}


@pytest.mark.parametrize("path", TESTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_test_module_is_imported(path):
    """What several of them use is in tests/helpers.py, or a fixture of their conftest.py."""
    assert not of_test_modules(imports(path))


@pytest.mark.parametrize(
    "line",
    [
        "from tests.runner.test_pretrain import TINY",
        "from tests.runner import test_pretrain",
        "import tests.runner.test_pretrain as other",
        "from test_run import ROOT",
        "import test_run",
    ],
)
def test_the_walk_sees_an_import_of_a_test_module(line, tmp_path):
    path = tmp_path / "one.py"
    path.write_text(f"def f():\n    {line}\n    from tests.helpers import ROOT\n")
    assert len(of_test_modules(imports(path))) == 1


def exported(path):
    """Names that the `__init__.py` of a package takes from its modules."""
    package = ".".join(path.relative_to(ROOT).parent.parts)
    return {
        alias.asname or alias.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module != package
        for alias in node.names
    }


PACKAGES = sorted((ROOT / "tfssl").rglob("__init__.py"))


@pytest.mark.parametrize("path", PACKAGES, ids=lambda p: str(p.parent.relative_to(ROOT)))
def test_no_module_bears_a_name_that_its_package_exports(path):
    """It would take the place of that name at its first import."""
    names = exported(path) | (set(tfssl._LAZY) if path.parent.name == "tfssl" else set())
    modules = {module.stem for module in path.parent.glob("*.py")} | {
        module.parent.name for module in path.parent.glob("*/__init__.py")
    }
    assert not names & modules


def test_the_walk_sees_an_import_that_is_hidden_in_a_function(tmp_path):
    hidden = tmp_path / "hidden.py"
    hidden.write_text("def f():\n    from absl import flags\n    import run\n")
    assert imports(hidden) == {"absl.flags", "run"}
