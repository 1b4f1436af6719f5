"""scripts/views.py: the picture shows the operations in use, and needs no download."""

import importlib
import subprocess
import sys

import numpy as np
import pytest

from tests.helpers import ROOT


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
    originals, size = views.images(config, 3)
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


@pytest.mark.slow
@pytest.mark.ci
def test_the_command_writes_a_picture_and_refuses_in_one_sentence(tmp_path):
    pytest.importorskip("matplotlib")

    def run(*words):
        return subprocess.run(
            [sys.executable, "scripts/views.py", *words], cwd=ROOT, text=True, capture_output=True
        )

    path = tmp_path / "views.png"
    assert run("--images=2", "--image_size=16", f"--output={path}").returncode == 0
    assert path.read_bytes().startswith(b"\x89PNG")
    refused = run("--temperature=0")
    assert refused.returncode == 2 and refused.stderr.startswith("views.py: --temperature must be")
