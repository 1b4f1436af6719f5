"""`--mode=plan`: what it chooses for which time and images, what it keeps, writes and refuses."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from tests.helpers import ROOT, TINY_SETTINGS, run_given
from tfssl import UsageError
from tfssl.config import Config, sides
from tfssl.runner import cost, parser, planner, recorded, timing

SHAPES = dict(dataset="shapes", train_split="train[:4000]", eval_split="test[:100]")
EVALUATION = 20.0  # seconds


@pytest.fixture
def machine(monkeypatch):
    """A function that sets the operations per second of a machine; trainings are not timed."""
    seen = []

    def of_speed(flops):
        def timed(job):
            config = job.config
            width = config.width_multiplier if config.encoder == "resnet" else 1.0
            area = job.size[0] * job.size[1]
            views = config.train_batch_size * config.num_views
            seen.append((width, job.size[0]))
            price = cost.Cost(100, EVALUATION) if job.evaluates else None
            return views * area * width**2 / flops, 4.0, price

        monkeypatch.setattr(planner, "timed", timed)
        return seen

    return of_speed


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """A function that plans into a new directory."""
    monkeypatch.chdir(tmp_path)
    return lambda **settings: run_given(mode="plan", **{**SHAPES, **settings})


@pytest.mark.parametrize(
    "minutes, width, size, tried",
    [
        (10, 0.25, 16, [(0.25, 16), (0.5, 20)]),
        (100, 0.5, 20, [(0.25, 16), (0.5, 20), (1.0, 20)]),
        (3000, 1.0, 20, [(0.25, 16), (0.5, 20), (1.0, 20)]),
    ],
)
def test_the_longer_the_time_the_larger_the_network(plan, machine, minutes, width, size, tried):
    seen = machine(50_000)
    settings = plan(minutes=minutes)["settings"]
    assert (settings["width_multiplier"], settings["image_size"]) == (width, str(size))
    assert seen == tried[: len(seen)]


def test_a_network_that_the_time_is_far_from_is_not_measured(plan, machine):
    seen = machine(5_000)
    plan(minutes=5)
    assert seen == [(0.25, 16)]


@pytest.mark.parametrize("minutes", [3, 45])
def test_the_training_takes_the_time_but_for_what_is_spared(plan, machine, minutes):
    machine(50_000)
    found = plan(minutes=minutes)
    settings = found["settings"]
    views = 2 * settings["train_batch_size"]
    size, width = int(settings["image_size"]), settings["width_multiplier"]
    training = found["steps"] * views * size**2 * width**2 / 50_000
    runs = 1 if settings.get("eval_baseline", True) is False else 2
    whole = training + runs * EVALUATION + planner.START + 4.0
    assert whole == pytest.approx((1 - planner.SPARE) * 60 * minutes, rel=0.01)
    assert found["seconds"] == pytest.approx(whole, rel=0.01)
    assert found["views"] == found["steps"] * views
    epochs = found["steps"] * settings["train_batch_size"] / 4000
    assert settings["train_epochs"] == pytest.approx(epochs, rel=0.01)


def test_the_untrained_network_is_evaluated_where_that_is_cheap(plan, machine):
    machine(50_000)
    assert plan(minutes=3)["settings"]["eval_baseline"] is False
    assert "eval_baseline" not in plan(minutes=45, output="long.flags")["settings"]
    kept = plan(minutes=3, eval_baseline=True, output="kept.flags")
    assert kept["settings"]["eval_baseline"] is True


def test_the_flagfile_is_a_training_with_the_settings_of_the_plan(plan, machine, capsys):
    machine(50_000)
    found = plan(minutes=10, temperature=0.3, seed=5)
    assert found["output"] == "plan.flags"
    config, given = parser.parse(["tfssl", "--flagfile=plan.flags"])
    assert config.mode == "pretrain" and given == set(found["settings"])
    assert {name: getattr(config, name) for name in given} == found["settings"]
    assert (config.temperature, config.seed, config.dataset) == (0.3, 5, "shapes")
    said = capsys.readouterr().out
    assert "4,000 images of 3 channels, 32 px on their shorter side, 10 classes" in said
    for name, reason in (
        ("temperature=0.3", "as given"),
        ("width_multiplier=0.25", "a wider network would see fewer than the 1,200,000"),
        ("train_epochs=", "ms a step, as measured"),
    ):
        assert re.search(rf"--{re.escape(name)}\S* +.*{reason}", said)
        assert re.search(rf"# .*{reason}.*\n--{re.escape(name)}", open("plan.flags").read())
    assert said.rstrip().endswith("plan.flags: tfssl --flagfile=plan.flags")


@pytest.mark.parametrize(
    "given",
    [
        {"image_size": "24", "eval_image_size": "28"},
        {"width_multiplier": 0.125},
        {"train_batch_size": 32, "optimizer": "adam", "learning_rate": 0.01},
        {"crop_area_min": 0.5, "warmup_epochs": 0.0},
    ],
    ids=lambda given: "-".join(given),
)
def test_what_was_given_is_kept(plan, machine, given):
    machine(50_000)
    settings = plan(minutes=10, **given)["settings"]
    assert given.items() <= settings.items()


def test_a_size_that_was_given_is_that_of_the_evaluation_too(plan, machine):
    machine(50_000)
    settings = plan(minutes=10, image_size="64")["settings"]
    assert settings["image_size"] == "64" and "eval_image_size" not in settings


def test_where_network_and_sizes_are_given_one_training_is_measured(plan, machine):
    seen = machine(50_000)
    plan(minutes=500, image_size="20", eval_image_size="20", width_multiplier=0.25)
    assert seen == [(0.25, 20)]


def test_no_training_is_longer_than_a_thousand_epochs(plan, machine, capsys):
    machine(1e6)
    found = plan(minutes=3000, train_batch_size=250, train_split="train[:500]")
    assert found["settings"]["train_epochs"] == 1000 and found["steps"] == 2 * 1000
    assert found["settings"]["width_multiplier"] == 0.25  # of the views that there will be
    assert found["seconds"] < 60 * 60
    assert "it ends before the time does: 1,000 epochs are the most" in capsys.readouterr().out


def test_a_method_of_other_settings_keeps_its_own(plan, machine):
    machine(50_000)
    settings = plan(minutes=10, method="byol")["settings"]
    assert settings["method"] == "byol"
    assert not {"temperature", "optimizer", "learning_rate", "crop_area_min"} & set(settings)
    assert {"image_size", "width_multiplier", "train_epochs"} <= set(settings)


def test_patches_have_views_of_their_own_size(plan, machine):
    machine(50_000)
    settings = plan(minutes=10, method="cpc")["settings"]
    assert settings["image_size"] == "32" and "eval_image_size" not in settings


def test_an_encoder_of_another_kind_has_no_width(plan, machine):
    machine(50_000)
    settings = plan(minutes=10, encoder="tiny")["settings"]
    assert "width_multiplier" not in settings and settings["encoder"] == "tiny"


@pytest.mark.parametrize(
    "shape, classes, views, batch",
    [((40, 64, 90, 3), 2, 32, 16), ((80, 28, 28), 2, 16, 32), ((600, 8, 8, 4), 0, 8, 64)],
    ids=["photographs", "grey", "four channels without labels"],
)
def test_images_of_ones_own(plan, machine, tmp_path, capsys, shape, classes, views, batch):
    machine(1e6)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    labels = {"labels": np.arange(len(images)) % classes} if classes else {}
    np.savez(tmp_path / "mine.npz", images=images, **labels)
    splits = dict(train_split="train[:75%]", eval_split="train[75%:]") if classes else {}
    settings = plan(dataset="./mine.npz", minutes=3, **{**SHAPES_LEFT, **splits})["settings"]
    count = int(0.75 * len(images)) if classes else len(images)
    assert sides(settings["image_size"])[0] == views
    assert settings["train_batch_size"] == batch
    channels = shape[3] if len(shape) == 4 else 1
    assert ("crop_area_min" in settings) == (channels == 3)
    said = capsys.readouterr().out
    expected = f"{min(shape[1:3])} px on their shorter side, " + (
        f"{classes} classes" if classes else "no labels"
    )
    assert f"{count:,} images of {channels} channel" in said and expected in said
    assert Config(**settings).data_dir == "./mine.npz"


SHAPES_LEFT = dict(train_split="train", eval_split=None)


def test_a_folder_of_files_of_several_sizes(plan, machine, tmp_path, capsys):
    machine(1e6)
    for number in range(24):
        there = tmp_path / "photos" / ("train" if number % 2 else "test") / f"c{number % 3}"
        there.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (100 + number, 180, 3), np.uint8)
        Image.fromarray(pixels).save(there / f"{number}.png")
    settings = plan(dataset="./photos", minutes=3, **SHAPES_LEFT)["settings"]
    assert (settings["image_size"], settings["eval_image_size"]) == ("32", "48")
    assert "112 px on their shorter side, 3 classes" in capsys.readouterr().out


@pytest.mark.parametrize(
    "settings, error",
    [
        ({"train_epochs": 3.0}, "--train_epochs must not be given with --mode=plan"),
        ({"train_steps": 9}, "--train_steps must not be given with --mode=plan"),
        ({"minutes": 0.5}, r"--minutes must be at least \S+ with .* and 20 steps .* Received: 0.5"),
        ({"output": "missing/plan.flags"}, "--output must be a file in an existing directory"),
        ({"output": "there.flags"}, "--output must be a new file. Received: there.flags"),
        ({"train_batch_size": 5000}, "--train_batch_size must be at most 4000"),
        ({"method": "cpc", "num_views": 3}, "--num_views must be 1|2 for --method=cpc"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_cannot_be_planned_is_refused(plan, machine, tmp_path, settings, error):
    machine(50_000)
    (tmp_path / "there.flags").write_text("mine")
    with pytest.raises(UsageError, match=error):
        plan(**settings)
    assert [path.name for path in tmp_path.iterdir()] == ["there.flags"]
    assert (tmp_path / "there.flags").read_text() == "mine"


def test_the_shortest_time_that_is_named_is_enough(plan, machine):
    machine(50_000)
    with pytest.raises(UsageError) as refused:
        plan(minutes=0.5)
    least = float(re.search(r"at least ([\d.]+)", str(refused.value))[1])
    assert plan(minutes=least)["steps"] >= planner.FEWEST_STEPS


def test_steps_are_really_measured(plan, monkeypatch):
    monkeypatch.setattr(timing, "ENOUGH", 0.1)
    left_out = ("train_steps", "image_size", "train_batch_size", "checkpoint_steps")
    tiny = {name: value for name, value in TINY_SETTINGS.items() if name not in left_out}
    found = plan(**{**tiny, "minutes": 2.0, "train_batch_size": 8})
    assert 0 < found["steps"] < 120 / 1e-4 and found["seconds"] <= 120
    config, _ = parser.parse(["tfssl", "--flagfile=plan.flags", "--encoder=resnet"])
    assert config.train_epochs == found["settings"]["train_epochs"] > 0


def test_recorded_results_are_those_in_the_records():
    methods = json.loads((ROOT / "results/methods/runs.json").read_text())["simclr"]
    seeds = [methods["seed_0"], methods["seed_1"]]
    known = {(one.where, one.images): one for one in recorded.RECORDED}
    one = known["results/methods", "CIFAR-10, 10 classes"]
    assert one.views == seeds[0]["steps"] * 256 * 2
    for name, value in (("linear", one.linear), ("knn_20", one.knn)):
        mean = 50 * (seeds[0]["accuracy"][name] + seeds[1]["accuracy"][name])
        assert value == pytest.approx(mean, abs=0.06)
    for folder in ("cifar10", "fast_cifar10"):
        result = json.loads((ROOT / "results" / folder / "result.json").read_text())
        one = known[f"results/{folder}", "CIFAR-10, 10 classes"]
        assert one.views == result["global_step"] * 256 * 2
        for name, value in (("linear", one.linear), ("knn_20", one.knn)):
            assert value == pytest.approx(100 * result["pretrained"][name]["top_1"], abs=0.006)
    table = (ROOT / "results/kinds/table.md").read_text()
    for dataset in ("CIFAR-10", "Imagenette", "textures"):
        one = next(r for r in recorded.RECORDED if r.images.startswith(dataset + ","))
        row = dataset.lower().replace("-", "")
        cells = {
            name: re.search(rf"\| {row}, {name} \|(.*)", table)[1].split("|")[2].strip(" *")
            for name in ("linear", "knn_20")
        }
        assert one.where == "results/kinds" and one.views == 312 * 128 * 2
        assert [cells["linear"][:4], cells["knn_20"][:4]] == [str(one.linear), str(one.knn)]
    readme = (ROOT / "README.md").read_text()
    for one in recorded.RECORDED:
        if one.where == "README.md":
            assert f"{one.linear:g}" in readme and f"{one.knn:g}" in readme


def test_the_nearest_record_of_each_dataset_is_told():
    lines = recorded.like(900_000)
    assert [line.split(":")[0] for line in lines] == ["CIFAR-10, 10 classes"]
    assert "linear 72.9 %" in lines[0] and "1,000,448 views" in lines[0]
    assert recorded.like(10.0) == []
