"""The program where it is installed: `tfssl` and `python -m tfssl`, in any directory."""

import configparser
import importlib
import json
import os
import subprocess
import sys

import pytest
import setuptools

from tests.helpers import ROOT, TINY_FLAGS
from tfssl.config import Config
from tfssl.errors import UsageError
from tfssl.runner import command_line, parser, program


def tfssl(*words, cwd, code=0):
    done = subprocess.run(
        [sys.executable, "-m", "tfssl", *words],
        cwd=cwd,
        text=True,
        capture_output=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.mark.slow  # test_run.py starts a process, and the next test is elsewhere
def test_a_run_in_a_directory_of_ones_own(tmp_path):
    steps = ["--train_steps=1", "--noeval_baseline", "--nolinear_probe"]
    done = tfssl("pretrain", *TINY_FLAGS, *steps, "--model_dir=first", cwd=tmp_path)
    assert (tmp_path / "first" / "encoder.keras").exists() and "kNN, k = 5" in done.stdout


def test_the_first_word_may_be_a_mode_of_a_run_that_is_there(copied, monkeypatch, capsys):
    monkeypatch.chdir(copied.parent)
    assert command_line.main(["tfssl", "knn", f"--model_dir={copied.name}", "--knn_k=5"]) == 0
    assert "kNN, k = 5" in capsys.readouterr().out


def test_it_speaks_of_itself_by_the_name_that_it_was_called():
    assert parser.help_text(["/usr/bin/tfssl", "--help"]).startswith("usage: tfssl [mode]")
    assert parser.help_text(["/x/tfssl/__main__.py"]).startswith("usage: tfssl [mode]")
    assert parser.help_text(["/x/run.py", "--helpfull"]).startswith("usage: python run.py [mode]")


def test_refusals_are_one_line_by_that_name(tmp_path):
    done = tfssl("--temperature=0", cwd=tmp_path, code=2)
    assert done.stderr == "tfssl: --temperature must be a number above 0. Received: 0.0\n"
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("mode", ["finetune", "knn", "train_then_eval"])
def test_the_first_word_may_be_the_mode(mode):
    words = ["--checkpoint=none"] if mode == "finetune" else []
    config, given = parser.parse(["tfssl", mode, *words])
    assert config.mode == mode and "mode" in given
    with pytest.raises(UsageError, match=f"{mode} and --mode=eval contradict each other"):
        parser.parse(["tfssl", mode, *words, "--mode=eval"])


@pytest.mark.parametrize("words", [["dream"], ["--seed=1", "knn"], ["knn", "eval"]])
def test_other_words_are_refused(words):
    with pytest.raises(UsageError, match="Only --flags are expected, and before them a mode"):
        parser.parse(["tfssl", *words])


def test_flagfiles_come_with_it(tmp_path, monkeypatch):
    """By the paths that they have in a clone, where there is no such file; nested likewise."""
    monkeypatch.chdir(tmp_path)
    config, _ = parser.parse(["tfssl", "--flagfile=flags/thesis/simclr.flags"])
    assert config.weight_decay == 1e-4 and config.train_epochs == 100
    config, _ = parser.parse(["tfssl", "--flagfile=flags/shapes.flags"])
    assert config.train_batch_size == 64 and config.num_views == 4
    (tmp_path / "flags").mkdir()
    (tmp_path / "flags" / "shapes.flags").write_text("--train_batch_size=32")
    assert parser.parse(["tfssl", "--flagfile=flags/shapes.flags"])[0].train_batch_size == 32
    for missing in ("flags/none.flags", "shapes.flags", "flags"):
        with pytest.raises(UsageError, match="--flagfile must be a file of flags"):
            parser.parse(["tfssl", f"--flagfile={missing}"])
    with pytest.raises(UsageError, match="--flagfile must be a file of flags"):
        parser.parse(["tfssl", "--flagfile=flags/../setup.cfg"])


def test_what_is_installed_is_all_of_it():
    """Every package, the flagfiles among them, and a command that is there."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    packages = config["options"]["packages"].split()
    found = setuptools.find_packages(str(ROOT), include=["tfssl*"])
    assert sorted(packages) == sorted([*found, "tfssl.flagfiles"])
    assert config["options"]["package_dir"].split() == ["tfssl.flagfiles", "=", "flags"]
    patterns = config["options.package_data"]["tfssl.flagfiles"].replace(",", " ").split()
    shipped = {path for pattern in patterns for path in (ROOT / "flags").glob(pattern)}
    assert shipped == set((ROOT / "flags").rglob("*.flags")) and len(shipped) > 20
    module, _, name = (
        config["options.entry_points"]["console_scripts"].split("=")[1].strip().partition(":")
    )
    assert callable(getattr(importlib.import_module(module), name))


def test_json_prints_the_result_alone_and_quiet_nothing_else(copied, tmp_path, capsys):
    """Both of a request that has a result and of one that is refused."""
    path = str(tmp_path / "one.keras")
    words = ["tfssl", "export", f"--checkpoint={copied}", f"--output={path}", "--json"]
    assert command_line.main(words) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {"mode": "export", "output": path} and out.count("\n") == 1
    assert f"{path}: keras, images" in err
    os.unlink(path)
    assert command_line.main([*words, "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["output"] == path and err == ""
    assert command_line.main([*words, "--quiet"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and path in err and err.count("\n") == 1


def test_json_has_null_for_what_is_no_number():
    result = {"loss": float("nan"), "all": [{"bound": float("-inf")}, 1.5], "kind": "learning"}
    text = program.as_json("pretrain", result)
    expected = {"mode": "pretrain", "loss": None, "all": [{"bound": None}, 1.5], "kind": "learning"}
    assert json.loads(text) == expected and "NaN" not in text and "Infinity" not in text


def test_quiet_leaves_warnings(capsys, monkeypatch):
    def work(*_):
        print("step 1 of 2")
        print("\nWARNING: collapse")
        print("step 2 of 2", end="")
        print()
        return {"knn": 0.5}

    monkeypatch.setattr(program, "prepare_and_work", work)
    for quiet, json_too, expected in [
        (True, False, ("", "\nWARNING: collapse\n")),
        (True, True, ('{"mode": "knn", "knn": 0.5}\n', "\nWARNING: collapse\n")),
        (False, False, ("step 1 of 2\n\nWARNING: collapse\nstep 2 of 2\n", "")),
    ]:
        found = program.run(Config(mode="knn", quiet=quiet, json=json_too))
        assert found == {"knn": 0.5} and tuple(capsys.readouterr()) == expected
