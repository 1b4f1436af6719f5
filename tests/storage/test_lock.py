"""One process at a time in the directory of a run, from its first look at it to its end."""

import errno
import fcntl
import os
import subprocess

import pytest

import tfssl
from tests.helpers import tiny_config
from tfssl import UsageError, files
from tfssl.runner import finetune, frozen, pretrain
from tfssl.storage import rundir, runs


def refused(directory, **changes):
    with pytest.raises(UsageError, match="is in use: another process trains in it"):
        tfssl.run(tiny_config(directory, **changes))


def test_what_decides_is_read_by_one_process_at_a_time(tmp_path, monkeypatch):
    """While one looks at an empty directory, another of other settings cannot train in it."""
    plan, met = pretrain.plan, []

    def plan_while_another_comes(config, distribution=None):
        monkeypatch.setattr(pretrain, "plan", plan)
        refused(tmp_path / "run", temperature=0.9)
        met.append(config.temperature)
        return plan(config, distribution)

    monkeypatch.setattr(pretrain, "plan", plan_while_another_comes)
    tfssl.run(tiny_config(tmp_path / "run", mode="train", train_mode="pretrain", temperature=0.1))
    assert met == [0.1] and runs.recorded(str(tmp_path / "run")).temperature == 0.1


@pytest.mark.parametrize("mode", ["finetune", "distill", "linear_eval"])
def test_every_training_decides_under_its_lock(mode, tmp_path, monkeypatch):
    def look(*args, **kwargs):
        with pytest.raises(UsageError, match="is in use"):
            with rundir.lock(str(tmp_path / "run")):
                pass
        raise KeyboardInterrupt

    if mode == "linear_eval":  # whose directory is named after what it is asked for
        monkeypatch.setattr(frozen, "encoder", lambda config, given: (None, None, {"path": ""}))
        monkeypatch.setattr("tfssl.runner.linear_eval.settings_of", lambda job: {})
        monkeypatch.setattr("tfssl.runner.linear_eval.directory_of", lambda *_: tmp_path / "run")
        monkeypatch.setattr(rundir, "read_json", look)
    monkeypatch.setattr(finetune.runs, "recorded", look)
    with pytest.raises((KeyboardInterrupt, AttributeError)):
        tfssl.run(
            tiny_config(
                tmp_path / "run",
                mode=mode,
                checkpoint="none",
                **({"teacher": str(tmp_path)} if mode == "distill" else {}),
            )
        )


def test_a_refusal_leaves_nothing_behind(tmp_path):
    for place in ("new", os.path.join("new", "deep", "er")):
        with pytest.raises(UsageError, match="no"), rundir.lock(str(tmp_path / place)):
            raise UsageError("no")
        assert os.listdir(tmp_path) == []
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine").write_text("")
    with pytest.raises(UsageError, match="no"), rundir.lock(str(tmp_path / "there")):
        raise UsageError("no")
    assert os.listdir(tmp_path / "there") == ["mine"]


def test_what_another_process_has_put_there_meanwhile_stays(tmp_path):
    with pytest.raises(UsageError, match="no"), rundir.lock(str(tmp_path / "run")):
        (tmp_path / "run" / "notes").write_text("of the user")
        raise UsageError("no")
    assert os.listdir(tmp_path / "run") == ["notes"]


def test_a_lock_that_cannot_be_had_is_told(tmp_path, monkeypatch):
    (tmp_path / "lock").mkdir()
    with pytest.raises(UsageError, match=r"cannot be locked: lock in it .* \(Is a directory\)"):
        with rundir.lock(str(tmp_path)):
            pass
    (tmp_path / "lock").rmdir()

    def of_another_user(path, *_):
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(os, "open", of_another_user)
    monkeypatch.setattr(rundir, "make", lambda model_dir: None)
    with pytest.raises(UsageError, match=r"--model_dir=.* cannot be locked: .*Permission denied"):
        with rundir.lock(str(tmp_path)):
            pass


