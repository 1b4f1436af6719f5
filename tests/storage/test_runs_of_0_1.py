"""Run directories that tfssl 0.1 left go on, are evaluated and exported as they were meant then.

`tests/fixtures/runs_0_1_0.tar.xz` was made by the code of 0.1.0: `finished/` has what each kind of
training came to, `interrupted/` the same one killed in step 3 of 4, `runs/` those without a
--model_dir. They ended by float32 on an AMD EPYC; other processors round otherwise.
"""

import json
import os
import pathlib
import tarfile

import keras
import numpy as np
import pytest
import tensorflow as tf

import flags
import tfssl
from tfssl import UsageError
from tfssl.runner import program
from tfssl.storage import export

ARCHIVE = pathlib.Path(__file__).parent.parent / "fixtures" / "runs_0_1_0.tar.xz"
SMALL = [
    "--train_batch_size=8",
    "--train_steps=4",
    "--checkpoint_steps=2",
    "--keep_checkpoint_max=1",
    "--knn_k=3",
    "--train_summary_steps=3",
    "--precision=float32",
    "--nocompile_augmentation",
    "--warmup_epochs=1",
    "--image_size=16",
]
NETWORK = ["--width_multiplier=0.015625", "--proj_out_dim=8"]
SHAPES = ["--dataset=shapes", "--train_split=train[:32]", "--eval_split=test[:20]"]
FOLDER = ["--dataset=folder", "--data_dir=photos", "--train_split=train", "--eval_split=test"]
COMMANDS = {
    "simclr": [*SHAPES, *NETWORK],
    "folder": [*FOLDER, *NETWORK],
    "memory": [*SHAPES, *NETWORK, "--memory_size=20"],
    "byol": [*SHAPES, *NETWORK, "--method=byol", "--proj_hidden_dim=8"],
    "cpc": [*SHAPES, *NETWORK, "--method=cpc", "--optimizer=adam", "--learning_rate=0.001"],
    "finetune": [*SHAPES, "--mode=finetune", "--checkpoint=finished/simclr"],
    "finetune_folder": [*FOLDER, "--mode=finetune", "--checkpoint=finished/folder"],
    "distill": [*SHAPES, *NETWORK, "--mode=distill", "--teacher=finished/finetune"],
}
LINEAR = [
    "--mode=linear_eval",
    "--linear_epochs=1",
    "--linear_batch_size=8",
    "--checkpoint_steps=2",
    "--precision=float32",
    "--nocompile_augmentation",
]


