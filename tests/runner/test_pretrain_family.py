"""N-pair, triplet and CPC through the runner: resumed, exported, refused; and that they learn."""

import numpy as np
import pytest

import flags
import tfssl
from tests.helpers import read_scalars, run_until_killed, tiny_config
from tfssl import UsageError

TRAIN = dict(mode="train", train_mode="pretrain")
CANDIDATES = {"npair": 16, "triplet": 31, "cpc": 16 * 3}


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """(method) -> directory of its training."""
    made = {}

    def train(method):
        if method not in made:
            made[method] = tmp_path_factory.mktemp("runs") / method
            tfssl.run(tiny_config(made[method], method=method, **TRAIN))
        return made[method]

    return train


@pytest.mark.parametrize(
    "method",
    [
        pytest.param("npair", marks=pytest.mark.slow),
        pytest.param("triplet", marks=pytest.mark.slow),
        "cpc",
    ],
)  # the others are SimCLR but for a function without state
@pytest.mark.slow
def test_it_is_exported_and_its_bound_is_below_its_ceiling(method, straight):
    encoder = tfssl.load_encoder(straight(method))
    assert encoder(np.zeros((1, 24, 40, 3), np.float32)).shape == (1, 32)
    bounds, ceilings = (
        dict(read_scalars(straight(method))[f"information/infonce_{name}"])
        for name in ("bound", "ceiling")
    )
    assert list(ceilings.values()) == pytest.approx(4 * [np.log(CANDIDATES[method])])
    assert all(bounds[step] <= ceilings[step] for step in ceilings)


@pytest.mark.slow  # as SimCLR's does, in test_pretrain.py: only variables and heads differ
@pytest.mark.parametrize("method", CANDIDATES)
def test_a_resumed_run_ends_where_the_straight_one_does(method, straight, tmp_path):
    changes = dict(method=method, **TRAIN)
    run_until_killed(lambda: tfssl.run(tiny_config(tmp_path, **changes)), at_step=3)
    tfssl.run(tiny_config(tmp_path, **changes))
    both = (tfssl.load_encoder(directory) for directory in (straight(method), tmp_path))
    for a, b in zip(*(encoder.get_weights() for encoder in both), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "changes", [dict(cpc_patch=16), dict(cpc_patch=32), dict(cpc_patch=12, cpc_stride=8)]
)
def test_patches_that_leave_no_row_to_predict_are_refused(tmp_path, changes):
    with pytest.raises(UsageError, match="--cpc_patch and --cpc_stride must leave two rows"):
        tfssl.run(tiny_config(tmp_path / "run", method="cpc", **changes))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "method,more",
    [
        ("npair", ["--train_steps=700"]),
        ("triplet", ["--train_steps=700"]),
        (
            "cpc",
            [
                *("--train_steps=600", "--image_size=32", "--train_split=train[:6000]"),
                *("--learning_rate=0.004", "--crop_area_min=0.5"),
            ],
        ),
    ],
)
def test_the_family_beats_the_untrained_encoder_on_shapes(tmp_path, method, more):
    """As the first run, of two views."""
    config, _ = flags.parse(
        [
            "run.py",
            "--flagfile=flags/shapes.flags",
            "--num_views=2",
            "--train_batch_size=128",
            "--learning_rate=0.03",
            f"--method={method}",
            "--knn_k=20",
            "--nolinear_probe",
            f"--model_dir={tmp_path / 'run'}",
            *more,
        ]
    )
    result = tfssl.run(config)
    gain = result["pretrained"]["knn_20"]["top_1"] - result["untrained"]["knn_20"]["top_1"]
    assert gain > 0.12


@pytest.mark.parametrize("groups,parts", [(5, 1), (8, 1), (4, 4)])
def test_groups_that_do_not_suit_the_batch_are_refused_before_anything_is_written(
    groups, parts, tmp_path
):
    changes = dict(method="mocov2", memory_size=32, method_options=f"bn_groups={groups}")
    config = tiny_config(tmp_path / "run", train_batch_size=8, accumulate_steps=parts, **changes)
    with pytest.raises(UsageError, match=f"--bn_groups must divide.*{groups} for"):
        tfssl.run(config)
    assert not (tmp_path / "run" / "flags.flags").exists()
