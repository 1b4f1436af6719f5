"""scripts/collect.py: what runs left, as tables, with the thesis's numbers where they belong."""

import csv
import importlib
import json
import subprocess
import sys

import pytest

from tests.helpers import ROOT
from tfssl.config import Config
from tfssl.errors import UsageError


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module


def leave_run(directory, top_1, done="pretrained", step=98, **settings):
    """A directory as run.py leaves it, without its networks."""
    config = Config(
        **{
            **dict(
                temperature=0.25,
                color_jitter_strength=0.25,
                train_batch_size=512,
                image_size="32",
                eval_split="test",
                model_dir=str(directory),
            ),
            **settings,
        }
    )
    directory.mkdir(parents=True)
    scores = {
        name: {"examples": 1000, "top_1": value, "top_5": 0.99}
        for name, value in (("online", top_1), ("knn_20", top_1 + 0.01))
    }
    (directory / "flags.json").write_text(json.dumps(config.to_dict()))
    (directory / "result.json").write_text(
        json.dumps(
            {
                "global_step": step,
                "dataset": config.dataset,
                "eval_split": "test",
                done: scores,
                "eval/regularization_loss": 0.0093,
                "untrained": None,
                "precision": "float32",
                "train_seconds": 1.0,
                "device": "none",
            }
        )
    )


@pytest.fixture
def runs_dir(tmp_path):
    """Two settings of Table 3, one of them with two seeds; the names of directories mislead."""
    leave_run(tmp_path / "runs" / "b_temperature_1.0", 0.80)
    leave_run(tmp_path / "runs" / "c", 0.82, seed=1, steps_per_execution=4)
    leave_run(tmp_path / "runs" / "deep" / "a", 0.70, temperature=1.0)
    (tmp_path / "runs" / "unfinished").mkdir()
    (tmp_path / "runs" / "unfinished" / "flags.json").write_text("{}")
    return tmp_path / "runs"


def test_runs_on_two_folders_are_neither_twins_nor_seeds_of_one(tmp_path, script):
    for name, files, seed in (("a", "1f", 0), ("b", "2e", 0), ("c", "1f", 1), ("d", "1f", 0)):
        leave_run(tmp_path / name, 0.8, dataset="folder", seed=seed)
        path = tmp_path / name / "result.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"data": {"names": files}}))
    records = script("records")
    found = records.load([str(tmp_path)], curves=False)
    assert [(record.files, record.config.seed) for record in found] == [
        ("1f", 0),
        ("2e", 0),
        ("1f", 1),
    ]
    assert [[record.files for record in group] for group in records.by_setting(found)] == [
        ["1f", "1f"],
        ["2e"],
    ]


def test_settings_come_from_the_records_and_the_thesis_stands_beside(runs_dir, tmp_path, script):
    text = script("collect").collect([str(runs_dir)], str(tmp_path / "out"))
    assert text.splitlines() == [
        "| temperature | seeds | regularization_loss | top_1_accuracy | top_5_accuracy | steps "
        "| knn_20, top-1 | thesis's top-1 |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        "| 0.25 | 2 | 0.0093 ± 0.0000 | 0.810 ± 0.014 | 0.990 ± 0.000 | 98 | 0.820 ± 0.014 "
        "| 0.833 |",
        "| 1 | 1 | 0.0093 | 0.700 | 0.990 | 98 | 0.710 | 0.798 |",
    ]
    with open(tmp_path / "out" / "runs.csv") as file:
        rows = list(csv.DictReader(file))
    assert [(r["temperature"], r["seed"], r["thesis_table"]) for r in rows] == [
        ("0.25", "0", "3"),
        ("0.25", "1", "3"),
        ("1.0", "0", "3"),
    ]


def test_a_column_of_zeros_is_not_shown(runs_dir, tmp_path, script):
    for path in runs_dir.rglob("result.json"):
        result = json.loads(path.read_text())
        path.write_text(json.dumps({**result, "eval/regularization_loss": 0.0}))
    text = script("collect").collect([str(runs_dir)], str(tmp_path / "out"))
    assert text.startswith("| temperature | seeds | top_1_accuracy | top_5_accuracy | steps | knn")
    assert {float(row["regularization_loss"]) for row in rows_of(tmp_path / "out")} == {0.0}


def test_the_top_5_of_few_classes_is_no_number(runs_dir, tmp_path, script):
    def collected(few):
        """The table where the runs whose path holds a word are of 3 classes, the others of 10."""
        for path in runs_dir.rglob("result.json"):
            result = json.loads(path.read_text())
            for scores in result["pretrained"].values():
                scores["classes"] = 3 if few in str(path) else 10
            path.write_text(json.dumps(result))
        return script("collect").collect([str(runs_dir)], str(tmp_path / "out"))

    text = collected("deep")
    assert [row.split(" | ")[4] for row in text.splitlines()[2:]] == ["0.990 ± 0.000", "-"]
    assert [row["top_5_accuracy"] for row in rows_of(tmp_path / "out", "runs")] == [
        "0.99",
        "0.99",
        "",
    ]
    assert "top_5" not in collected("") and "top_1_accuracy" in collected("")