@pytest.fixture
def there(tmp_path, monkeypatch):
    """The archive, as the working directory."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words):
    config, given = flags.parse(["run.py", *words])
    return program.run(config, given, flagfile=flags.dump)


def read(*path):
    with open(os.path.join(*path)) as file:
        return json.load(file)


def weights(run_directory, step="step_00000004"):
    """{name: array} of all numbers of a checkpoint.

    But for the sums of its metrics: today's are at 0 at the end, whose point is written by then.
    """
    reader = tf.train.load_checkpoint(os.path.join(run_directory, "checkpoints", step, "state"))
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if "OBJECT_GRAPH" not in name and not name.startswith("metrics/")
    }


def assert_same_end(one, other):
    ends = [weights(directory) for directory in (one, other)]
    assert ends[0].keys() == ends[1].keys()
    for name, value in ends[0].items():
        if value.dtype.kind != "S":
            np.testing.assert_allclose(ends[1][name], value, rtol=2e-3, atol=2e-4, err_msg=name)


def marks(name):
    """CI runs a finetuning; below are the other forms."""
    return [pytest.mark.slow, *([pytest.mark.ci] if name == "finetune_folder" else [])]


@pytest.mark.parametrize("name", [pytest.param(name, marks=marks(name)) for name in COMMANDS])
def test_an_interrupted_training_ends_where_it_would_have(name, there, capsys):
    result = run(f"--model_dir=interrupted/{name}", *SMALL, *COMMANDS[name])
    assert "continues from step 2" in capsys.readouterr().out
    assert_same_end(f"finished/{name}", f"interrupted/{name}")
    expected = read("finished", name, "result.json")
    for key in ("pretrained", "untrained", "finetuned", "distilled"):
        for protocol, scores in (expected.get(key) or {}).items():
            assert result[key][protocol]["examples"] == scores["examples"]
            assert abs(result[key][protocol]["correct_top_1"] - scores["correct_top_1"]) <= 1
    if "--dataset=folder" in COMMANDS[name]:  # it goes on by the rules that it began with
        assert read("interrupted", name, "flags.json")["reading_rules"] == 1


@pytest.mark.parametrize("name", ["simclr", "folder", "finetune_folder", "distill"])
def test_a_finished_training_has_nothing_left_to_do(name, there, capsys):
    result = run(f"--model_dir=finished/{name}", *SMALL, *COMMANDS[name])
    assert "finished; nothing left to do" in capsys.readouterr().out
    assert result.items() >= read("finished", name, "result.json").items()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["folder", "shapes"])
def test_runs_without_a_directory_are_found_by_their_old_names(kind, there, capsys):
    before = sorted(os.listdir("runs"))
    command = COMMANDS[{"folder": "folder", "shapes": "simclr"}[kind]]
    run(*SMALL, *command, "--seed=2")
    assert "finished; nothing left to do" in capsys.readouterr().out
    run(*SMALL, *command, "--seed=1", "--nolinear_probe", "--noeval_baseline")
    assert "continues from step 2" in capsys.readouterr().out
    if kind == "folder":
        run(*SMALL, *COMMANDS["finetune_folder"], "--seed=2")
        assert "finished; nothing left to do" in capsys.readouterr().out
    assert sorted(os.listdir("runs")) == before


@pytest.mark.slow
def test_an_old_name_is_not_taken_for_another_folder(there):
    os.rename("photos/train/dog", "photos/train/fox")
    os.rename("photos/test/dog", "photos/test/fox")
    os.rename("photos", "others")
    before = set(os.listdir("runs"))
    command = [word.replace("photos", "others") for word in COMMANDS["folder"]]
    run(*SMALL, *command, "--seed=2", "--noeval_baseline", "--nolinear_probe")
    (new,) = set(os.listdir("runs")) - before
    assert read("runs", new, "data.json")["train"]["classes"] == {"cat": 12, "fox": 12}
    assert read("runs", new, "flags.json")["reading_rules"] == 2


def test_an_old_run_is_refused_for_another_folder_that_can_be_compared(there):
    os.makedirs("others")
    for split in ("train", "test"):
        os.makedirs(f"others/{split}")
        for old, new in (("cat", "cat"), ("dog", "fox")):
            os.symlink(os.path.abspath(f"photos/{split}/{old}"), f"others/{split}/{new}")
    words = [word.replace("photos", "others") for word in COMMANDS["folder"]]
    with pytest.raises(UsageError, match=r"classes cat fox \(there cat dog\)"):
        run("--model_dir=interrupted/folder", *SMALL, *words)


@pytest.mark.slow
def test_a_copy_of_the_folder_continues_an_old_run(there, capsys):
    os.rename("photos", "moved")
    words = [word.replace("photos", "moved") for word in COMMANDS["folder"]]
    run("--model_dir=interrupted/folder", *SMALL, *words, "--noeval_baseline", "--nolinear_probe")
    assert "continues from step 2" in capsys.readouterr().out
    assert_same_end("finished/folder", "interrupted/folder")


@pytest.mark.slow
@pytest.mark.ci
def test_linear_evaluation_goes_on(there, capsys):
    result = run("--model_dir=interrupted/linear_eval", *LINEAR)
    assert "continues from step 2" in capsys.readouterr().out
    (place,) = os.listdir("interrupted/linear_eval/linear_eval")
    assert os.listdir("finished/linear_eval/linear_eval") == [place]
    assert_same_end(
        *(f"{kind}/linear_eval/linear_eval/{place}" for kind in ("finished", "interrupted"))
    )
    run("--model_dir=finished/linear_eval", *LINEAR)
    assert "finished; nothing left to do" in capsys.readouterr().out
    assert result["results"]["linear_sgd"]["examples"] == 20


def test_finished_runs_are_evaluated_and_exported(there):
    for name, key in (("simclr", "pretrained"), ("finetune", "finetuned")):
        before = read("finished", name, "result.json")
        result = run("--mode=eval", f"--model_dir=finished/{name}", "--eval_steps=0")
        for protocol, scores in before[key].items():
            assert abs(result[key][protocol]["correct_top_1"] - scores["correct_top_1"]) <= 1
    if export.newer("finished/simclr/encoder.keras"):  # then Keras may not know what is in it
        pytest.skip("an older Keras than that of the runs is installed")
    path = run("--mode=export", "--checkpoint=finished/simclr", "--output=new.keras")
    images = np.random.default_rng(0).random((2, 20, 24, 3), np.float32)
    np.testing.assert_allclose(
        keras.models.load_model(path)(images),
        tfssl.load_encoder("finished/simclr")(images),
        atol=1e-5,
    )
    embedded = run("--mode=embed", "--model_dir=finished/byol", "--eval_split=test[:20]")
    assert np.load(f"{embedded}/embeddings.npz")["h"].shape == (20, 8)


def test_what_a_record_lacks_means_what_it_meant_then(there):
    from tfssl.storage import runs

    config = runs.recorded("finished/folder")
    assert config.reading_rules == 1 and config.value_range == "auto"
    record = read("finished", "folder", "flags.json")
    assert {name for name in config.to_dict() if name not in record} >= {"reading_rules"}
