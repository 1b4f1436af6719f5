"""What is chosen for a device: precision, XLA, where images are held and augmented."""

import json

import pytest
import tensorflow as tf

import tfssl
from tests.helpers import run_given, run_until_killed, tiny_config
from tfssl import Config, UsageError
from tfssl.runner import device


@pytest.fixture
def machine(monkeypatch):
    """A machine with these processor flags, and a GPU of this compute capability or none."""

    def made(flags="", capability=None):
        gpus = [] if capability is None else ["GPU"]
        monkeypatch.setattr(device.machine, "processor_flags", flags.split)
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
        monkeypatch.setattr(
            tf.config.experimental,
            "get_device_details",
            lambda gpu: {"device_name": "a GPU", "compute_capability": capability},
        )

    return made


@pytest.mark.parametrize(
    "flags, width, chosen",
    [
        ("avx512f avx512_bf16", 1.0, "mixed_bfloat16"),
        ("amx_bf16 amx_tile", 0.5, "mixed_bfloat16"),
        ("avx512f avx512_bf16", 0.25, "mixed_bfloat16"),
        ("avx512f avx512_bf16", 0.2, "float32"),
        ("amx_bf16", 0.125, "float32"),
        ("avx2 avx512f", 1.0, "float32"),
        ("", 0.125, "float32"),
    ],
)
def test_a_processor_takes_bfloat16_where_it_computes_in_it_and_channels_are_enough(
    machine, flags, width, chosen
):
    machine(flags)
    assert device.resolve_precision("auto", width) == chosen


@pytest.mark.parametrize(
    "capability, width, chosen",
    [
        ((9, 0), 1.0, "mixed_bfloat16"),
        ((8, 0), 0.125, "mixed_bfloat16"),
        ((7, 5), 1.0, "mixed_float16"),
        ((6, 1), 1.0, "float32"),
    ],
)
def test_a_gpu_takes_what_its_tensor_cores_compute_in(machine, capability, width, chosen):
    machine("amx_bf16", capability)
    assert device.resolve_precision("auto", width) == chosen


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_what_is_named_is_taken(machine, precision):
    machine("amx_bf16")
    assert device.resolve_precision(precision, 0.125) == precision


def test_a_processor_augments_beside_the_training_and_a_gpu_within_it(machine):
    machine("amx_bf16")
    config = device.choose(Config())
    assert (config.augment_on, config.jit_compile, config.steps_per_execution) == ("host", "off", 1)
    machine("amx_bf16", (9, 0))
    config = device.choose(Config())
    assert (config.augment_on, config.jit_compile, config.steps_per_execution) == (
        *("device", "on"),
        0,  # by time
    )


def test_xla_is_left_out_of_trainings_that_end_before_it_has_paid(machine):
    machine("", (9, 0))
    assert device.choose(Config(), steps=device.LONG - 1).jit_compile == "off"
    assert device.choose(Config(), steps=device.LONG).jit_compile == "on"
    assert device.choose(Config(jit_compile="on"), steps=1).jit_compile == "on"


def test_xla_and_calls_by_time_are_for_a_single_device(machine):
    """XLA cannot compile what replicas exchange; several workers have clocks of their own."""
    machine("", (9, 0))
    config = device.choose(Config(), replicas=2)
    assert (config.jit_compile, config.steps_per_execution) == ("off", 1)
    with pytest.raises(UsageError, match="--jit_compile=on needs a single device. Received: 2"):
        device.choose(Config(jit_compile="on"), replicas=2)


def test_what_is_asked_for_is_not_chosen(machine):
    machine("amx_bf16", (9, 0))
    asked = dict(augment_on="host", jit_compile="off", steps_per_execution=3)
    assert device.choose(Config(**asked)).to_dict() == Config(**asked).to_dict()


def test_a_recipe_of_a_plug_in_stays_on_the_processor(machine):
    """Its operations may be none that XLA, or a GPU, knows."""
    machine("amx_bf16", (9, 0))
    assert device.choose(Config(views="mine", plugin="mine.py")).augment_on == "host"


def test_images_are_held_where_they_take_a_quarter_of_the_memory_at_most(machine, monkeypatch):
    machine()
    assert device.holder(10**15) == "CPU:0"  # where they are anyway
    machine("", (9, 0))
    monkeypatch.setattr(device.compat, "gpu_memory", lambda: 1000)
    assert device.holder(250) == "GPU:0"
    assert device.holder(251) is None


@pytest.mark.slow
def test_a_run_goes_on_with_what_was_chosen_at_its_start(tmp_path, monkeypatch):
    """It starts as on a GPU and goes on where there is none, with equal settings and images."""
    settings = dict(train_steps=4, mode="train", train_mode="pretrain", checkpoint_steps=2)

    def as_on_a_gpu(config, *_):
        return config.replace(augment_on="device", jit_compile="off")

    with monkeypatch.context() as patch:
        patch.setattr(device, "choose", as_on_a_gpu)
        run_until_killed(lambda: tfssl.run(tiny_config(tmp_path / "a", **settings)), at_step=3)
    tfssl.run(tiny_config(tmp_path / "a", **settings))
    recorded = json.loads((tmp_path / "a" / "flags.json").read_text())
    assert recorded["augment_on"] == "device"
    with pytest.raises(UsageError, match="--augment_on=host .there device"):
        run_given(**tiny_config(tmp_path / "a", **settings, augment_on="host").to_dict())
