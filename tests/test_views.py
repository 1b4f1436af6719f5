"""scripts/views.py: the picture shows the operations in use, and needs no download."""

import importlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.helpers import ROOT
from tfssl import UsageError


@pytest.fixture
def views(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    return importlib.import_module("views")


def names(views, *words):
    return [name for name, *_ in views.operations(views.settings(words), (24, 24))]


def test_what_is_off_is_not_shown_and_what_differs_is_shown_for_both_views(views):
    jitter = ["brightness", "contrast", "saturation", "hue", "colour jitter"]
    assert names(views) == ["crop", "flip", *jitter, "grayscale"]
    assert names(views, "--use_blur", "--color_jitter_strength=0", "--grayscale_p=0") == [
        "crop",
        "flip",
        "blur",
    ]
    assert names(views, "--method=byol") == [
        "crop",
        "flip",
        *jitter,
        "grayscale",
        "blur, view 1",
        "blur, view 2",
        "solarize, view 2",
    ]


def test_each_operation_does_what_its_heading_says(views):
    config = views.settings(["--image_size=24", "--color_jitter_strength=1", "--method=byol"])
    originals, config, size = views.images(config, 3)
    assert size == (24, 24) and len(originals) == 3
    found = {name: pictures for _, name, _, pictures in views.columns(config, originals, size)}
    plain = found.pop("image")
    assert all(np.ptp(picture, axis=-1).max() < 1e-3 for picture in found["grayscale"])
    assert all(
        np.array_equal(picture, image[:, ::-1]) for picture, image in zip(found["flip"], plain)
    )
    for name, pictures in found.items():
        assert len(pictures) == 3
        assert all(p.shape == (24, 24, 3) and p.min() >= 0 and p.max() <= 1 for p in pictures)
        assert not all(np.allclose(p, image) for p, image in zip(pictures, plain)), name


SIX = np.random.default_rng(0).integers(0, 256, (6, 20, 20, 6), np.uint8)


@pytest.mark.parametrize("kind", ["standard", "natural"])
def test_of_other_channels_colours_are_left_out_as_in_a_run(kind, views, tmp_path):
    np.savez(tmp_path / "tiles.npz", images=SIX)
    words = [f"--dataset={tmp_path / 'tiles.npz'}", "--image_size=16", f"--views={kind}"]
    originals, config, size = views.images(views.settings(words), 2)
    assert (config.channels, config.grayscale_p, config.jitter_hue) == (6, 0, 0)
    shown = [name for name, *_ in views.operations(config, size)]
    blur = ["blur"] if kind == "natural" else []
    assert shown == ["crop", "flip", "brightness", "contrast", "colour jitter", *blur]
    found = views.columns(config, originals, size)
    assert all(picture.shape == (16, 16, 6) for *_, pictures in found for picture in pictures)


def test_every_operation_of_a_kind_of_images_is_shown_with_its_settings(views):
    def shown(*words):
        found = views.operations(views.settings(words), (24, 24))
        return {name: about.split("\n") for name, about, _ in found}

    assert shown("--views=microscopy") == {
        "crop": ["always", "area 0.2 to 1"],
        "flip": ["p = 0.5", ""],
        "upside down": ["p = 0.5", ""],
        "quarter turns": ["always", ""],
        "levels": ["p = 0.8", "brightness 0.2", "contrast 0.4"],
        "channel drop": ["p = 0.2", "share 0.25"],
    }
    drawn = shown("--views=drawing")
    assert drawn["rotation"] == ["p = 0.8", "degrees 15"]
    assert drawn["elastic"] == ["p = 0.5", "displacement 0.05"]
    everything = [f"--{name}=0.5" for name in CHANCES]
    assert len(shown(*everything, "--use_blur")) == len(CHANCES) + 6


CHANCES = (
    *("flip_p", "grayscale_p", "blur_p", "solarize_p", "flip_up_down_p", "quarter_turns_p"),
    *("rotate_p", "elastic_p", "gamma_p", "levels_p", "noise_p", "speckle_p"),
    *("channel_dropout_p", "erase_p", "cutout_p"),
)


def said(views, capsys, monkeypatch, *words):
    """What the command says, which must not have come to the images."""
    monkeypatch.setattr(sys, "argv", ["views.py", *words])
    monkeypatch.setattr(views.sources, "load", None)
    assert views.main() == 2
    return capsys.readouterr().err


def test_what_is_wrong_is_said_before_images_are_read(views, tmp_path, capsys, monkeypatch):
    pytest.importorskip("matplotlib")
    there = tmp_path / "there.png"
    there.write_text("mine")
    for words, expected in (
        ([f"--output={there}"], f"--output must not exist yet. Received: {there}\n"),
        ([f"--output={there}/a.png"], "--output must be a path that can be written. Received: "),
        (["--output=a.txt"], "--output must end in one of "),
        (
            ["--views=medical_grey"],
            "--views must be one of standard, natural, small, grey_medical, ",
        ),
        (["--mode=finetune", "--checkpoint=none"], "--mode must be pretrain, "),
    ):
        words = [f"--output={tmp_path / 'new.png'}", *words]
        assert said(views, capsys, monkeypatch, *words).startswith(f"views.py: {expected}")
    assert there.read_text() == "mine"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "views.png").write_text("mine")
    assert "Received: none, which means views.png" in said(views, capsys, monkeypatch)


def test_an_older_picture_of_its_own_is_drawn_again(views, tmp_path):
    pytest.importorskip("matplotlib")
    path, fields = str(tmp_path / "views.png"), PngInfo()
    Image.new("RGB", (2, 2)).save(path)
    with pytest.raises(UsageError, match="--output must not exist yet"):
        views.writable(path)
    fields.add_text("Title", views.TITLE)
    Image.new("RGB", (2, 2)).save(path, pnginfo=fields)
    assert views.writable(path) == path


def test_directories_are_made(views, tmp_path):
    pytest.importorskip("matplotlib")
    path = str(tmp_path / "a" / "b" / "views.pdf")
    assert views.writable(path) == path and (tmp_path / "a" / "b").is_dir()


@pytest.mark.slow
def test_the_command_writes_a_picture_and_refuses_in_one_sentence(tmp_path):
    pytest.importorskip("matplotlib")

    def run(*words):
        return subprocess.run(
            [sys.executable, "scripts/views.py", *words], cwd=ROOT, text=True, capture_output=True
        )

    path = tmp_path / "views.png"
    assert run("--images=2", "--image_size=16", f"--output={path}").returncode == 0
    assert path.read_bytes().startswith(b"\x89PNG")
    assert run("--images=1", "--image_size=16", f"--output={path}").returncode == 0
    refused = run("--temperature=0")
    assert refused.returncode == 2 and refused.stderr.startswith("views.py: --temperature must be")
