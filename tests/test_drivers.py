"""Scripts of many runs: what they ask run.py for, what they write, and how they fail."""

import importlib
import importlib.util
import json
import sys
import types

import pytest

from tests.helpers import ROOT

pytest.importorskip("matplotlib")


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module


def given(flags):
    return dict(flag.removeprefix("--").split("=", 1) for flag in flags if "=" in flag)


def test_a_run_that_is_refused_ends_the_script_with_its_sentence_alone(script, tmp_path, capfd):
    with pytest.raises(SystemExit) as end:
        script("runs").run(str(tmp_path / "run"), "--temperature=0")
    assert end.value.code == 2
    assert capfd.readouterr().err == (
        "run.py: --temperature must be a number above 0. Received: 0.0\n"
    )


@pytest.mark.parametrize(
    "line,said",
    [
        ("precision OUT --seed=5", "--seed is the script's own"),
        ("simclrv2 OUT RUN --seed=5", "--seed is the script's own"),
        ("simclrv2 OUT RUN --fractions=0.1", "--steps must be one number for each of --fractions"),
        ("simclrv2 OUT RUN --kinds=pupil", "--kinds must be of teacher, student, both, alone"),
        ("information_vs_accuracy OUT --model_dir=x", "--model_dir is the script's own"),
        ("curves OUT OUT", "MODEL_DIR must be the directory of a finished pretraining"),
    ],
)
def test_mistakes_are_told_before_anything_runs(line, said, script, tmp_path, monkeypatch, capsys):
    name, *words = line.replace("OUT", str(tmp_path)).split()
    module = script(name)
    monkeypatch.setattr(module.runs, "run", None)
    monkeypatch.setattr(sys, "argv", [name, *words])
    with pytest.raises(SystemExit) as end:
        module.main()
    assert end.value.code == 2 and said in capsys.readouterr().err


def test_one_seed_has_no_deviation(script, tmp_path, monkeypatch, capsys):
    precision = script("precision")
    scores = {name: {"top_1": 0.5, "examples": 10} for name in ("knn_20", "linear", "online")}
    monkeypatch.setattr(
        precision.runs,
        "run",
        lambda *_: {"global_step": 3, "train_seconds": 1.0, "pretrained": scores},
    )
    monkeypatch.setattr(precision.runs, "scalars", lambda _: {precision.LOSS: {1: 2.0, 2: 1.0}})
    monkeypatch.setattr(sys, "argv", ["precision", str(tmp_path), "--seeds=3"])
    precision.main()
    assert "linear, frozen encoder: float32 50.00\n" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {
        "precision.csv",
        "curves.csv",
        "precision.png",
    }


@pytest.mark.parametrize("labels,batch,steps", [(40, 32, 150), (500, 64, 300), (7, 7, 1)])
def test_frozen_encoders_take_as_many_steps_as_finetuned_ones(
    labels, batch, steps, script, tmp_path, monkeypatch
):
    transfer = script("transfer")

    def run(directory, *flags, result):
        flags = given(flags)
        taken = int(labels * float(flags["linear_epochs"]) // int(flags["linear_batch_size"]))
        assert taken == steps  # as tfssl/runner/linear_eval.py counts them
        for name, epochs in (("a", 1.0), ("b", float(flags["linear_epochs"])), ("c", 2.0)):
            path = tmp_path / "linear_eval" / name / "result.json"
            path.parent.mkdir(parents=True)
            path.write_text(
                json.dumps(
                    {
                        "linear_epochs": epochs,
                        "linear_batch_size": batch,
                        "labels": labels,
                        "dataset": "d",
                        "eval_split": "test",
                        "train_seconds": 1.0,
                        "results": {
                            "linear_sgd": {
                                "examples": 9,
                                "correct_top_1": 3,
                                "top_1": ord(name) / 100,
                                "top_5": 1.0,
                            }
                        },
                    }
                )
            )
        return transfer.runs.read(result(str(tmp_path)))

    monkeypatch.setattr(transfer.runs, "run", run)
    arguments = types.SimpleNamespace(runs="r", checkpoint="c", batch=batch, steps=steps)
    assert transfer.row("frozen", 32, 0.01, labels, arguments, {}, [])["top_1"] == ord("b") / 100


def test_a_benchmark_without_one_of_its_variants_is_written_all_the_same(
    script, tmp_path, monkeypatch
):
    spec = importlib.util.spec_from_file_location("bench", ROOT / "scripts" / "bench" / "run.py")
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)

    class Variant:
        def __init__(self, table, name, settings):
            self.name, self.runs = name, []
            self.about = (
                None
                if name == "broken"
                else {"calls": 1, "items": 8, "flops": 0, "first_seconds": 0.1, "peak_mb": 1.0}
            )

        def turn(self):
            self.runs += [1.0] if self.name == "whole" or not self.runs else []

        def why(self):
            return "out of memory"

        def close(self):
            pass

    monkeypatch.setattr(bench, "Variant", Variant)
    monkeypatch.setattr(bench, "TABLES", ("made_up",))
    monkeypatch.setattr(bench, "machine", lambda: "a machine")
    monkeypatch.setitem(
        sys.modules,
        "tables.made_up",
        types.SimpleNamespace(
            __doc__="Made up",
            VARIANTS=dict.fromkeys(("whole", "dies", "broken")),
            UNIT="images",
            targets=lambda rows: [("fast", rows["broken"]["ms"] < 1)],
        ),
    )
    monkeypatch.setattr(sys, "argv", ["run.py", "made_up", "--rounds=3", f"--output={tmp_path}"])
    bench.main()
    text = (tmp_path / "made_up.md").read_text()
    assert "Absent: broken (failed: out of memory)." in text
    assert "Absent: dies (ended after 1 rounds: out of memory)." in text
    assert "- **missed**: nothing can be said without 'broken'" in text
    assert (tmp_path / "made_up.csv").read_text().count("\n") == 3
