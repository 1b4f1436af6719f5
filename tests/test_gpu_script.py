"""scripts/gpu/run.py: stages within a time limit, resumed, and reported whatever happens."""

import importlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.helpers import ROOT

GPU = ROOT / "scripts" / "gpu"
STEP = 0.001  # seconds that the steps of a worker below take


@pytest.fixture
def module(monkeypatch):
    """The modules of scripts/gpu, by name."""
    monkeypatch.syspath_prepend(GPU)
    return importlib.import_module


@pytest.fixture
def driver(module):
    spec = importlib.util.spec_from_file_location("gpu_run", GPU / "run.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.fixture
def carry_out(module, tmp_path):
    """A function: (Python code, options of a Task) -> why it is not done; see result.json."""
    stages = module("stages")

    def call(code, *, left=60.0, **options):
        task = stages.Task(
            "task", [sys.executable, "-c", code], str(tmp_path / "result.json"), **options
        )
        clock, log = stages.Clock(left / 60), str(tmp_path / "task.log")
        return stages.carry_out(task, clock, 0.0, log, {**os.environ, "OUT": str(tmp_path)})

    return call


WRITES = (
    "import os; open(os.environ['OUT'] + '/calls', 'a').write('x'); "
    "open(os.environ['OUT'] + '/result.json', 'w').write('{\"a\": 1}')"
)


def result(tmp_path):
    return json.loads((tmp_path / "result.json").read_text())


def test_what_is_done_is_not_done_again(carry_out, tmp_path, capsys):
    assert carry_out(WRITES) is None and carry_out(WRITES) is None
    assert (tmp_path / "calls").read_text() == "x" and result(tmp_path) == {"a": 1}
    assert "done by an earlier call" in capsys.readouterr().out


def test_what_failed_is_recorded_and_tried_again(carry_out, tmp_path):
    said = carry_out("import sys; print('first'); sys.exit('no such thing')")
    assert said == "ended with exit code 1: no such thing"
    assert result(tmp_path) == {"failed": said}
    assert carry_out(WRITES) is None and result(tmp_path) == {"a": 1}


def test_no_result_is_a_failure(carry_out):
    assert carry_out("print('well')") == "it ended without a result"


def test_the_time_limit_ends_a_task_and_its_children(carry_out, tmp_path):
    code = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "open(os.environ['OUT'] + '/child', 'w').write(str(child.pid))\n"
        "print('at the child', flush=True); time.sleep(60)"
    )
    began = time.monotonic()
    assert carry_out(code, most=1.0) == "cut off after 1 s, at: at the child"
    assert time.monotonic() - began < 10
    with pytest.raises(ProcessLookupError):
        for _ in range(50):  # until whoever adopts it has taken note
            os.kill(int((tmp_path / "child").read_text()), 0)
            time.sleep(0.1)


def test_a_task_may_save_before_it_is_killed(carry_out, tmp_path):
    code = (
        "import os, signal, sys, time\n"
        f"def save(*_):\n    {WRITES}\n    sys.exit(3)\n"
        "signal.signal(signal.SIGTERM, save); time.sleep(60)"
    )
    assert carry_out(code, most=1.0).startswith("cut off")
    assert result(tmp_path)["a"] == 1


def test_a_task_is_not_begun_without_its_least_time(carry_out, tmp_path):
    said = carry_out(WRITES, left=20.0, least=30.0)
    assert said == "not begun: it needs 30 s, and 15 s are left for it"
    assert not (tmp_path / "calls").exists() and not (tmp_path / "result.json").exists()


@pytest.mark.parametrize(
    "words,said",
    [
        (["--data_dir={tmp}/nowhere"], "--data_dir must hold CIFAR-10"),
        ([], "--data_dir must say where CIFAR-10 is"),
        (["--toy", "--stages=doctor,other"], "--stages must be of machine, doctor"),
        (["--toy", "--minutes=0"], "--minutes must be 1 or more"),
    ],
)
def test_what_cannot_work_is_refused_at_once(words, said, tmp_path):
    words = [word.replace("{tmp}", str(tmp_path)) for word in words]
    done = subprocess.run(
        [sys.executable, GPU / "run.py", f"--out={tmp_path / 'out'}", *words],
        capture_output=True,
        text=True,
        timeout=10,
    )
    assert done.returncode == 2 and not done.stdout and not (tmp_path / "out").exists()
    assert done.stderr.startswith(f"run.py: {said}") and done.stderr.count("\n") == 1


