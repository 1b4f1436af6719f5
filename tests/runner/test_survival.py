"""Killed at any moment, a run ends where it would have ended; damage is met with a sentence."""

import contextlib
import importlib
import json
import os
import random
import shutil
import subprocess
import sys
import zipfile

import pytest
import tensorflow as tf

import tfssl
from tests.helpers import ROOT, TINY_FLAGS, tiny_config
from tfssl import UsageError
from tfssl.storage.checkpoint import Checkpoints

BYOL = "--method=byol --proj_hidden_dim=16"
SHORT = [
    "--train_steps=7",
    "--checkpoint_steps=3",
    "--train_summary_steps=5",
    "--noeval_baseline",
    "--nolinear_probe",
]


def kills(directory, *flags):
    done = subprocess.run(
        [sys.executable, "scripts/kills.py", str(directory), *flags],
        cwd=ROOT,
        text=True,
        capture_output=True,
        timeout=3000,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every bit is the same" in done.stdout
    return done.stdout


@pytest.mark.slow  # test_pretrain.py kills within a process
@pytest.mark.ci
def test_killed_it_ends_bit_for_bit_where_it_would_have(tmp_path):
    said = kills(
        tmp_path / "runs", "--kills=1", *TINY_FLAGS, *SHORT, f"--report={tmp_path / 'report.md'}"
    )
    assert "1 kill" in said
    assert "python scripts/kills.py DIR --kills=1" in (tmp_path / "report.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags", ["--memory_size=100", f"{BYOL} --cache_dataset=False"], ids=["simclr", "byol"]
)
def test_killed_in_a_long_training_it_ends_bit_for_bit_where_it_would_have(flags, tmp_path):
    """TFSSL_KILLS=20 for a longer trial."""
    number = os.environ.get("TFSSL_KILLS", "2")
    kills(
        tmp_path,
        f"--kills={number}",
        "--within=2",
        *TINY_FLAGS,
        *flags.split(),
        "--train_split=train[:512]",
        "--train_steps=1000",
        "--checkpoint_steps=3",
        "--train_summary_steps=5",
        "--noeval_baseline",
    )


@pytest.mark.slow
def test_whatever_is_killed_ends_bit_for_bit_where_it_would_have(tmp_path):
    """All modes, at file operations and random moments; TFSSL_KILLS=300 for a longer trial."""
    kills(tmp_path, "--all", f"--kills={os.environ.get('TFSSL_KILLS', '20')}")


@pytest.fixture
def survival(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return {
        name: importlib.import_module(f"survival.{name}")
        for name in ("compare", "processes", "rounds", "trials")
    }


@pytest.fixture
def whole(finished):
    """The directory of a finished run, which has all kinds of points."""
    return finished[0]


def records(path, **changes):
    """Changes keys of a record; None: removes them."""
    value = json.loads(path.read_text()) | changes
    removed = {name for name, new in changes.items() if new is None}
    path.write_text(json.dumps({name: v for name, v in value.items() if name not in removed}))


def weights(path):
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    end = len(parts["model.weights.h5"]) // 2
    changed = (
        parts["model.weights.h5"][:end]
        + bytes([parts["model.weights.h5"][end] ^ 1])
        + parts["model.weights.h5"][end + 1 :]
    )
    with zipfile.ZipFile(path, "w") as archive:
        for name, value in (parts | {"model.weights.h5": changed}).items():
            archive.writestr(name, value)


def state(path):
    """One variable of the last checkpoint differs in one of its values."""
    step = path / "checkpoints" / "step_00000004"
    reader = tf.train.load_checkpoint(str(step / "state"))
    names = [name for name in reader.get_variable_to_shape_map() if "CHECKPOINTABLE" not in name]
    values = {name: tf.convert_to_tensor(reader.get_tensor(name)) for name in sorted(names)}
    first = next(
        name
        for name, value in values.items()
        if value.dtype == tf.float32 and value.shape.rank == 4
    )
    values[first] = tf.tensor_scatter_nd_add(values[first], [[0, 0, 0, 0]], [1e-6])
    tf.raw_ops.SaveV2(
        prefix=str(step / "state"),
        tensor_names=list(values),
        shape_and_slices=[""] * len(values),
        tensors=list(values.values()),
    )


def points(path, tag="train/total_loss", step=2, folder=""):
    with tf.summary.create_file_writer(str(path / folder)).as_default(step=step):
        tf.summary.scalar(tag, 0.5)


def remove(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink()


CHANGES = {
    "a file that is missing": (lambda run: remove(run / "views.png"), "views.png"),
    "a file too many": (lambda run: (run / "more").write_text(""), "more"),
    "an unfinished file": (lambda run: (run / "a.json.tmp").write_text(""), "left behind"),
    "an unfinished checkpoint": (
        lambda run: shutil.copytree(
            run / "checkpoints/step_00000004", run / "checkpoints/unfinished_1"
        ),
        "left behind",
    ),
    "a checkpoint fewer": (
        lambda run: remove(run / "checkpoints/step_00000002"),
        "checkpoints/step_00000002",
    ),
    "a variable": (state, "checkpoints/step_00000004"),
    "a weight": (lambda run: weights(run / "encoder.keras"), "encoder.keras"),
    "a point that is contradicted": (points, "TensorBoard"),
    "a point of evaluation too many": (
        lambda run: points(run, "eval/more", folder="eval"),
        "eval/TensorBoard",
    ),
    "a spectrum that is missing": (
        lambda run: without(run, b"information/singular_values"),
        "TensorBoard",
    ),
    "a record": (lambda run: records(run / "result.json", parameters={}), "result.json"),
    "a setting": (lambda run: records(run / "flags.json", knn_k="6"), "flags.json"),
    "a picture": (lambda run: (run / "views.png").write_bytes(b"none"), "views.png"),
    "a time that is missing": (
        lambda run: records(run / "result.json", train_seconds=None),
        "result.json",
    ),
    "a time of nothing": (lambda run: records(run / "time.json", train_seconds=0.0), "time.json"),
    "more time than it took": (
        lambda run: records(run / "time.json", train_seconds=1001.0),
        "time.json",
    ),
}


def without(run, tag):
    """Leaves out the points of a tag."""
    (path,) = run.glob("events*")
    events = [event.numpy() for event in tf.data.TFRecordDataset(str(path))]
    with tf.io.TFRecordWriter(str(path)) as writer:
        for event in events:
            if tag not in event:
                writer.write(event)


@pytest.mark.parametrize("change,where", CHANGES.values(), ids=CHANGES)
def test_the_comparison_sees(change, where, whole, survival, tmp_path):
    differences = survival["compare"].differences
    shutil.copytree(whole, tmp_path / "other")
    rename(tmp_path / "other", whole)
    assert not differences(str(whole), str(tmp_path / "other"), wall=1000.0)
    change(tmp_path / "other")
    found = differences(str(whole), str(tmp_path / "other"), wall=1000.0)
    assert len(found) == 1 and found[0].startswith(where), found


def rename(directory, was):
    """What a run says of its directory is true of the copy."""
    for path in (path for path in directory.glob("*") if path.suffix in (".json", ".flags")):
        path.write_text(path.read_text().replace(str(was), str(directory)))
    with contextlib.suppress(StopIteration):
        path = next(directory.glob("events*"))
        events = [
            tf.compat.v1.Event.FromString(event.numpy())
            for event in tf.data.TFRecordDataset(str(path))
        ]
        with tf.io.TFRecordWriter(str(path)) as writer:
            for event in events:
                for value in event.summary.value:
                    if value.tag == "flags":
                        told = (
                            tf.make_ndarray(value.tensor)
                            .item()
                            .replace(os.fsencode(was), os.fsencode(directory))
                        )
                        value.tensor.CopyFrom(tf.make_tensor_proto(told))
                writer.write(event.SerializeToString())


@pytest.mark.slow
def test_other_seeds_differ_in_all_that_is_learned(whole, survival, tmp_path):
    tfssl.run(tiny_config(tmp_path / "other", seed=1, eval_baseline=False, linear_probe=False))
    found = survival["compare"].differences(str(whole), str(tmp_path / "other"))
    assert {
        "TensorBoard",
        "checkpoints/step_00000002",
        "checkpoints/step_00000004",
        "flags.json",
        "encoder.keras",
        "result.json",
        "views.png",
    } <= {what.split(":")[0] for what in found}


def test_a_file_that_a_killed_process_left_in_part_is_found(whole, survival, tmp_path):
    torn = survival["compare"].torn
    shutil.copytree(whole, tmp_path / "killed")
    rename(tmp_path / "killed", whole)
    assert not torn(str(tmp_path / "killed"), str(whole), None)
    for name in ("encoder.keras", "result.json", "views.png", "flags.flags"):
        path = tmp_path / "killed" / name
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        found = torn(str(tmp_path / "killed"), str(whole), None)
        assert len(found) == 1 and found[0].startswith(f"torn: {name}"), found
        path.write_bytes(content)


WRITER = """
import os, sys
sys.path.insert(0, "scripts")
from survival.processes import Start

def work():
    path = os.path.join(sys.argv[1], "a")
    for _ in range(2):
        with open(path + ".tmp", "w") as file:
            file.write("whole")
        os.replace(path + ".tmp", path)
    return 3

started = Start(work, sys.argv[1], sys.argv[1] + ".log", die_at=sys.argv[2] or None)
started.wait()
print(started.code, [what for _, what in started.operations()], os.listdir(sys.argv[1]))
"""


@pytest.mark.parametrize(
    "die_at,code,count,left",
    [
        ("", 3, 4, ["a"]),
        ("open a.tmp #1", -9, 1, []),
        ("os.rename a.tmp #1", -9, 2, ["a.tmp"]),
        ("open a.tmp #2", -9, 3, ["a"]),
    ],
)
def test_a_process_dies_just_before_the_operation(die_at, code, count, left, tmp_path):
    (tmp_path / "run").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", WRITER, str(tmp_path / "run"), die_at],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=True,
        timeout=60,
    )
    operations = ["open a.tmp #1", "os.rename a.tmp #1", "open a.tmp #2", "os.rename a.tmp #2"]
    assert done.stdout == f"{code} {operations[:count]} {left}\n"


def test_kills_are_shared_out_to_the_last(survival, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    shared, trials = importlib.import_module("kills").shared, survival["trials"].TRIALS
    for number in (1, 20, 300):
        given = shared(number, list(trials.values()))
        assert sum(given.values()) == number and min(given.values()) >= 0
    assert min(given.values()) >= 8 and given["simclr"] == max(given.values())


def damage(path, chance):
    """Truncates, changes or removes a file; says what it did."""
    content = path.read_bytes()
    kind = chance.choice(["truncate", "flip", "remove"])
    if kind == "remove" or not content:
        path.unlink()
    elif kind == "truncate":
        path.write_bytes(content[: chance.randrange(len(content))])
    else:
        place = chance.randrange(len(content))
        flipped = bytes([content[place] ^ (1 << chance.randrange(8))])
        path.write_bytes(content[:place] + flipped + content[place + 1 :])
    return f"{kind} {path.name}"


@pytest.mark.slow
def test_500_damages_never_restore_a_wrong_checkpoint_or_begin_again(tmp_path):
    variable = tf.Variable(tf.zeros([50]))
    checkpoints = Checkpoints(str(tmp_path / "run"), values=variable)
    for step in (1, 2, 3):
        variable.assign(tf.fill([50], float(step)))
        checkpoints.save(step)
    taken = []
    for number in range(500):
        chance = random.Random(number)
        copy = tmp_path / "copy"
        shutil.copytree(tmp_path / "run", copy)
        files = sorted(path for path in copy.rglob("*") if path.is_file())
        done = [damage(chance.choice(files), chance)]
        for path in chance.sample(files, chance.randrange(4)):
            done += [damage(path, chance)] if path.exists() else []
        variable.assign(tf.fill([50], -1.0))
        try:
            step = Checkpoints(str(copy), values=variable).restore_newest(aside=True)
        except UsageError as error:
            taken.append(0)
            assert "damaged" in str(error) or "gone" in str(error), done
        else:
            taken.append(step)
            assert step in (1, 2, 3) and set(variable.numpy()) == {float(step)}, done
        shutil.rmtree(copy)
    assert taken.count(3) > 50 < taken.count(2) and 0 < taken.count(1)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run that was stopped after step 2 of 4, and what it would have come to."""
    directory = tmp_path_factory.mktemp("runs")
    settings = dict(mode="train", train_mode="pretrain", checkpoint_steps=1, keep_checkpoint_max=0)
    tfssl.run(tiny_config(directory / "whole", **settings))
    shutil.copytree(directory / "whole", directory / "stopped")
    for name in ("encoder.keras", "checkpoints/step_00000003", "checkpoints/step_00000004"):
        path = directory / "stopped" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return directory, settings


RECORDS = ("data.json", "flags.json", "newest.json", "time.json")


@pytest.mark.slow
def test_a_damaged_run_goes_on_exactly_or_says_what_is_wrong(stopped, tmp_path):
    directory, settings = stopped
    expected = tfssl.load_encoder(directory / "whole").get_weights()
    went_on = 0
    for number in range(6):
        run = tmp_path / f"run{number}"
        shutil.copytree(directory / "stopped", run)
        chance = random.Random(number)
        files = sorted(path for path in run.rglob("*") if path.is_file())
        spared = number % 2 and (*RECORDS, "step_00000001")  # then it can go on
        files = [path for path in files if not spared or not set(spared) & set(path.parts)]
        done = [damage(path, chance) for path in chance.sample(files, 3)]
        try:
            tfssl.run(tiny_config(run, **settings))
        except UsageError as error:
            assert str(error).count("\n") == 0 and not spared, done
            continue
        went_on += 1
        weights = tfssl.load_encoder(run).get_weights()
        assert all((a == b).all() for a, b in zip(expected, weights, strict=True)), done
    assert 3 <= went_on < 6


def test_checkpoints_that_are_gone_are_missed(stopped, tmp_path):
    directory, settings = stopped
    shutil.copytree(directory / "stopped", tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    with pytest.raises(UsageError, match="are gone"):
        tfssl.run(tiny_config(tmp_path / "run", **settings))
