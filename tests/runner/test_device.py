"""What --precision=auto chooses."""

import pytest
import tensorflow as tf

from tfssl.runner import device


@pytest.fixture
def machine(monkeypatch):
    """A machine with these processor flags, and a GPU of this compute capability or none."""

    def made(flags="", capability=None):
        gpus = [] if capability is None else ["GPU"]
        monkeypatch.setattr(device, "processor_flags", flags.split)
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
        monkeypatch.setattr(
            tf.config.experimental,
            "get_device_details",
            lambda gpu: {"compute_capability": capability},
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
        ((7, 5), 1.0, "float32"),
    ],
)
def test_a_gpu_takes_bfloat16_from_ampere_on_at_every_width(machine, capability, width, chosen):
    machine("amx_bf16", capability)
    assert device.resolve_precision("auto", width) == chosen


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_what_is_named_is_taken(machine, precision):
    machine("amx_bf16")
    assert device.resolve_precision(precision, 0.125) == precision
