"""The comparison of measures without labels with accuracies."""

import importlib
import json
import math

import pytest

import tfssl
from tests.helpers import ROOT, tiny_config


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module("label_free")


def record(knn, **measures):
    return {"own": measures, "common": {}, "accuracy": {"knn_20": knn}}


def test_agreement_is_the_rank_correlation_with_the_sign_that_is_expected(script):
    records = [
        record(knn, lidar=lidar, alignment=alignment)
        for knn, lidar, alignment in ((0.1, 3, 9), (0.2, 1, 7), (0.3, 4, 5), (0.4, 7, 1))
    ]
    # Ranks of lidar: 2, 1, 3, 4; the squares of the differences add up to 2.
    expected = 1 - 6 * 2 / (4 * (16 - 1))
    assert script.agreement(records, "lidar", "own", "knn_20") == pytest.approx(expected)
    assert script.agreement(records, "alignment", "own", "knn_20") == pytest.approx(1)
    assert script.agreement(records, "lidar", "common", "knn_20") is None
    assert script.agreement(records, "lidar", "own", "linear") is None
    assert script.agreement(records[:3], "lidar", "own", "knn_20") is None  # too few
    equal = [record(0.1 * i, lidar=2) for i in range(5)]
    assert script.agreement(equal, "lidar", "own", "knn_20") is None


@pytest.mark.slow
def test_trainings_are_measured_once_and_reported(script, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    changes = {"knn_k": "20", "train_steps": 2, "train_summary_steps": 0, "eval_baseline": False}
    for rate in (0.1, 0.2, 0.3, 0.4):
        tfssl.run(tiny_config(tmp_path / "rates" / f"{rate}", learning_rate=rate, **changes))
    capsys.readouterr()
    words = [str(tmp_path / "out"), f"--sweeps={tmp_path / 'rates'}", "--images=32"]
    script.main(words)
    assert capsys.readouterr().out.count(": measured") == 4
    found = json.loads((tmp_path / "out" / "runs.json").read_text())
    ((name, of),) = found.items()
    assert name.endswith("/rates") and len(of) == 4
    for one in of.values():
        assert {"lidar", "view_retrieval", "loss_of_views"} <= set(one["own"])
        assert "loss_of_views" not in one["common"]  # which may have more views than the method
        assert all(map(math.isfinite, one["common"].values()))
    for place, one in enumerate(of.values()):  # so few test images may give equal accuracies
        one["accuracy"] = {"knn_20": 0.1 * place, "linear": -0.1 * place}
    (tmp_path / "out" / "runs.json").write_text(json.dumps(found))
    script.main(words)
    assert capsys.readouterr().out == ""  # nothing was measured again
    text = (tmp_path / "out" / "table.md").read_text()
    assert "| lidar, own |" in text and "## linear" in text
    assert (tmp_path / "out" / "table.png").read_bytes().startswith(b"\x89PNG")


def test_without_trainings_there_is_nothing_to_report(script, tmp_path, capsys):
    with pytest.raises(SystemExit):
        script.main([str(tmp_path), f"--sweeps={tmp_path}"])
    assert "--sweeps must name directories of finished trainings" in capsys.readouterr().err
