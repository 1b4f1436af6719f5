"""The JSON files of a run: what is in them can be relied on, and what is damaged is told."""

import json
import pathlib
import tarfile

import pytest

from tfssl import UsageError
from tfssl.config import LATER, Config
from tfssl.storage import export, networks, records, rundir, runs

FIXTURES = pathlib.Path(__file__).parent.parent / "fixtures" / "runs_0_1_0.tar.xz"
WRONG = [None, True, -1, 1.5, "text", [], [[]], {}, {"a": {}}, float("nan"), 10**400]


@pytest.fixture(scope="module")
def written():
    """{name: contents} of all records that tfssl 0.1 left."""
    found = {}
    with tarfile.open(FIXTURES) as archive:
        for member in archive.getmembers():
            name = pathlib.Path(member.name).name
            if name in records.RECORDS:
                found.setdefault(name, []).append(json.load(archive.extractfile(member)))
    return found


def test_the_records_of_0_1_are_whole(written):
    assert written.keys() == records.RECORDS.keys() - {"data.json"}
    for name, contents in written.items():
        assert {records.problem(name, content) for content in contents} == {None}


@pytest.mark.parametrize(
    "name,required",
    [
        ("time.json", ["train_seconds", "images_per_second"]),
        ("result.json", ["dataset", "eval_split"]),
        ("untrained.json", ["settings", "results"]),
        ("labels.json", ["labels"]),
        ("teacher.json", ["classes", "answered", "step", "resnet_depth", "sha256"]),
        ("pretrained.json", ["method", "stem", "path", "step"]),
        ("manifest.json", ["step", "files"]),
    ],
)
def test_a_key_that_is_missing_is_named(name, required, written):
    for content in filter(None, written[name]):
        for key in required:
            rest = {k: v for k, v in content.items() if k != key}
            assert records.problem(name, rest) == f"{key} is missing"


@pytest.mark.parametrize(
    "name,keys,expected",
    [
        ("time.json", ["train_seconds"], "train_seconds: must be a number of at least 0"),
        ("result.json", ["global_step"], "global_step: must be an integer of at least 0"),
        ("labels.json", ["classes"], "classes: must be an integer of at least 0"),
        ("labels.json", ["class_names"], "class_names: must be a list"),
        ("teacher.json", ["answered", "image_size"], "answered: image_size: must be a list of 2"),
        ("pretrained.json", ["width_multiplier"], "width_multiplier: must be of type float"),
        ("manifest.json", ["files"], "files: must be an object"),
        ("manifest.json", ["about", "image_size"], "about: image_size: must be a list of 2"),
    ],
)
def test_a_wrong_type_is_named_by_its_place(name, keys, expected, written):
    content = json.loads(json.dumps(next(filter(None, written[name]))))
    place = content
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = "x"
    assert records.problem(name, content) == expected


def test_no_value_of_a_key_gets_past_as_another_type(written):
    """Whatever stands at a required key in place of its value is refused, if it is of another."""
    for name, contents in written.items():
        content = next(filter(None, contents))
        for key in content:
            for other in WRONG:
                told = records.problem(name, {**content, key: other})
                if told:
                    assert told.startswith(f"{key}: ") and "\n" not in told
                elif key in ("train_seconds", "labels", "step", "global_step", "resnet_depth"):
                    assert isinstance(other, (int, float)) and 0 <= other < float("inf"), other
    for name in records.RECORDS:
        assert all(records.problem(name, value) for value in WRONG if not isinstance(value, dict))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, "\x00", '{"labels": "no"}'])
def test_a_damaged_file_is_told_in_one_sentence(text, tmp_path):
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(UsageError, match=r"labels\.json is damaged \(.+\)\. Without it") as error:
        rundir.read_json(str(tmp_path), "labels.json")
    assert "\n" not in str(error.value)


def test_a_number_of_400_digits_is_no_step():
    assert records.problem("time.json", {"train_seconds": 10**400, "images_per_second": 1})


def test_an_encoder_is_described_in_the_words_that_name_directories_of_0_1():
    """A linear evaluation's directory has a digest of them, by which it is found again."""
    about = networks.describe(Config(), "cifar", (32, 32))
    assert about["input"] == (
        "float [B, height, width, 3], RGB in [0, 1]; --input_normalization is a layer"
    )
    assert about["output"] == "float [B, D], the representation h"


def test_records_of_before_a_knob_mean_what_was_done_then(tmp_path):
    config = Config(model_dir=str(tmp_path), jit_compile="off", shuffle="blocks")
    before = {k: v for k, v in config.to_dict().items() if k not in LATER}
    (tmp_path / "flags.json").write_text(json.dumps(before))
    assert runs.recorded(str(tmp_path)) == config
    about = networks.describe(config, "cifar", (32, 32), step=1)
    assert about["proj_batch_norm"] is True
    old = {k: v for k, v in about.items() if k not in LATER}
    assert export.check_about(old, "encoder.keras") == about
    weights = {**old, "path": "runs/a"}
    assert records.problem("pretrained.json", weights) is None
    assert "proj_batch_norm" in records.problem(
        "pretrained.json", {**weights, "proj_batch_norm": "no"}
    )


def test_images_without_a_label_are_told_as_that():
    here, there = {"c0": 1, "c1": 2}, {"": 1, "c1": 2}
    assert runs.difference("classes", here, there) == "classes c0 c1 (there (without a label) c1)"
    told = runs.difference("classes", {"": 3, "c1": 2}, there)
    assert told == "images of (without a label) 3 (there 1)"


@pytest.mark.parametrize("said", ["auto", None])
@pytest.mark.parametrize("chosen", ["whole", "blocks"])
def test_a_run_goes_on_with_what_was_chosen_at_its_start(chosen, said):
    """auto, typed or not, means what was chosen; another value is kept, to be refused."""
    given = [] if said is None else ["shuffle"]
    there = Config(shuffle=chosen, jit_compile="on")
    made = runs.continued(Config(), there, given)
    assert (made.shuffle, made.jit_compile) == (chosen, "on")
    other = Config(shuffle="blocks" if chosen == "whole" else "whole")
    assert runs.continued(other, there, ["shuffle"]).shuffle == other.shuffle