def test_the_record_makes_the_same_tables_again(runs_dir, tmp_path, script):
    collect = script("collect").collect
    first, again = tmp_path / "first", tmp_path / "again"
    collect([str(runs_dir)], str(first))
    collect([str(first / "runs.json")], str(again))
    for name in ("runs.json", "runs.csv", "table.csv", "table.md"):
        assert (first / name).read_bytes() == (again / name).read_bytes()
    assert str(tmp_path) not in (first / "runs.json").read_text()


def rows_of(output_dir, name="table"):
    with open(output_dir / f"{name}.csv") as file:
        return list(csv.DictReader(file))


def test_a_run_that_is_there_twice_counts_once(runs_dir, tmp_path, script, capsys):
    collect = script("collect").collect
    text = collect([str(runs_dir)], str(tmp_path / "once"))
    (runs_dir / "linked").symlink_to(runs_dir / "c")
    again = collect([str(runs_dir), str(tmp_path / "once" / "runs.json")], str(tmp_path / "twice"))
    assert again == text and "there twice, counted once" in capsys.readouterr().err
    (runs_dir / "linked").unlink()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "linked").symlink_to(runs_dir / "c")
    assert len(script("records").load([str(tmp_path / "elsewhere")])) == 1


def test_what_was_evaluated_otherwise_is_another_row(runs_dir, tmp_path, script):
    leave_run(runs_dir / "larger", 0.9, eval_image_size="64")
    script("collect").collect([str(runs_dir)], str(tmp_path / "out"))
    found = {
        (row["temperature"], row["eval_image_size"]): row["seeds"]
        for row in rows_of(tmp_path / "out")
    }
    assert found == {("0.25", ""): "2", ("1.0", ""): "1", ("0.25", "64"): "1"}
    assert [row["thesis_table"] for row in rows_of(tmp_path / "out") if row["eval_image_size"]] == [
        ""
    ]


def test_a_run_that_was_evaluated_before_its_end_is_left_out(runs_dir, tmp_path, script, capsys):
    leave_run(runs_dir / "early", 0.1, seed=2, step=50)
    script("collect").collect([str(runs_dir)], str(tmp_path / "out"))
    assert [row["seed"] for row in rows_of(tmp_path / "out", "runs")] == ["0", "1", "0"]
    assert "left out, evaluated at step 50 of 98" in capsys.readouterr().err


def test_finetuned_runs_make_a_table_without_where_they_were(tmp_path, script):
    for seed in (0, 1):
        for name in ("one", "other"):
            leave_run(
                tmp_path / "runs" / f"{name}{seed}",
                0.5,
                done="finetuned",
                seed=seed,
                mode="finetune",
                checkpoint=f"/somewhere/far/runs/{name}",
                label_list=f"/somewhere/labels/cifar10_1pct_seed{seed}.txt",
            )
    script("collect").collect([str(tmp_path / "runs")], str(tmp_path / "out"))
    assert [(row["checkpoint"], row["seeds"]) for row in rows_of(tmp_path / "out")] == [
        ("runs/one", "2"),
        ("runs/other", "2"),
    ]
    assert "/somewhere" not in (tmp_path / "out" / "runs.json").read_text()


def test_hparams_hold_what_varies_with_every_accuracy(runs_dir, tmp_path, script):
    from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer
    from tensorboard.plugins.hparams import metadata

    script("collect").collect([str(runs_dir)], str(tmp_path / "out"))
    events = EventMultiplexer().AddRunsFromDirectory(str(tmp_path / "out" / "hparams")).Reload()
    contents = events.PluginRunToTagToContent(metadata.PLUGIN_NAME)
    sessions = [
        metadata.parse_session_start_info_plugin_data(tags[metadata.SESSION_START_INFO_TAG])
        for run, tags in contents.items()
        if run != "."
    ]
    told = sorted(
        (s.hparams["temperature"].number_value, s.hparams["seed"].number_value) for s in sessions
    )
    assert told == [(0.25, 0), (0.25, 1), (1, 0)]
    tags = events.GetAccumulator("000").Tags()
    assert {"top_1/online", "top_1/knn_20"} <= {*tags["scalars"], *tags["tensors"]}


def test_only_a_run_of_the_thesiss_settings_has_its_number(script):
    thesis = script("thesis")
    same = Config(
        image_size="32", eval_split="test", train_batch_size=1024, color_jitter_strength=0.75
    )
    assert thesis.beside(same)[1]["top_1_accuracy"] == 0.841
    assert thesis.beside(same.replace(seed=5, precision="float32"))[0] == 3
    assert thesis.beside(same.replace(width_multiplier=0.25)) is None
    assert thesis.beside(Config())[1]["top_1_accuracy"] == 0.833  # whose size is the dataset's
    for other in (dict(eval_split="train[:10]"), dict(eval_image_size="64"), dict(eval_steps=1)):
        assert thesis.beside(same.replace(**other)) is None
    wide = same.replace(temperature=0.75)
    assert {
        size: thesis.beside(wide.replace(train_batch_size=size))[1]["top_1_accuracy"]
        for size in (16, 32, 1024)
    } == {16: 0.7181, 32: 0.7474, 1024: 0.813}
    shallow = next(config for table, config, _ in thesis.printed() if table == 12)
    assert thesis.beside(shallow)[0] == 12 and thesis.protocol(12) == "one training batch"
    tables = [table for table, config, _ in thesis.printed() if config.method == "byol"]
    assert tables.index(16) < tables.index(14), "the validation split's number comes first"


