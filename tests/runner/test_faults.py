"""What goes wrong in a long run: signals, a second process, a full disk, numbers that are none."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

import run
import tfssl.runner.program
from tests.helpers import RESNET, ROOT, TINY_FLAGS, read_scalars, tiny_config
from tfssl import TrainingError, UsageError, files
from tfssl.callbacks import alarms, checkpoints
from tfssl.callbacks.board import Board
from tfssl.errors import Interrupted
from tfssl.runner import evaluate, pretrain
from tfssl.storage import checkpoint, rundir
from tfssl.storage.export import load_encoder


def test_a_signal_ends_the_step_saves_and_the_same_command_continues(tmp_path, monkeypatch, capsys):
    flags = ["--train_steps=9", "--checkpoint_steps=9", "--noeval_baseline", "--mode=train"]
    monkeypatch.setattr(alarms.StopOnNaN, "on_step", ask_at(3))
    assert run.main(["run.py", *TINY_FLAGS, *flags, f"--model_dir={tmp_path}"]) == 143
    said = capsys.readouterr()
    assert "stopping after this step" in said.out and "Traceback" not in said.err
    told = said.err.strip().splitlines()[-1]
    assert "after step 3 of 9" in told and "the same command continues" in told
    assert os.listdir(tmp_path / "checkpoints") == ["step_00000003"]
    assert checkpoint.verify(tmp_path / "checkpoints" / "step_00000003")["step"] == 3


def ask_at(place):
    """A callback's `on_step` that is told to stop, by SIGTERM, in one of its steps."""

    def ask(self, step, logs):
        if step == place:
            os.kill(os.getpid(), signal.SIGTERM)

    return ask