def test_a_users_own_flags_of_autotuning_are_kept(driver, monkeypatch, tmp_path):
    options = driver.parsed([f"--out={tmp_path}"])
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=x")
    flags = driver.environment(options, options.xla_flags)["XLA_FLAGS"]
    assert flags.startswith("--xla_dump_to=x --xla_gpu_autotune_level=2 ")
    assert flags.endswith(f"={tmp_path}/autotune")
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_autotune_level=4")
    flags = driver.environment(options, options.xla_flags)["XLA_FLAGS"]
    assert flags == "--xla_gpu_autotune_level=4"


def test_the_rows_are_those_of_table_3_without_the_headlines(driver):
    points = driver.grid()
    assert len(points) == 31 and driver.POINT not in points
    assert [point["train_batch_size"] for point in points] == 15 * [1024] + 16 * [512]


def test_the_headline_is_the_thesiss_run(driver, tmp_path):
    from tfssl.runner import parser

    (task,) = driver.headline(driver.parsed([f"--out={tmp_path}", "--data_dir=/data"]))
    config, _ = parser.parse(task.command[1:])
    assert (config.train_batch_size, config.train_epochs, config.resnet_depth) == (1024, 100, 18)
    assert (config.temperature, config.color_jitter_strength) == (0.25, 0.75)
    assert (config.optimizer, config.dataset, config.use_blur) == ("lars", "cifar10", False)


WORKERS = {
    "tfssl whole": f"""
import json, sys
print("a word of a library")
print(json.dumps({{"ready": True, "first": 1.0, "device": "D", "version": "1"}}), flush=True)
for line in sys.stdin:
    print(json.dumps({{"seconds": int(line) * {STEP}, "peak_bytes": 2**30}}), flush=True)
""",
    "torch eager": "import sys; sys.exit('torch.OutOfMemoryError: CUDA out of memory.')",
    "torch compile": "import sys; sys.exit('no compiler')",
}


def test_workers_take_turns_and_their_failures_are_told_apart(module, monkeypatch, tmp_path):
    turns = module("turns")
    commands = {name: [sys.executable, "-c", code] for name, code in WORKERS.items()}
    monkeypatch.setattr(turns, "commands", lambda _: commands)
    words = ["--batch=8", f"--logs={tmp_path}", "--turn=0.005", "--rounds=4", "--seconds=100"]
    monkeypatch.setattr(sys, "argv", ["turns.py", str(tmp_path / "result.json"), *words])
    turns.main()
    found = result(tmp_path)
    assert found["failed"] == "torch compile: it ended with exit code 1: no compiler"
    good = found["workers"]["tfssl whole"]
    assert good["images_per_second"] == pytest.approx(8 / STEP) and len(good["rounds"]) == 4
    assert good["peak_bytes"] == 2**30 and not good["alone"]
    assert found["workers"]["torch eager"] == {"fits": False, "alone": True}


def test_a_worker_that_does_not_answer_is_not_waited_for(module, tmp_path):
    turns = module("turns")
    silent = [sys.executable, "-c", "import time; time.sleep(60)"]
    worker = turns.Worker("torch eager", silent, str(tmp_path / "log"))
    worker.attempt(lambda worker: worker.start(time.monotonic() + 0.5))
    assert worker.failed.startswith("it gave no answer within") and worker.process.poll()


def test_the_report_compares_with_the_best_and_says_what_is_missing(module, tmp_path):
    report = module("report")

    def row(rate):
        return {
            "images_per_second": rate,
            "peak_bytes": 3 * 2**29,
            "alone": False,
            "rounds": [1, 1],
            "device": "D",
        }

    size = {"depth": 18, "batch": 1024}
    rows = {"tfssl xla": row(3000.0), "tfssl whole": row(1500.0), "torch eager": row(1000.0)}
    rows["torch compile"] = row(2000.0)
    for name, workers in (
        ("steps-18-1024", rows),
        ("steps-18-256", {"tfssl xla": {"fits": False, "alone": True}, "torch eager": row(5.0)}),
    ):
        (tmp_path / f"{name}.json").write_text(json.dumps({**size, "workers": workers}))
    bad = {"name": "dense", "passed": False, "failed": None, "error": 2.0, "bound": 1.0}
    (tmp_path / "doctor.json").write_text(json.dumps({"checks": [bad, {"passed": True}]}))
    text = report.text(str(tmp_path), {"headline": "cut off after 3 s"})
    assert "| 3,000 (1.5 GiB) | 1,500 (1.5 GiB) | 1,000 (1.5 GiB) | 2,000 (1.5 GiB) |" in text
    assert "| 1.50 | 0.75 |" in text and "| did not fit |" in text
    assert text.index("did not fit") < text.index("3,000")  # 256 before 1024
    assert "2 checks, 1 passed, 1 failed." in text and "- dense: error 2.0 above 1.0" in text
    assert "- headline: cut off after 3 s" in text


