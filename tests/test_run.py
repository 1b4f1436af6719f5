"""The front door, as a user meets it: exit codes, one-sentence refusals, the fast help."""

import subprocess
import sys

import pytest

import run as program
from tests.helpers import ROOT, TINY_FLAGS, run_process
from tfssl import loading


def run(*args, **options):
    return run_process("run.py", *args, **options)


def test_help_does_not_load_tensorflow():
    code = (
        "import sys, run\n"
        "assert run.main(['run.py', '--help']) == 0\n"
        "assert run.main(['run.py', '--temperature=0']) == 2\n"
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--color_jitter_strength" in done.stdout


def test_a_reader_who_has_seen_enough_gets_no_traceback():
    """`python run.py --help | head -1`: the pipe is closed before all is written."""
    command = f"'{sys.executable}' -c 'import run, sys; sys.exit(run.main([\"run.py\", \"-h\"]))'"
    done = subprocess.run(
        ["bash", "-c", f"{command} | head -1"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.startswith("usage:") and not done.stderr


@pytest.mark.parametrize(
    "line,said",
    [
        ("--no_such_flag=1", "no_such_flag"),
        ("--mode=dream", "--mode"),
        ("--temperature=0", "--temperature must be a number above 0. Received: 0.0"),
        ("--train_batch_size=1", "--train_batch_size must be an integer of at least 2"),
    ],
)
def test_bad_flags_exit_with_2_and_one_line(line, said):
    done = run(*line.split(), code=2)
    assert said in done.stderr and done.stderr.count("\n") == 1 and not done.stdout


@pytest.mark.parametrize(
    "args,said",
    [
        (["--dataset=no_such_dataset"], "--dataset"),
        (["--train_batch_size=100"], "--train_batch_size must be at most 64"),
        (["--model_dir=run.py/x"], "--model_dir"),
    ],
)
def test_refusals_that_need_the_data_have_no_traceback(args, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    words = [*TINY_FLAGS, f"--model_dir={tmp_path / 'run'}", *args]
    assert program.main(["run.py", *words]) == 2
    err = capsys.readouterr().err
    last = err.strip().splitlines()[-1]
    assert last.startswith("run.py: ") and said in last and "Traceback" not in err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_dataset_that_cannot_be_had_names_the_ways_out(tmp_path):
    """No network (every proxy points nowhere): --data_dir and --dataset=shapes are named."""
    nowhere = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy")}
    done = run(
        "--dataset=mnist",
        f"--data_dir={tmp_path / 'data'}",
        f"--model_dir={tmp_path / 'run'}",
        code=2,
        env=nowhere,
    )
    last = done.stderr.strip().splitlines()[-1]
    assert "no connection to" in last and "--data_dir" in last and "--dataset=shapes" in last
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.ci
def test_the_whole_job_and_its_replay(tmp_path, capsys):
    """The first in a process of its own, which says nothing on standard error.

    Its flags that cannot be honoured are told in one line.
    """
    first, again = tmp_path / "first", tmp_path / "again"
    ignored = ["--tpu_zone=there", "--keep_hub_module_max=3"]
    done = run(*TINY_FLAGS, *ignored, f"--model_dir={first}")
    assert not done.stderr or loading.accelerated()
    for words in ("untrained", "pretrained", "kNN, k = 5", "images/s", "tensorboard --logdir"):
        assert words in done.stdout
    lines = [line for line in done.stdout.splitlines() if "--tpu_zone" in line]
    assert len(lines) == 1 and "--keep_hub_module_max" in lines[0]
    replay = ["run.py", f"--flagfile={first / 'flags.flags'}", f"--model_dir={again}"]
    assert program.main(replay) == 0
    results = [(d / "untrained.json").read_text() for d in (first, again)]
    assert results[0] == results[1]
    capsys.readouterr()
    assert program.main(["run.py", *TINY_FLAGS, f"--model_dir={first}"]) == 0
    assert "finished" in capsys.readouterr().out


@pytest.mark.slow
def test_real_cifar10_with_resnet_50_and_blur(real_data_dir, tmp_path):
    done = run(
        "--mode=pretrain",
        "--resnet_depth=50",
        "--use_blur",
        f"--data_dir={real_data_dir}",
        "--train_steps=2",
        "--train_batch_size=16",
        "--noeval_baseline",
        "--nolinear_probe",
        "--knn_k=",
        "--eval_steps=1",
        f"--model_dir={tmp_path}",
    )
    assert "online linear head" in done.stdout