@pytest.mark.slow  # for the test above, which needs no process
@pytest.mark.parametrize("number,code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_to_a_process_of_its_own_does_the_same(number, code, tmp_path):
    flags = [
        *TINY_FLAGS,
        "--train_steps=100000",
        "--checkpoint_steps=100000",
        "--noeval_baseline",
        "--mode=train",
        f"--model_dir={tmp_path}",
    ]
    with subprocess.Popen(
        [sys.executable, "run.py", *flags],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        for line in process.stdout:  # until training is under way
            if "steps  loss" in line:
                break
        time.sleep(0.5)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == code and "Traceback" not in err
    assert "stopping after this step" in out
    assert "the same command continues" in err.strip().splitlines()[-1]
    (name,) = os.listdir(tmp_path / "checkpoints")
    step = int(name.removeprefix("step_"))
    assert f"after step {step} of 100000" in err
    assert checkpoint.verify(tmp_path / "checkpoints" / name)["step"] == step > 0


def test_a_second_process_is_told_so(tmp_path):
    with rundir.lock(str(tmp_path)):
        with pytest.raises(UsageError, match="is in use"):
            tfssl.run(tiny_config(tmp_path))
        assert os.listdir(tmp_path) == ["lock"]
    with rundir.lock(str(tmp_path)):
        pass


def test_a_full_disk_costs_the_checkpoint_and_not_the_run(tmp_path, monkeypatch, capsys):
    flush, full = checkpoint.flush, []

    def flush_or_fail(path):
        if "unfinished" in path and not (tmp_path / "checkpoints" / "step_00000002").exists():
            return flush(path)
        if len(full) < 2 and "unfinished" in path:
            full.append(path)
            raise OSError(28, "No space left on device")
        return flush(path)

    monkeypatch.setattr(checkpoint, "flush", flush_or_fail)
    tfssl.run(
        tiny_config(
            tmp_path,
            mode="train",
            train_mode="pretrain",
            train_steps=5,
            checkpoint_steps=1,
            keep_checkpoint_max=0,
        )
    )
    said = capsys.readouterr().out
    assert said.count("WARNING: no checkpoint of step") == 2 == len(full)
    assert "No space left on device" in said
    assert sorted(os.listdir(tmp_path / "checkpoints")) == [
        f"step_0000000{step}" for step in (1, 2, 5)
    ]


def test_tensorboard_that_cannot_be_written_costs_its_points_and_not_the_run(trained, capsys):
    (trained / "eval").write_text("a file where the directory belongs")
    result = tfssl.run(tiny_config(trained))
    assert result["global_step"] == 4 and (trained / "result.json").exists()
    out = capsys.readouterr().out
    assert out.count("WARNING: TensorBoard's files in") == 1 and "The run goes on." in out


def test_points_that_cannot_be_written_are_told_of_once(tmp_path, capsys):
    board = Board(str(tmp_path / "there"))
    shutil.rmtree(tmp_path / "there")
    (tmp_path / "there").write_text("")

    def broken(*_, **__):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    board.writer.flush = broken
    for step in range(3):
        with board.as_default(step=step):
            tf.summary.scalar("a", 1.0)
        board.flush()
    assert capsys.readouterr().out.count("No space left on device") == 1


@pytest.mark.parametrize(
    "number,when",
    [
        (errno.ENOSPC, "data.json"),
        (errno.EACCES, "data.json"),
        pytest.param(errno.EROFS, "untrained.json", marks=pytest.mark.slow),
    ],
)
def test_a_disk_that_takes_no_more_is_told_in_a_sentence(
    number, when, tmp_path, monkeypatch, capsys
):
    """From the first file on, or when the training is over."""
    write_json = files.write_json

    def write_or_fail(directory, name, value):
        if name == when:
            raise OSError(number, os.strerror(number), name)
        write_json(directory, name, value)

    monkeypatch.setattr(files, "write_json", write_or_fail)
    assert run.main(["run.py", *TINY_FLAGS, f"--model_dir={tmp_path / 'run'}"]) == 1
    told = f"run.py: {when} cannot be written or read ({os.strerror(number)}); the same command"
    assert told in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.ci
def test_images_that_vanish_while_it_trains_end_it_with_a_sentence(tmp_path):
    folder = tmp_path / "photos" / "train" / "one"
    folder.mkdir(parents=True)
    for number in range(24):
        pixels = np.full((20 + number, 24, 3), 9 * number, np.uint8)
        (folder / f"{number}.png").write_bytes(tf.io.encode_png(pixels).numpy())

    def take_away(self, step):
        saved.append(step)
        shutil.rmtree(tmp_path / "photos", ignore_errors=True)
        return save(self, step)

    saved, save = [], checkpoint.Checkpoints.save
    config = tiny_config(
        tmp_path / "run",
        dataset="folder",
        data_dir=str(tmp_path / "photos"),
        train_split="train[:16]",
        eval_split="train[16:]",
        train_batch_size=8,
        train_steps=500,
        checkpoint_steps=2,
        mode="train",
        train_mode="pretrain",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint.Checkpoints, "save", take_away)
        with pytest.raises(
            TrainingError, match="--dataset=folder could not be read to the end"
        ) as error:
            tfssl.run(config)
    assert "the same command continues" in str(error.value) and "\n" not in str(error.value)
    assert saved and checkpoint.Checkpoints(str(tmp_path / "run")).newest_whole() == saved[-1]


def test_op_determinism_is_turned_on_and_recorded(trained, monkeypatch):
    turned_on = []
    monkeypatch.setattr(
        tf.config.experimental, "enable_op_determinism", lambda: turned_on.append(True)
    )
    record = json.loads((trained / "flags.json").read_text())
    (trained / "flags.json").write_text(json.dumps({**record, "deterministic": True}))
    result = tfssl.run(tiny_config(trained, deterministic=True, eval_baseline=False))
    assert result["deterministic"] is True and turned_on == [True]
    assert json.loads((trained / "result.json").read_text())["deterministic"] is True


@pytest.mark.slow  # for the test above: it cannot be turned off again in a process
def test_op_determinism_is_in_force_and_recorded(tmp_path):
    flags = [*TINY_FLAGS, "--deterministic", "--noeval_baseline", f"--model_dir={tmp_path}"]
    code = (
        "import sys, run, tensorflow as tf; code = run.main(['run.py', *sys.argv[1:]]); "
        "from tensorflow.python.framework import config; "
        "sys.exit(code or not config.is_op_determinism_enabled())"
    )
    subprocess.run(
        [sys.executable, "-c", code, *flags], cwd=ROOT, check=True, timeout=300, capture_output=True
    )
    assert json.loads((tmp_path / "result.json").read_text())["deterministic"] is True


def test_a_loss_that_is_no_number_leaves_a_diagnosis(tmp_path):
    with pytest.raises(TrainingError, match="(?s)(?=.*learning_rate).*diagnosis.json"):
        tfssl.run(
            tiny_config(
                tmp_path,
                **RESNET,
                learning_rate=1e20,
                optimizer="momentum",
                warmup_epochs=0.0,
                train_steps=50,
                checkpoint_steps=1,
                mode="train",
                train_mode="pretrain",
            )
        )
    diagnosis = json.loads((tmp_path / "diagnosis.json").read_text())
    assert diagnosis["batch"] == {"seed": 0, "step": diagnosis["step"] - 1}
    assert "learning_rate" in diagnosis["try"] and len(diagnosis["norms"]) > 60
    assert any(
        value in ("nan", "inf") or float(value) > 1e10 for value in diagnosis["norms"].values()
    )


def test_weights_that_are_no_numbers_are_never_saved(tmp_path):
    """The update of a step comes after its loss: a finite loss does not vouch for the weights."""
    with pytest.raises(TrainingError, match="weights are no longer finite after step 1"):
        tfssl.run(
            tiny_config(
                tmp_path,
                **RESNET,
                learning_rate=1e38,
                optimizer="momentum",
                warmup_epochs=0.0,
                train_steps=9,
                checkpoint_steps=1,
                mode="train",
                train_mode="pretrain",
            )
        )
    assert not (tmp_path / "checkpoints").exists()
    losses = json.loads((tmp_path / "diagnosis.json").read_text())["losses"]
    assert np.isfinite(float(losses["total_loss"]))


def test_a_damaged_newest_checkpoint_is_passed_over_and_the_end_is_the_same(
    finished, trained, capsys
):
    newest = trained / "checkpoints" / "step_00000004"
    (data,) = newest.glob("state.data*")
    data.write_bytes(data.read_bytes()[:-7])
    tfssl.run(tiny_config(trained, mode="train", train_mode="pretrain"))
    assert "the one of step 2 is taken" in capsys.readouterr().out
    for a, b in zip(*(load_encoder(d).get_weights() for d in (finished[0], trained)), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """(n) -> {tag: points} of an undisturbed training with points every n steps."""
    made = {}

    def points_every(summary_steps):
        if summary_steps not in made:
            directory = tmp_path_factory.mktemp("runs") / "straight"
            settings = dict(TRAIN, train_summary_steps=summary_steps, information_scalars=True)
            tfssl.run(tiny_config(directory, **settings))
            made[summary_steps] = points(directory)
        return made[summary_steps]

    return points_every


TRAIN = dict(mode="train", train_mode="pretrain")


@pytest.mark.slow
@pytest.mark.parametrize("summary_steps", [3, pytest.param(10, marks=pytest.mark.ci)])
def test_a_death_after_the_last_checkpoint_costs_nothing(
    summary_steps, straight, tmp_path, monkeypatch
):
    """Neither the points of the last steps nor the time that training took."""
    settings = dict(eval_baseline=False, linear_probe=False, information_scalars=True)
    settings["train_summary_steps"] = summary_steps
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(pretrain, "export_encoder", die)
        tfssl.run(tiny_config(tmp_path, **settings))
    spent = json.loads((tmp_path / "time.json").read_text())["train_seconds"]
    assert tfssl.run(tiny_config(tmp_path, **settings))["train_seconds"] == spent > 0
    one, two = straight(summary_steps), points(tmp_path)
    assert one == two and 4 in dict(one["train/total_loss"])
    assert 4 in dict(one["information/alignment"])


@pytest.mark.slow
def test_a_signal_in_the_last_step_costs_no_points(straight, tmp_path):
    """The whole job is one step short of nothing when it is asked to stop."""
    settings = dict(**TRAIN, train_summary_steps=10, information_scalars=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alarms.StopOnNaN, "on_step", ask_at(4))
        with pytest.raises(Interrupted, match="SIGTERM after step 4 of 4; the same command"):
            tfssl.run(tiny_config(tmp_path, **settings))
    tfssl.run(tiny_config(tmp_path, **settings))
    assert straight(10) == points(tmp_path)


@pytest.mark.slow  # the signals of the last step and beside training are above and below
def test_a_signal_after_the_last_step_is_obeyed_too(tmp_path, monkeypatch):
    def ask(self, logs=None):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(checkpoints.SaveCheckpoints, "on_train_end", ask)
    with pytest.raises(Interrupted, match="stopped by SIGTERM after step 4 of 4"):
        tfssl.run(tiny_config(tmp_path))
    assert not (tmp_path / "result.json").exists()


@pytest.mark.parametrize("number,code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_beside_training_is_told_too(number, code, monkeypatch, capsys):
    """As in an evaluation, which has no checkpoints of its own."""
    monkeypatch.setattr(tfssl.runner.program, "run", lambda *_, **__: os.kill(os.getpid(), number))
    before = signal.getsignal(number)
    assert run.main(["run.py", "--mode=eval", "--model_dir=there"]) == code
    assert capsys.readouterr().err.strip() == (
        f"run.py: stopped by {number.name}; the same command continues"
    )
    assert signal.getsignal(number) is before


@pytest.mark.parametrize(
    "task,told",
    [
        pytest.param(  # as a checkpoint is refused that is not finite, above
            "pretrain", "weights are no longer finite after step 1", marks=pytest.mark.slow
        ),
        ("finetune", "The network has diverged: its logits of shapes test.* are not finite"),
    ],
)
def test_divergence_in_the_last_step_is_told_as_that(task, told, tmp_path):
    """Its loss was finite; no accuracy is made of what came after it."""
    settings = dict(learning_rate=1e38, optimizer="momentum", warmup_epochs=0.0, train_steps=1)
    with pytest.raises(TrainingError, match=told):
        tfssl.run(
            tiny_config(
                tmp_path / "run",
                **settings,
                mode=task,
                linear_probe=False,
                **({"checkpoint": "none"} if task == "finetune" else RESNET),
            )
        )
    assert not (tmp_path / "run" / "result.json").exists()


@pytest.mark.parametrize("mode", ["eval", "knn", "linear_eval", "embed"])
def test_representations_that_are_not_finite_are_told_as_divergence(mode, trained, monkeypatch):
    """Finite weights do not vouch for what they make of an image."""
    batch_function = evaluate.batch_function

    def overflowing(*arguments):
        encode = batch_function(*arguments)
        return lambda images: encode(images) / 0.0

    monkeypatch.setattr(evaluate, "batch_function", overflowing)
    monkeypatch.setattr("tfssl.runner.loop.train", lambda *_, **__: None)
    with pytest.raises(TrainingError, match="The network has diverged: its .* are not finite"):
        tfssl.run(tiny_config(trained, mode=mode, linear_batch_size=16))


@pytest.mark.parametrize(
    "variable,expected",
    [
        (tf.Variable([1.0, np.inf]), False),
        (tf.Variable([np.nan], dtype="float16"), False),
        (tf.Variable([3e38, 3e38]), True),
        (tf.Variable([2**62], dtype="int64"), True),
    ],
)
def test_only_numbers_that_are_none_are_not_finite(variable, expected):
    assert checkpoints.finite(variable) is expected


def test_what_the_last_save_did_not_come_to_is_done_when_the_run_goes_on(tmp_path):
    """Killed between the checkpoint's rename and the removal of those no longer kept."""
    settings = dict(mode="train", train_mode="pretrain", checkpoint_steps=1, keep_checkpoint_max=2)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(files, "write_json", die_at("newest.json", 4))
        tfssl.run(tiny_config(tmp_path, **settings))
    there = tmp_path / "checkpoints"
    (there / "unfinished_1").mkdir()
    assert len(os.listdir(there)) == 4
    tfssl.run(tiny_config(tmp_path, **settings))
    assert sorted(os.listdir(there)) == ["step_00000003", "step_00000004"]
    assert json.loads((tmp_path / "newest.json").read_text()) == {"step": 4}


def test_a_finished_run_says_how_its_encoder_is_made_again(finished, copied, capsys):
    (copied / "encoder.keras").unlink()
    tfssl.run(tiny_config(copied))
    said = f"encoder.keras is gone: --mode=export --model_dir={copied} makes it again"
    assert said in capsys.readouterr().out
    assert run.main(["run.py", "--mode=export", f"--model_dir={copied}"]) == 0
    for a, b in zip(*(load_encoder(d).get_weights() for d in (finished[0], copied)), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_an_evaluation_of_an_older_step_does_not_take_the_place_of_the_newest(
    finished, copied, capsys
):
    shutil.rmtree(copied / "checkpoints" / "step_00000004")
    settings = dict(mode="eval", eval_baseline=False, linear_probe=False)
    assert tfssl.run(tiny_config(copied, **settings))["global_step"] == 2
    assert "result.json stays that of step 4" in capsys.readouterr().out
    assert json.loads((copied / "result.json").read_text()) == finished[1]
    assert json.loads((copied / "result_2.json").read_text())["global_step"] == 2


class Killed(Exception):
    """What stands for the death of a process."""


def die(*_, **__):
    raise Killed


def die_at(name, time):
    """`files.write_json` that dies the n-th time that it is to write a file of that name."""
    write_json, times = files.write_json, []

    def write_or_die(directory, file, value):
        times.append(file)
        if times.count(name) == time:
            raise Killed
        write_json(directory, file, value)

    return write_or_die


def points(directory):
    """{tag: [(step, value)]} but for the speed, which is never the same."""
    return {
        tag: values
        for tag, values in read_scalars(directory).items()
        if tag != "train/images_per_second"
    }
