"""What results/ says follows from the numbers beside it; the benchmark's processes answer."""

import csv
import importlib
import json
import re
import subprocess
import sys

import numpy as np
import pytest

from tests.helpers import ROOT
from tfssl import Config, data
from tfssl.runner import sources

BENCH = ROOT / "scripts" / "bench"
RECORDED = sorted((ROOT / "results" / "bench").glob("*.csv"))
MEASURED = sorted(path.parent for path in (ROOT / "results").glob("measured/*/runs.json"))
LISTS = sorted((ROOT / "results" / "labels").glob("*.txt"))


def number(text):
    try:
        return float(text)
    except ValueError:
        return text


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_the_verdicts_of_a_benchmark_follow_from_its_table(path, monkeypatch):
    monkeypatch.syspath_prepend(BENCH)
    # On whatever machine, what --precision=auto takes is that of the one with the table.
    monkeypatch.setattr("tfssl.doctor.machine.processor_flags", lambda: ["avx512_bf16"])
    table = importlib.import_module(f"tables.{path.stem}")
    with open(path) as file:
        rows = {
            row["variant"]: {name: number(text) for name, text in row.items()}
            for row in csv.DictReader(file)
        }
    text = path.with_suffix(".md").read_text()
    targets = table.targets(rows)
    for what, met in targets:
        assert f"- **{'met' if met else 'missed'}**: {what}" in text
    assert text.count("- **") == len(targets) > 0
    assert all(name in text for name in rows)


