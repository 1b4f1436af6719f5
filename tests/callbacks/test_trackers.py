"""--logger: what Weights & Biases and MLflow are given, by modules that record the calls."""

import importlib.machinery
import json
import sys
import types

import pytest

import tfssl
from tests.helpers import run_given, tiny_config
from tfssl import UsageError
from tfssl.callbacks import board, trackers


class Service:
    """Both services: a module of the functions that are called."""

    def __init__(self):
        self.runs, self.calls, self.broken = {}, [], False

    def wandb(self):
        def init(project, name, dir, config, id, resume):
            self.calls.append(("open", project, name, id, resume))
            identity = id or f"w{len(self.runs)}"
            points = self.runs.setdefault(identity, {"settings": config, "points": []})["points"]
            return types.SimpleNamespace(
                id=identity,
                define_metric=lambda name, step_metric: None,
                log=lambda values: self.receive(points, values.pop("step"), values),
                finish=lambda: self.calls.append(("end", identity)),
            )

        return dict(init=init)

    def mlflow(self):
        def start_run(identity, run_name):
            self.calls.append(("open", run_name, identity))
            self.identity = identity or f"m{len(self.runs)}"
            self.runs.setdefault(self.identity, {"settings": {}, "points": []})
            return types.SimpleNamespace(info=types.SimpleNamespace(run_id=self.identity))

        def log_params(some):
            assert len(some) <= 100 and None not in some.values()
            self.runs[self.identity]["settings"] |= some

        return dict(
            set_experiment=lambda name: self.calls.append(("experiment", name)),
            start_run=start_run,
            log_params=log_params,
            log_metrics=lambda values, step: self.receive(
                self.runs[self.identity]["points"], step, values
            ),
            end_run=lambda: self.calls.append(("end", self.identity)),
        )

    def receive(self, points, step, values):
        if self.broken:
            raise ConnectionError("no route\nto host.")
        assert all(type(value) is float for value in values.values())
        points.append((step, values))


@pytest.fixture
def service(monkeypatch):
    """The `Service`, which `import wandb` and `import mlflow` find."""
    made = Service()
    for name in trackers.TRACKERS:
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        vars(module).update(getattr(made, name)())
        monkeypatch.setitem(sys.modules, name, module)
    for name in ("WANDB_PROJECT", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"):
        monkeypatch.delenv(name, raising=False)
    return made


def send(directory, name, points, settings=None):
    """Writes points to a `Board` with a tracker, as one process of a run does."""
    with trackers.tracking([name], str(directory), settings or {}):
        writer = board.Board(str(directory))
        for step, values in points:
            writer.scalars(step, values)
        writer.close()


@pytest.mark.parametrize("name", list(trackers.TRACKERS))
def test_a_run_that_goes_on_is_one_run_of_the_service(service, name, tmp_path):
    settings = {f"setting_{number}": number for number in range(150)} | {"none": None}
    send(tmp_path, name, [(1, {"loss": 2}), (2, {"loss": 1})], settings)
    send(tmp_path, name, [(2, {"loss": 0.5})], settings)
    (run,) = service.runs.values()
    assert run["points"] == [(1, {"loss": 2.0}), (2, {"loss": 1.0}), (2, {"loss": 0.5})]
    assert {k: v for k, v in run["settings"].items() if v is not None} == {
        k: v for k, v in settings.items() if v is not None
    }
    identity = next(iter(service.runs))
    assert json.loads((tmp_path / "trackers.json").read_text()) == {name: identity}
    assert service.calls.count(("end", identity)) == 2
    opened = [call for call in service.calls if call[0] == "open"]
    assert [identity in call for call in opened] == [False, True]
    assert all(tmp_path.name in call for call in opened)
    assert trackers.ACTIVE.get() == ()


def test_both_have_the_project_unless_the_environment_names_one(service, monkeypatch, tmp_path):
    send(tmp_path / "a", "mlflow", [(1, {"loss": 2})])
    send(tmp_path / "a", "wandb", [(1, {"loss": 2})])
    assert ("experiment", "tfssl") in service.calls and service.calls[-2][1] == "tfssl"
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    service.calls.clear()
    send(tmp_path / "b", "mlflow", [(1, {"loss": 2})])
    send(tmp_path / "b", "wandb", [(1, {"loss": 2})])
    assert "experiment" not in {call[0] for call in service.calls}
    assert service.calls[-2][1] == "mine"


@pytest.mark.parametrize("name", list(trackers.TRACKERS))
def test_a_service_that_fails_is_told_once(service, name, tmp_path, capsys):
    service.broken = True
    send(tmp_path, name, [(step, {"loss": 2}) for step in range(5)])
    said = capsys.readouterr().out
    expected = f"WARNING: {name} receives nothing: no route to host. The run goes on."
    assert said.split("\n").count(expected) == 1 == said.count("WARNING")


def test_a_run_opens_nothing_before_it_has_something_to_send(service, tmp_path):
    with trackers.tracking(["wandb", "mlflow"], str(tmp_path), {}):
        pass
    assert service.calls == [] and not (tmp_path / "trackers.json").exists()


def test_a_training_and_its_evaluations_are_sent(service, tmp_path):
    settings = dict(train_steps=2, train_summary_steps=1, knn_k="5", linear_probe=False)
    tfssl.run(tiny_config(tmp_path, **settings, logger="wandb", eval_baseline=False))
    run_given(mode="eval", model_dir=str(tmp_path), knn_k="3", logger="wandb")
    (run,) = service.runs.values()
    assert run["settings"]["train_steps"] == 2 and run["settings"]["logger"] == "wandb"
    steps = {}
    for step, values in run["points"]:
        for name in values:
            steps.setdefault(name, []).append(step)
    assert steps["train/total_loss"] == steps["learning_rate"] == [1, 2]
    assert steps["eval/knn_5_top_1_accuracy"] == steps["eval/knn_3_top_1_accuracy"] == [2]
    assert len(service.calls) == 4  # opened and ended twice


def test_what_is_not_installed_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError) as refusal:
        run_given(dataset="shapes", model_dir=str(tmp_path / "run"), logger="mlflow")
    assert (
        str(refusal.value) == "--logger=mlflow needs the mlflow extra: pip install 'tfssl[mlflow]'"
    )
    assert list(tmp_path.iterdir()) == []
