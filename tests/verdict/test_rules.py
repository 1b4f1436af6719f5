"""The rules on histories whose verdict is known."""

import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf

from tfssl.losses import nt_xent
from tfssl.verdict import BROKEN, KINDS, Facts, Point, Verdict, judge
from tfssl.verdict.rules import change_of, least_loss

FACTS = Facts(
    images=512, ceiling=5.54, temperature=0.2, moving=True, pixel_retrieval=0.06, pixel_rank=0.25
)


def points(ranks=(0.32, 0.27, 0.19, 0.15, 0.13, 0.12, 0.119), **last):
    """A training that learns; what its last point has instead."""
    made = [
        Point(
            32 * number,
            loss=10.0 - number if number else math.nan,
            z_std=0.9 if number else math.nan,
            loss_of_views=10.0 - number,
            infonce_bound=0.2 * number,
            view_retrieval=0.02 + 0.02 * number,
            view_rank=rank,
            effective_rank=2.4 if not number else 20.0,
            uniformity=-0.02 if not number else -0.8,
            alignment=0.2,
            neighbours_kept=0.8,
        )
        for number, rank in enumerate(ranks)
    ]
    return [*made[:-1], dataclasses.replace(made[-1], **last)]


SOUND = {
    "levels off": (points((0.32, 0.2, 0.13, 0.121, 0.12, 0.12, 0.12)), "levelled_off"),
    "still falls": (points((0.32, 0.3, 0.28, 0.25, 0.22, 0.18, 0.14)), "improving"),
    "between": (points((0.32, 0.27, 0.19, 0.15, 0.131, 0.125, 0.124)), "learning"),
    "of two epochs": (points((0.32, 0.27, 0.19)), "improving"),
    "before it begins": (points((0.32,)), "learning"),
    "good from the start": (points((0.03, 0.03, 0.029, 0.029), view_retrieval=0.8), "learning"),
    "continued without its first points": (points()[3:], "learning"),
}


@pytest.mark.parametrize("made,kind", SOUND.values(), ids=SOUND)
def test_sound_trainings(made, kind):
    found = judge(made, FACTS)
    assert (found.kind, found.step, found.broken) == (kind, made[-1].step, False)
    assert found.why.endswith(".")


@pytest.mark.parametrize("held_out,which", [(True, "held-out"), (False, "training")])
@pytest.mark.parametrize("compared", [True, False])
def test_the_words_say_of_which_images_the_measures_are(held_out, which, compared):
    found = judge(points(), dataclasses.replace(FACTS, held_out=held_out, compared=compared))
    assert f"f {which} images" in found.why


FAULTS = {
    "loss": ({"loss": math.nan, "view_rank": math.nan}, {}, "diverging"),
    "grown": ({"loss": 25.0}, {}, "diverging"),
    "flat": ({}, {"flat": 0.9}, "unusable"),
    "flat and not finite": ({"view_rank": math.nan}, {"flat": 0.9}, "unusable"),
    "one class": ({}, {"classes": 1, "of_classes": 4}, "unusable"),
    "duplicates": ({"view_rank": 0.016, "view_retrieval": 0.05}, {}, "unusable"),
    "frozen": ({}, {"trainable": False}, "not_learning"),
    "warm": ({}, {"temperature": 6.0}, "not_learning"),
    "unrelated": ({"view_rank": 0.49}, {}, "not_learning"),
    "unsettled": ({"uniformity": -1e-4, "view_rank": 0.5}, {}, "not_learning"),
    "no better": ({"view_rank": 0.31}, {}, "not_learning"),
    "spread": ({"z_std": 0.01, "view_rank": 0.5}, {}, "collapsing"),
    "rank": ({"effective_rank": 1.05}, {}, "collapsing"),
    "identical": ({}, {"identical": 1.0}, "too_easy"),
    "pixels": ({}, {"pixel_retrieval": 0.95}, "too_easy"),
    "bound": ({"infonce_bound": 5.2}, {}, "starved"),
}


@pytest.mark.parametrize("last,facts,kind", FAULTS.values(), ids=FAULTS)
def test_what_is_broken_is_told_with_numbers_and_advice(last, facts, kind):
    found = judge(points(**last), dataclasses.replace(FACTS, **facts))
    assert found.kind == kind and found.broken == (kind in BROKEN)
    assert found.why.endswith(".") and found.advice.endswith(".")
    assert str(found) == f"{kind.replace('_', ' ')}: {found.why} {found.advice}"


def test_a_training_that_goes_on_is_not_told_to_be_longer():
    made, _ = SOUND["still falls"]
    for total, advice in ((192, "Train for twice as long."), (193, ""), (None, "Train for twice")):
        found = judge(made, dataclasses.replace(FACTS, total_steps=total))
        assert found.kind == "improving" and found.advice.startswith(advice)
        assert bool(found.advice) == bool(advice)


def test_flat_images_from_which_views_are_found_are_drawings():
    flat = dataclasses.replace(FACTS, flat=1.0)
    assert not judge(points(view_rank=0.09), flat).broken


def test_a_folder_of_one_class_is_well():
    assert not judge(points(), dataclasses.replace(FACTS, classes=1, of_classes=1)).broken


def test_every_kind_is_met():
    assert {kind for _, kind in SOUND.values()} | {kind for *_, kind in FAULTS.values()} == set(
        KINDS
    )


def test_without_a_point_there_is_no_verdict():
    with pytest.raises(ValueError, match="`points` must hold at least one point. Received: none"):
        judge([], FACTS)


def test_a_verdict_of_a_record():
    verdict = Verdict("learning", 3, "It does.", "Go on.")
    assert Verdict.of({**dataclasses.asdict(verdict), "more": 1}) == verdict
    with pytest.raises(KeyError, match="why"):
        Verdict.of({"kind": "learning", "step": 3})


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0, 6.0])
def test_the_least_loss_is_that_of_equal_views_and_opposite_images(temperature):
    z = np.float32([[1, 0], [-1, 0]])
    expected = float(nt_xent(tf.constant(z), tf.constant(z), temperature))  # 3 candidates
    assert least_loss(math.log(3), temperature) == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_the_change_is_that_of_the_last_third():
    made = points((0.3, 0.25, 0.2, 0.2, 0.2, 0.1, 0.1))  # steps 0 to 192
    assert change_of(made) == pytest.approx(0.5)
    assert change_of(made[:1]) is None
    assert change_of([Point(0), Point(5), Point(9)]) is None