def test_a_disk_without_locks_is_trained_on_and_told_of(tmp_path, monkeypatch, capsys):
    def none(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with rundir.lock(str(tmp_path)):
        pass
    assert "WARNING: nothing keeps other processes from training" in capsys.readouterr().out


def test_a_lock_that_was_removed_in_between_is_taken_anew(tmp_path, monkeypatch):
    """Its holder, refused, takes it away after we have opened it."""
    flock, times = fcntl.flock, []

    def flock_late(file, how):
        flock(file, how)
        if not times:
            os.unlink(tmp_path / "lock")
        times.append(1)

    monkeypatch.setattr(fcntl, "flock", flock_late)
    with rundir.lock(str(tmp_path)):
        monkeypatch.setattr(fcntl, "flock", flock)
        with pytest.raises(UsageError, match="is in use"), rundir.lock(str(tmp_path)):
            pass
    assert len(times) == 2


def test_what_a_dead_process_was_writing_is_removed(tmp_path):
    dead, alive = 2**22 + 1, os.getppid()
    for name in (f"a.json.{dead}.tmp", f"a.json.{alive}.tmp", f"b.json.{dead}.tmp", "a.json.x.tmp"):
        (tmp_path / name).write_text("{")
    files.write_json(str(tmp_path), "a.json", {})
    assert sorted(os.listdir(tmp_path)) == sorted(
        ["a.json", f"a.json.{alive}.tmp", f"b.json.{dead}.tmp", "a.json.x.tmp"]
    )


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    (tmp_path / "a").write_text("before")
    with pytest.raises(KeyboardInterrupt):
        files.write_whole(str(tmp_path / "a"), interrupted)
    assert (tmp_path / "a").read_text() == "before" and os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("ending", ["", ".keras"])
def test_what_fails_leaves_no_file_and_no_directory(ending, tmp_path):
    for make in (os.mkdir, lambda path: open(path, "w").close()):
        with pytest.raises(KeyboardInterrupt):
            with files.whole(str(tmp_path / "saved"), ending) as unfinished:
                assert unfinished.endswith(ending)
                make(unfinished)
                raise KeyboardInterrupt
        assert os.listdir(tmp_path) == []
    with files.whole(str(tmp_path / "saved"), ending) as unfinished:
        os.mkdir(unfinished)
    assert os.listdir(tmp_path) == ["saved"]


@pytest.mark.parametrize(
    "name,told",
    [
        ("untrained.json", "is damaged"),
        ("time.json", "is damaged"),
        ("result_4.json", "holds a folder called result_4.json"),
        ("encoder.keras", "holds a folder called encoder.keras"),
    ],
)
def test_damage_is_told_before_anything_is_done(name, told, copied):
    (copied / "result.json").unlink()
    (copied / name).unlink()
    if told == "is damaged":
        (copied / name).write_text('{"train')
    else:
        (copied / name).mkdir()
    before = sorted(os.listdir(copied))
    for mode in ("pretrain", "eval"):
        with pytest.raises(UsageError, match=told):
            tfssl.run(tiny_config(copied, mode=mode))
    assert sorted(os.listdir(copied)) == before


@pytest.mark.parametrize("text", ["{}", '{"mode": "pretrain"}', "[]", "3"])
def test_a_record_that_lacks_settings_is_told_as_that(text, tmp_path):
    (tmp_path / "flags.json").write_text(text)
    with pytest.raises(UsageError, match="flags.json is not a record of this version of tfssl"):
        tfssl.run(tiny_config(tmp_path))


def interrupted(file):
    file.write(b"half of it")
    raise KeyboardInterrupt


def test_what_a_killed_process_left_is_removed_though_its_file_is_not_written_again(tmp_path):
    """Killed after the last checkpoint, a run has nothing more to say of its time."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    kept = [f"time.json.{os.getpid()}.tmp", "notes.txt", f"notes.{ended.pid}.tmp", "time.json"]
    left = [
        f"time.json.{ended.pid}.tmp",
        f"encoder.keras.{ended.pid}.tmp.keras",
        f"result_11.json.{ended.pid}.tmp",
    ]
    for name in kept + left:
        (tmp_path / name).write_text('{"train_seconds": 1, "images_per_second": 1}')
    with rundir.lock(str(tmp_path)):
        assert sorted(os.listdir(tmp_path)) == sorted([*kept, "lock"])
