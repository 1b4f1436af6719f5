"""How TensorFlow is loaded: its switches, and what it says on standard error."""

import json
import logging
import os
import platform
import subprocess
import sys

import pytest

from tests.helpers import ROOT, TINY_FLAGS
from tfssl import loading

NOISE = """\
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1795678276.770004    8647 port.cc:153] oneDNN custom operations are on. You may see
E0000 00:00:1733678276.770004    8647 cuda_dnn.cc:8310] Unable to register cuDNN factory: \
Attempting to register factory for plugin cuDNN when one has already been registered
2025-11-26 07:28:40.1: E external/local_xla/xla/stream_executor/cuda/cuda_fft.cc:477] Unable to \
register cuFFT factory: Attempting to register factory for plugin cuFFT when one has already been \
registered
W0000 00:00:1733678276.770004    8647 computation_placer.cc:177] computation placer already \
registered. Please check linkage and avoid linking the same target more than once.
"""
OF_A_GPU = """\
I0000 00:00:1795678276.770630    8647 cudart_stub.cc:31] Could not find cuda drivers on your \
machine, GPU will not be used.
E0000 00:00:1795678278.158900    8647 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA \
error: Failed call to cuInit: UNKNOWN ERROR (303)
2025-11-26 07:28:40.1: W tensorflow/core/common_runtime/gpu/gpu_device.cc:2341] Cannot dlopen \
some GPU libraries. Please make sure the missing libraries mentioned above are installed properly
"""
REAL = """\
E0000 00:00:1795678278.158900    8647 cuda_dnn.cc:52] Could not create cudnn handle
F0000 00:00:1795678278.158900    8647 cpu_feature_guard.cc:9] compiled to use AVX instructions
Traceback: port.cc
"""


def stand_in(directory, *more):
    """A package `tensorflow` that says all of the above when it is imported, and does more."""
    package = directory / "tensorflow"
    package.mkdir()
    (package / "__init__.py").write_text(
        "\n".join(
            [
                "import os, sys",
                f"os.write(2, {(NOISE + REAL).encode()!r})",
                "class config:",
                "    def list_physical_devices():",
                f"        os.write(2, {OF_A_GPU.encode()!r})",
                *more,
                "",
            ]
        )
    )
    return {"PYTHONPATH": os.pathsep.join([str(directory), str(ROOT)])}