@pytest.mark.parametrize("path", MEASURED, ids=lambda path: path.name)
def test_a_measured_table_follows_from_its_runs_and_is_in_the_lab_book(path, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    importlib.import_module("collect").collect([str(path / "runs.json")], str(tmp_path))
    for name in ("runs.json", "runs.csv", "table.csv", "table.md"):
        assert (tmp_path / name).read_bytes() == (path / name).read_bytes()
    text = (path / "table.md").read_text()
    assert text in (ROOT / "results" / "README.md").read_text()
    with open(path / "runs.csv") as file:
        tops = [float(row["linear_top_1"]) for row in csv.DictReader(file)]
    with open(path / "table.csv") as file:
        rows = list(csv.DictReader(file))
    assert np.average(
        [float(row["linear_top_1"]) for row in rows], weights=[int(row["seeds"]) for row in rows]
    ) == pytest.approx(np.mean(tops))


def pairs(name, knob, better, worse, protocol):
    """What a setting gains over another, %, by pairs of runs that are equal in all else."""
    with open(ROOT / "results" / "measured" / name / "runs.csv") as file:
        rows = list(csv.DictReader(file))
    settings = (knob, "seed", *({"temperature", "color_jitter_strength"} & set(rows[0]) - {knob}))
    of = {tuple(row[name] for name in settings): 100 * float(row[protocol]) for row in rows}
    return [value - of[(worse, *rest)] for (first, *rest), value in of.items() if first == better]


@pytest.mark.parametrize(
    "name, knob, better, worse, protocol, least, most",
    (
        ("table3", "temperature", "0.25", "1.0", "top_1_accuracy", 0.5, 6.5),
        ("table3", "temperature", "0.25", "1.0", "knn_20_top_1", 1, 8.5),
        ("table3", "temperature", "0.25", "1.0", "linear_top_1", 0, 5.5),
        ("table3", "color_jitter_strength", "0.5", "1.0", "top_1_accuracy", 2, 7.5),
        ("table3", "color_jitter_strength", "0.5", "1.0", "knn_20_top_1", 2, 7.5),
        ("table3", "color_jitter_strength", "0.5", "1.0", "linear_top_1", 2, 7.5),
        ("table6", "resnet_depth", "50", "18", "linear_top_1", 6, 6.5),
        ("table6", "resnet_depth", "50", "18", "knn_20_top_1", 2.4, 2.9),
        ("table8", "use_blur", "True", "False", "linear_top_1", -3, 1),
        ("table8", "use_blur", "True", "False", "knn_20_top_1", -2.4, 1.1),
        ("figure23", "batch_size", "64", "16", "linear_top_1", 1.6, 4.3),
        ("figure23", "batch_size", "64", "256", "linear_top_1", 0.7, 2),
        ("table12", "batch_size", "64", "256", "linear_top_1", 1.7, 6),
        ("table12", "batch_size", "64", "16", "linear_top_1", -0.5, 1.5),
    ),
)
def test_what_the_lab_book_says_of_the_thesis_follows_from_the_runs(
    name, knob, better, worse, protocol, least, most
):
    gains = pairs(name, knob, better, worse, protocol)
    assert len(gains) == {"color_jitter_strength": 6, "temperature": 4, "use_blur": 4}.get(knob, 2)
    assert least < min(gains) and max(gains) < most


@pytest.mark.slow
def test_a_variant_of_the_benchmark_answers_in_turns():
    worker = [sys.executable, BENCH / "worker.py", "loss", "plain, 2,048 embeddings", "{}"]
    with subprocess.Popen(
        worker, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        out, _ = process.communicate("go\ngo\n", timeout=120)
    about, *turns = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    assert about["calls"] >= 1 and about["flops"] == 3 * 2 * 128 * 2048**2
    assert len(turns) == 2 and all(turn["seconds"] > 0 for turn in turns)


def test_there_is_a_list_of_labels_for_every_protocol():
    assert len(LISTS) == 12  # two datasets, 1 % and 10 %, three seeds


def about_list(path):
    """What the first line of a list says: a Config, and the number of images in the split."""
    dataset, split, total, fraction, seed = re.fullmatch(
        r"# (\S+) (\S+): \d+ of (\S+) images, .* --label_fraction=(\S+) --seed=(\d+)",
        path.read_text().splitlines()[0],
    ).groups()
    return Config(
        mode="finetune",
        checkpoint="none",
        dataset=dataset,
        train_split=split,
        label_fraction=float(fraction),
        seed=int(seed),
    ), int(total.replace(",", ""))


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.stem)
def test_a_list_of_labels_holds_what_its_name_says(path):
    config, total = about_list(path)
    assert path.stem == (
        f"{config.dataset.split('/')[0]}_{100 * config.label_fraction:g}pct_seed{config.seed}"
    )
    places = data.read_list(path, total)
    assert len(places) == 10 * round(config.label_fraction * total / 10)


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.stem)
def test_a_list_of_labels_is_what_the_fraction_draws(path, real_data_dir):
    config, total = about_list(path)
    source = sources.load(config.replace(data_dir=real_data_dir), config.train_split)
    places = data.read_list(path, total)
    assert source.num_examples == total
    assert sources.label_indices(config, source).tolist() == places.tolist()
    assert set(np.bincount(data.labels_of(source)[places])) == {len(places) // 10}


def test_the_table_of_simclrv2_follows_from_its_runs(monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.syspath_prepend(ROOT / "scripts")
    simclrv2 = importlib.import_module("simclrv2")
    folder = ROOT / "results" / "simclrv2"
    with open(folder / "runs.csv") as file:
        rows = [{name: number(text) for name, text in row.items()} for row in csv.DictReader(file)]
    rows = [{**row, "parameters": int(row["parameters"])} for row in rows]
    assert all(row["top_1"] == row["correct_top_1"] / row["examples"] for row in rows)
    text = (folder / "table.md").read_text().strip()
    assert text == simclrv2.table(rows)
    for kind in ("teacher", "student", "alone"):
        for fraction in (0.01, 0.1):
            values = [
                100 * row["top_1"]
                for row in rows
                if (row["kind"], row["label_fraction"]) == (kind, fraction)
            ]
            assert f"{np.mean(values):.1f} ± {np.std(values, ddof=1):.1f}" in text
    for kind in ("teacher", "student", "alone"):
        assert [len(simclrv2.by_kind(rows, fraction)[kind]) for fraction in (0.01, 0.1)] == [3, 3]
    for fraction in (0.01, 0.1):  # as results/README.md says of it
        found = simclrv2.by_kind(rows, fraction)
        assert min(found["student"]) > max(found["alone"])
