"""--mode=doctor: what it says, writes, and ends with."""

import json
import subprocess
import sys

import numpy as np
import pytest

import tfssl
from tests.helpers import ROOT
from tfssl import Config, UsageError
from tfssl.doctor import Check, machine, speed
from tfssl.doctor.speed import Rate
from tfssl.runner import doctor

ONE = {"one": np.ones(3)}
GOOD = Check("good", "loss", lambda: ONE, lambda: ONE, 1e-3)
WRONG = Check("wrong", "loss", lambda: {"one": 1.01 * np.ones(3)}, lambda: ONE, 1e-3)
BROKEN = Check("broken", "loss", lambda: 1 / 0, lambda: ONE, 1e-3)


@pytest.fixture
def quick(monkeypatch):
    """The doctor with these checks, and without measuring."""

    def made(*checks):
        monkeypatch.setattr(doctor.catalogue, "checks", lambda **_: list(checks))
        step = Rate("training step", "float32", 1e12, 100.0, 1e6, 0.0)
        monkeypatch.setattr(speed, "product", lambda dtype: Rate("product", dtype, 2e12))
        monkeypatch.setattr(speed, "convolution", lambda dtype, *_: Rate("conv", dtype, 1e12))
        monkeypatch.setattr(speed, "step", lambda *_: step)
        monkeypatch.setattr(doctor, "durations", lambda rates: {"a recipe": 90.0})
        monkeypatch.setattr(speed, "pipeline", lambda: Rate("pipeline", "float32", images=500.0))

    return made


def run(tmp_path, **settings):
    found = tfssl.run(Config(mode="doctor", output=str(tmp_path / "found.json"), **settings))
    written = json.loads((tmp_path / "found.json").read_text())
    assert written["verdict"] == found["verdict"]
    return written


def test_a_machine_that_computes_rightly(quick, tmp_path, capsys):
    quick(GOOD, GOOD)
    found = run(tmp_path, precision="float32")
    assert found["exit_code"] == 0
    assert [check["passed"] for check in found["checks"]] == [True, True]
    assert found["precision"] == {"policy": "float32", "why": "as asked"}
    step = found["speed"][-2]
    assert step["of_product"] == 0.5  # 1 of 2 TFLOP/s
    assert step["largest_batch"] & (step["largest_batch"] - 1) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == found["verdict"] and said[-1].startswith("all 2 checks passed on ")


@pytest.mark.parametrize("check", [WRONG, BROKEN], ids=lambda check: check.name)
def test_a_failed_check_is_the_last_line_and_the_exit_code(quick, check, tmp_path, capsys):
    quick(GOOD, check, GOOD)
    found = run(tmp_path)
    assert found["exit_code"] == 1
    assert f"1 of 3 checks FAILED on {machine.processor_name()} ({check.name})" in found["verdict"]
    assert "FAILED" in capsys.readouterr().out
    assert [check["passed"] for check in found["checks"]] == [True, False, True]
    assert (found["checks"][1]["failed"] or "").startswith(
        "ZeroDivisionError" if check is BROKEN else ""
    )


def test_a_gpu_that_is_not_used_is_a_warning_of_its_own_code(quick, tmp_path, monkeypatch, capsys):
    quick(GOOD)
    monkeypatch.setattr(machine, "warnings", lambda: ["the driver sleeps: wake it"])
    found = run(tmp_path)
    assert found["exit_code"] == 3
    assert found["verdict"].endswith("but a GPU is not used: the driver sleeps: wake it")
    assert "WARNING: the driver sleeps: wake it" in capsys.readouterr().out


def test_the_time_of_a_recipe_follows_from_the_step():
    """The thesis's ResNet-18: 100 epochs of 50,000 images, 3.33 GFLOP a view, at 1 TFLOP/s."""
    recipes = doctor.durations([{"images": 0, "flops": 9e12}, {"images": 100.0, "flops": 1e12}])
    seconds = recipes["CIFAR-10, the thesis's ResNet-18"]
    assert seconds == pytest.approx(100 * 50_000 * 2 * 3.33e9 / 1e12, rel=0.01)


def test_other_work_on_the_machine_is_said(quick, tmp_path, monkeypatch, capsys):
    quick(GOOD)
    monkeypatch.setattr(doctor.os, "getloadavg", lambda: (50.0, 1.0, 1.0))
    run(tmp_path)
    assert "other work (load 50.0) was slowing this machine" in capsys.readouterr().out


