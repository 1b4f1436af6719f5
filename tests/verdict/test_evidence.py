"""What trainings are judged by: facts of pixels, points, and how they are kept."""

import json
import math

import numpy as np
import pytest

from tfssl.information import representation
from tfssl.verdict import Facts, History, Point, facts_of_views
from tfssl.verdict.evidence import thumbnails_of

RNG = np.random.default_rng(0)


def test_sound_views_have_no_fault():
    first = RNG.random((40, 16, 16, 3)) * 0.8 + 0.1
    facts = facts_of_views((first, np.clip(first + RNG.normal(0, 0.05, first.shape), 0, 1)))
    assert facts["identical"] == facts["flat"] == 0
    assert facts["images"] == 40 and facts["pixel_retrieval"] == 1 and facts["pixel_rank"] == 0


def test_faults_are_counted_exactly():
    first = RNG.random((8, 12, 12, 1)).astype(np.float32) * 0.8 + 0.1
    second = RNG.random(first.shape).astype(np.float32)
    second[:2] = first[:2]
    first[2:4] = 0.5
    first[4, :11], first[5, :10] = 1.0, 1.0  # 92 and 83 %
    facts = facts_of_views((first, second))
    assert facts["identical"] == 2 / 8 and facts["flat"] == 3 / 8


def test_thumbnails_are_means_of_parts():
    images = RNG.random((3, 16, 17, 2))
    found = thumbnails_of(images).reshape(3, 8, 8, 2)
    for row in range(8):
        for column in range(8):
            part = images[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            np.testing.assert_allclose(found[:, row, column], part.mean(axis=(1, 2)))


def test_pixels_of_unrelated_views_are_found_by_chance():
    facts = facts_of_views(tuple(RNG.random((2, 300, 8, 8, 3))))
    assert facts["pixel_rank"] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    "views",
    [
        (RNG.random((4, 8, 8, 3)),),  # one view
        (RNG.random((4, 8, 8, 3)), RNG.random((4, 6, 6, 3))),  # another size
        (np.full((4, 8, 8, 3), 0.3), RNG.random((4, 8, 8, 3))),  # constant
    ],
)
def test_pixels_that_cannot_be_compared_are_not(views):
    assert not {"pixel_rank", "pixel_retrieval"} & facts_of_views(views).keys()


def test_a_point_takes_what_it_knows():
    point = Point.of(3, {"loss": np.float32(0.5), "knn_20": 0.7}, {"view_rank": 0.1})
    assert (point.step, point.loss, point.view_rank) == (3, 0.5, 0.1)
    assert math.isnan(point.z_std)


def test_a_history_survives_json():
    history = History(Facts(images=3, classes=None, pixel_rank=math.nan))
    for step in (0, 2, 4):
        history.add(Point(step, loss=math.inf if step == 4 else step))
    text = json.dumps(history.to_dict(), allow_nan=False)
    again = History.from_dict(json.loads(text))
    assert str(again) == str(history)  # NaN does not equal itself
    assert again.to_dict() == history.to_dict()


def test_a_training_that_goes_on_from_an_earlier_step_replaces_later_points():
    history = History()
    for step, loss in ((0, 5), (2, 4), (4, 3), (3, 9), (4, 8)):
        history.add(Point(step, loss=loss))
    assert [(p.step, p.loss) for p in history.points] == [(0, 5), (2, 4), (3, 9), (4, 8)]
    assert [p.step for p in history.until(3).points] == [0, 2, 3]


def test_ranks_and_retrieval_of_thumbnails_are_those_of_representations():
    first = RNG.random((30, 8, 8, 3)).astype(np.float32)
    second = np.clip(first + RNG.normal(0, 0.4, first.shape), 0, 1).astype(np.float32)
    facts = facts_of_views((first, second))
    mean = first.reshape(30, -1).mean(axis=0)
    centred = [view.reshape(30, -1) - mean for view in (first, second)]
    assert facts["pixel_rank"] == pytest.approx(representation.view_rank(*centred), abs=1e-6)
    assert facts["pixel_retrieval"] == pytest.approx(representation.view_retrieval(*centred))