@pytest.mark.parametrize(
    "settings,found",
    [
        # Table 6, ResNet-50 without blur: what the settings of each row were.
        *[
            ((50, *row[:3], False), row[3])
            for row in (
                (64, 0.75, 0.25, 0.838),
                (64, 0.75, 0.65, 0.828),
                (64, 0.75, 0.75, 0.822),
                (128, 0.5, 0.65, 0.844),
                (128, 0.5, 0.75, 0.842),
                (128, 0.75, 0.65, 0.831),
                (128, 0.75, 0.75, 0.829),
                (256, 0.75, 0.65, 0.832),
                (256, 0.75, 0.75, 0.833),
            )
        ],
        # Table 8, with blur.
        *[
            ((*row[:4], True), row[4])
            for row in (
                (18, 256, 0.5, 0.75, 0.82),
                (18, 512, 0.5, 0.75, 0.823),
                (18, 1024, 0.25, 0.65, 0.846),
                (18, 1024, 0.25, 0.75, 0.841),
                (18, 1024, 0.5, 0.65, 0.83),
                (18, 1024, 0.5, 0.75, 0.833),
                (50, 256, 0.5, 0.75, 0.851),
            )
        ],
        # Settings that were not run.
        ((50, 512, 0.25, 0.65, True), None),
        ((50, 32, 0.75, 0.65, False), None),
        ((50, 16, 0.5, 0.65, False), None),
        ((50, 128, 0.75, 0.25, False), None),
    ],
)
def test_every_row_of_tables_6_and_8_has_its_setting(settings, found, script):
    depth, batch, temperature, strength, blur = settings
    config = Config(
        resnet_depth=depth,
        train_batch_size=batch,
        temperature=temperature,
        color_jitter_strength=strength,
        use_blur=blur,
        blur_padding="constant" if blur else "reflect",
    )
    row = script("thesis").beside(config)
    assert (row and row[1]["top_1_accuracy"]) == found


def test_a_linear_evaluation_is_beside_the_thesiss_table_16(tmp_path, script):
    """Whose accuracies are of a linear head that was trained after the network."""
    config = next(config for table, config, _ in script("thesis").printed() if table == 16)
    plain = {name: value for name, value in config.to_dict().items() if name != "model_dir"}
    for seed, name in enumerate("ab"):
        leave_run(tmp_path / "runs" / name, 0.5, **plain | {"seed": seed})
    for step, name, top_1 in ((98, "long", 0.9), (98, "short", 0.7), (49, "early", 0.3)):
        directory = tmp_path / "runs" / "a" / "linear_eval" / name
        directory.mkdir(parents=True)
        (directory / "result.json").write_text(
            json.dumps(
                {
                    "global_step": step,
                    "linear_epochs": 80.0 if name == "long" else 1.0,
                    "results": {"linear_sgd": {"examples": 10, "top_1": top_1, "top_5": 1.0}},
                }
            )
        )
    text = script("collect").collect([str(tmp_path / "runs")], str(tmp_path / "out"))
    head, _, row = text.splitlines()
    assert "linear_sgd, top-1" in head and head.endswith("thesis's top-1 |")
    assert "| 0.900 |" in row and row.endswith("| 0.922 (separate linear head) |")


def test_curves_are_thinned_to_the_means_of_their_neighbours(script):
    thinned = script("records").thinned(
        {"train/contrast_loss": {step: float(step) for step in range(1, 301)}, "other": {1: 1.0}}
    )
    assert list(thinned) == ["step", "train/contrast_loss"]
    assert thinned["step"][:2] == [3, 6] and len(thinned["step"]) == 100
    assert thinned["train/contrast_loss"][:2] == [2.0, 5.0]


@pytest.mark.parametrize("paths", [["nowhere"], ["."], ["setup.cfg"]])
def test_what_holds_no_runs_is_refused_in_one_sentence(paths, tmp_path, script, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "setup.cfg").write_text("[no records]")
    with pytest.raises(UsageError, match="runs|no finished run"):
        script("records").load(paths)


def test_a_wrong_argument_leaves_no_traceback(tmp_path):
    done = subprocess.run(
        [sys.executable, "scripts/collect.py", "nowhere", tmp_path],
        cwd=ROOT,
        text=True,
        capture_output=True,
    )
    assert done.returncode and done.stderr.startswith("collect.py: ") and "nowhere" in done.stderr
    assert done.stderr.count("\n") == 1