def python(code, env=None, check=True):
    """What a program did, in an environment without TensorFlow's variables."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=check,
        env={**plain, **(env or {})},
    )


@pytest.mark.parametrize(
    "environ,machine,expected",
    [
        ({}, "x86_64", {loading.LEVEL: "2", loading.ONEDNN: "1"}),
        ({}, "AMD64", {loading.LEVEL: "2", loading.ONEDNN: "1"}),
        ({}, "aarch64", {loading.LEVEL: "2"}),
        ({loading.LEVEL: "0"}, "x86_64", {loading.ONEDNN: "1"}),
        ({loading.ONEDNN: "0"}, "x86_64", {loading.LEVEL: "2"}),
        ({loading.ONEDNN: "", loading.LEVEL: ""}, "x86_64", {}),
    ],
)
def test_what_the_user_has_set_wins(environ, machine, expected):
    assert loading.switches(environ, machine) == expected


@pytest.mark.parametrize("given", [{}, {loading.LEVEL: "0", loading.ONEDNN: "0"}])
def test_importing_tfssl_sets_nothing_until_tensorflow_is_loaded(given, tmp_path):
    done = python(
        "import os, json, importlib.util, platform, tfssl.loading\n"
        "importlib.util.find_spec('tensorflow')\n"
        "first = {k: v for k, v in os.environ.items() if k.startswith('TF_')}\n"
        "import tensorflow\n"
        "print(json.dumps([first, {k: v for k, v in os.environ.items() if k.startswith('TF_')},\n"
        "                  tfssl.loading.switches({}, platform.machine())]))\n",
        {**stand_in(tmp_path), **given},
    )
    first, then, default = json.loads(done.stdout)
    assert first == given and then == {**default, **given}


@pytest.mark.parametrize("gpu", [False, True])
def test_known_lines_alone_are_held_back(gpu, tmp_path):
    """And only while it is loaded: standard error is then what it was."""
    done = python(
        f"import tfssl, os; tfssl.loading.accelerated = lambda: {gpu}\n"
        "before = os.fstat(2)\n"
        "import tensorflow\n"
        "assert os.fstat(2) == before\n"
        "os.write(2, b'later\\n')\n"
        "tensorflow.config.list_physical_devices()",
        stand_in(tmp_path),
    )
    assert done.stderr == REAL + "later\n" + OF_A_GPU


def test_lines_of_a_gpu_that_is_there_stay_while_it_is_loaded(tmp_path):
    env = stand_in(tmp_path, "config.list_physical_devices()")
    code = "import tfssl; tfssl.loading.accelerated = lambda: {}; import tensorflow"
    assert python(code.format(True), env).stderr == REAL + OF_A_GPU
    assert python(code.format(False), env).stderr == REAL


@pytest.mark.parametrize(
    "end,code",
    [("os.abort()", -6), ("os.kill(os.getpid(), 9)", -9), ("raise ImportError('no AVX')", 1)],
)
def test_a_crash_while_loading_keeps_its_message(end, code, tmp_path):
    env = stand_in(tmp_path, "os.write(2, b'the last words')", end)
    done = python("import tfssl, tensorflow", env, check=False)
    assert done.returncode == code and done.stderr.startswith(REAL + "the last words")
    assert ("no AVX" in done.stderr) == (code == 1)


@pytest.mark.parametrize("level,quiet", [("0", False), ("1", False), ("2", True), ("3", True)])
def test_who_asks_for_everything_gets_it(level, quiet, tmp_path):
    done = python("import tfssl, tensorflow", {**stand_in(tmp_path), loading.LEVEL: level})
    assert done.stderr.startswith(REAL if quiet else NOISE + REAL)


def test_without_grep_it_loads_all_the_same(tmp_path):
    env = {**stand_in(tmp_path), "PATH": str(tmp_path)}
    assert python("import tfssl, tensorflow", env).stderr.startswith(NOISE + REAL)


def test_without_standard_error_it_loads_all_the_same(tmp_path):
    (tmp_path / "tensorflow.py").write_text("print('loaded')\n")
    command = f"'{sys.executable}' -c 'import tfssl, tensorflow' 2>&-"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
    )
    assert (done.returncode, done.stdout) == (0, "loaded\n")


def test_tensorflow_imported_first_is_told_in_one_sentence(tmp_path):
    env = stand_in(tmp_path)
    done = python("import sys, tensorflow; print('--', file=sys.stderr)\nimport tfssl", env)
    told = done.stderr.split("--\n")[1].splitlines()
    assert told[0].startswith("<string>:2: RuntimeWarning: TensorFlow was imported before tfssl")
    assert f"{loading.LEVEL}=2" in told[0] and "import tfssl first" in told[0]
    assert len(told) == 1
    quiet = {loading.LEVEL: "2", loading.ONEDNN: "1"}
    assert python("import tensorflow, tfssl", {**env, **quiet}).stderr == NOISE + REAL


@pytest.mark.parametrize(
    "where,shown",
    [
        ("/usr/lib/python3.11/site-packages/tensorflow_datasets/core/reader.py:102", False),
        ("/usr/lib/python3/dist-packages/keras/src/x.py:1", False),
        ("/home/me/tensorflow_datasets/mine.py:3", True),
        ("mine.py:3", True),
    ],
)
def test_deprecations_within_libraries_are_not_the_users(where, shown):
    message = "From %s: %s (from %s) is deprecated and will be removed %s."
    record = logging.LogRecord(
        "tensorflow",
        logging.WARNING,
        "",
        1,
        message,
        (where, "CounterV2", "module", "in a future version"),
        None,
    )
    assert loading.is_ours(record) == shown
    assert loading.is_ours(
        logging.LogRecord("tensorflow", logging.WARNING, "", 1, "From %s: trouble", (where,), None)
    )


def test_what_tensorflow_datasets_says_of_itself_is_not_the_users():
    said = "`FeatureConnector.dtype` is deprecated. Please change your code to use NumPy"
    for name, shown in ((said, False), ("Variant folder has no dataset_info.json", True)):
        record = logging.LogRecord("absl", logging.WARNING, "", 1, name, (), None)
        assert loading.is_ours(record) == shown


@pytest.mark.slow  # so does the whole job in test_run.py
def test_a_real_run_says_nothing_on_standard_error(tmp_path):
    """Training and every evaluation, and what was in force is recorded."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    done = subprocess.run(
        [sys.executable, "run.py", *TINY_FLAGS, "--train_steps=1", f"--model_dir={tmp_path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=plain,
    )
    assert done.returncode == 0 and (not done.stderr or loading.accelerated())
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["onednn"] == (platform.machine() == "x86_64")
    assert result["model_dir"] == str(tmp_path)


@pytest.mark.slow
def test_a_real_error_of_tensorflow_itself_arrives():
    """oneDNN's complaint about transposed integers is written by the C++ in the middle of work."""
    done = python(
        "import tfssl, tensorflow as tf\n"
        "from tensorflow.python.platform import tf_logging\n"
        "tf_logging.error('of Python')\n"
        "print(tf.function(tf.transpose)(tf.constant([[1, 2], [3, 4]])).shape)\n"
    )
    assert "of Python" in done.stderr and done.stdout == "(2, 2)\n"
    if platform.machine() == "x86_64":
        assert " util.cc:" in done.stderr and "DT_INT32" in done.stderr
    assert "oneDNN custom operations" not in done.stderr