def test_pauses_between_calls_are_not_minutes_of_training(module):
    minutes = module("report").minutes
    assert minutes([0, 60, 66, 72, 7200, 7206]) == pytest.approx([1, 1.1, 1.2, 1.3, 1.4])


def test_a_check_in_which_the_process_died_is_passed_over(module, monkeypatch, tmp_path):
    numerics, path = module("numerics"), tmp_path / "result.json"
    checks = [type("Check", (), {"name": name}) for name in "ab"]
    monkeypatch.setattr(numerics.doctor, "checks", lambda **_: checks)
    outcome = {"passed": True, "error": 0.0, "bound": 1.0}
    monkeypatch.setattr(numerics, "outcome", lambda check: {"name": check.name, **outcome})
    monkeypatch.setattr(sys, "argv", ["numerics.py", str(path)])
    path.write_text(json.dumps({"checks": [], "running": "a", "failed": "it is not over"}))
    numerics.main()
    first, second = result(tmp_path)["checks"]
    assert first["failed"] == "the process died in it" and not first["passed"]
    assert second["passed"] and "failed" not in result(tmp_path)


# The whole, at toy size -------------------------------------------------------------------------

# A Python whose PyTorch can be imported, and whose training steps end with exit code 1.
BROKEN = """#!/bin/sh
if [ "$1" = -c ]; then
    echo '{"torch": "0", "torchvision": "0", "cuda": null, "gpu": false}'
else
    echo 'no kernel image' >&2; exit 1
fi
"""


def call(out, *words):
    return [sys.executable, str(GPU / "run.py"), "--toy", f"--out={out}", *words]


def finished(out, *words):
    return subprocess.run(
        call(out, *words), capture_output=True, text=True, timeout=400, cwd=ROOT.parent
    )


@pytest.mark.slow
def test_from_start_to_end_with_a_broken_pytorch_and_again_without(tmp_path):
    pytest.importorskip("matplotlib")
    out, broken = tmp_path / "out", tmp_path / "python"
    broken.write_text(BROKEN)
    broken.chmod(0o755)
    done = finished(out, f"--torch_python={broken}")
    said = "it ended with exit code 1: no kernel image"
    assert done.returncode == 1, done.stdout + done.stderr
    steps = json.loads((out / "steps-18-16.json").read_text())
    assert steps["failed"] == f"torch eager: {said}; torch compile: {said}"
    assert steps["workers"]["tfssl xla"]["images_per_second"] > 0
    text = (out / "report.md").read_text()
    assert text in done.stdout and "8 checks, 8 passed" in text and "| failed | failed |" in text
    assert (out / "curves.png").stat().st_size > 1000
    headline = json.loads((out / "headline.json").read_text())
    assert headline["first_step_s"] < headline["wall_s"] and "knn_20" in headline["accuracy"]
    rows = list(out.glob("table3-*.json"))
    assert len(rows) == 1 and "accuracy" in json.loads(rows[0].read_text())

    kept = {path: path.read_bytes() for path in out.glob("*.json") if path.stem != "machine"}
    again = finished(out, f"--torch_python={tmp_path}/nowhere")
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.count("done by an earlier call") == 3
    assert "PyTorch's columns are left out: there is no program" in again.stdout
    changed = [path.stem for path, content in kept.items() if path.read_bytes() != content]
    assert changed == ["steps-18-16"] and "failed" not in steps_of(out)


def steps_of(out):
    return json.loads((out / "steps-18-16.json").read_text())


def wait_for(process, log, text, seconds=120):
    until = time.monotonic() + seconds
    while not (log.exists() and text in log.read_text()):
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.1)


@pytest.mark.slow
def test_a_run_that_is_stopped_reports_and_continues(tmp_path):
    out = tmp_path / "out"
    words = call(out, "--stages=headline", "--torch_python=none")
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        wait_for(process, out / "logs" / "headline.log", "/17 steps")
        process.send_signal(signal.SIGTERM)
        stdout, _ = process.communicate(timeout=90)
    assert process.returncode == 143 and "stopped by SIGTERM" in stdout
    assert "- headline: stopped by a signal" in (out / "report.md").read_text()
    done = finished(out, "--stages=headline", "--torch_python=none")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((out / "headline.json").read_text())["accuracy"]


@pytest.mark.slow
def test_a_minute_is_a_minute(tmp_path):
    began = time.monotonic()
    done = finished(tmp_path, "--minutes=1", "--torch_python=none", "--stages=headline,doctor")
    assert time.monotonic() - began < 63 and done.returncode in (0, 1)
    assert "- doctor: not begun: it needs 30 s" in (tmp_path / "report.md").read_text()