def test_the_file_must_have_a_place(tmp_path):
    with pytest.raises(UsageError, match="--output must be a file in an existing directory"):
        tfssl.run(Config(mode="doctor", output=str(tmp_path / "missing" / "doctor.json")))


def test_a_directory_that_cannot_be_written_is_refused_at_once(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: False)
    with pytest.raises(UsageError, match="--output must be in a directory to write to"):
        tfssl.run(Config(mode="doctor", output=str(tmp_path / "doctor.json")))


@pytest.mark.parametrize(
    "seen, there, why",
    [(1, True, None), (0, False, None), (0, True, "nvidia-smi gives no answer")],
)
def test_a_gpu_that_tensorflow_does_not_see_has_a_reason(monkeypatch, seen, there, why):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(machine, "driver", lambda: None)
    monkeypatch.setattr(machine.tf.sysconfig, "get_build_info", lambda: {"is_cuda_build": True})
    found = machine.warnings(seen, there)
    assert found == [] if why is None else why in found[0]


def test_the_driver_is_what_nvidia_smi_says(monkeypatch):
    said = (
        "<nvidia_smi_log><driver_version>580.159.04</driver_version><gpu>"
        "<fb_memory_usage><total>81559 MiB</total></fb_memory_usage></gpu></nvidia_smi_log>"
    )
    monkeypatch.setattr(machine.shutil, "which", lambda name: name)
    done = subprocess.CompletedProcess([], 0, stdout=said)
    monkeypatch.setattr(machine.subprocess, "run", lambda *_, **__: done)
    assert machine.driver() == {"driver": "580.159.04", "memory": "81559 MiB"}
    done.stdout = "Failed to initialize NVML"
    assert machine.driver() is None


def test_missing_libraries_are_named_with_the_way_to_get_them(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(machine, "driver", lambda: {"driver": "580", "memory": "80 GiB"})
    monkeypatch.setattr(machine.tf.sysconfig, "get_build_info", lambda: {"is_cuda_build": True})
    monkeypatch.setattr(machine, "loads", lambda library: library != "libcudnn.so.9")
    (why,) = machine.warnings(0, True)
    assert "does not find libcudnn.so.9: pip install 'tensorflow[and-cuda]'" in why
    monkeypatch.setattr(machine.tf.sysconfig, "get_build_info", lambda: {"is_cuda_build": False})
    assert "built without CUDA" in machine.warnings(0, True)[0]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "CUDA_VISIBLE_DEVICES hides the GPU" in machine.warnings(0, True)[0]


def test_speeds_are_those_of_the_operations_that_are_counted():
    """A product of 2 n^3 operations; ResNet-18 has 0.555 GFLOP multiply-adds a view at 32 px."""
    from tfssl import encoders

    rate = speed.product("float32", size=64, calls=2)
    assert rate.flops > 0 and rate.dtype == "float32"
    assert speed.flops_of(encoders.resnet(18, stem="cifar"), 32) == pytest.approx(3.33e9, rel=0.01)
    assert speed.convolution("float32", 16, 8, batch=2).flops > 0


def test_the_largest_batch_fits_into_what_is_left(monkeypatch):
    monkeypatch.setattr(speed, "memory_limit", lambda: 1000.0)
    assert speed.largest_batch(Rate("", "", bytes_per_image=10.0, rest=200.0)) == 64  # 72 fit
    assert speed.largest_batch(Rate("", "", bytes_per_image=900.0)) == 1
    assert speed.largest_batch(Rate("", "", bytes_per_image=9000.0)) == 0


@pytest.mark.slow
def test_a_step_and_its_memory_are_measured():
    rate = speed.step("float32", False, batch=4)
    assert rate.images > 0 and rate.flops == pytest.approx(rate.images * 2 * 3.33e9, rel=0.01)
    assert rate.bytes_per_image > 4 * 32 * 32 * 64  # of a single feature map, at least


@pytest.mark.slow
def test_from_the_command_line_it_passes_here_and_says_so(tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "run.py"), "doctor"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "doctor.json").read_text())
    assert done.stdout.splitlines()[-1] == found["verdict"]
    assert len(found["checks"]) > 40 and all(check["passed"] for check in found["checks"])
    assert found["speed"][-2]["images"] > 1 and found["speed"][-1]["images"] > 100
