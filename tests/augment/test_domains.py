"""Settings of augmentation for kinds of images: in Python and as flags."""

import inspect
import warnings

import numpy as np
import pytest
import tensorflow as tf

from tfssl import augment, domains
from tfssl.augment import ops
from tfssl.config import MORE_VIEW, Config, view_flags
from tfssl.errors import UsageError
from tfssl.runner import recipes

SEED = tf.constant([3, 14])
DEFAULTS = {
    name: parameter.default
    for name, parameter in inspect.signature(augment.simclr_view).parameters.items()
    if name not in ("size", "channels")
}
NAMES = list(domains.DOMAINS)


def random_images(*shape):
    return np.random.default_rng(0).random(shape, np.float32)


@pytest.mark.parametrize("channels", [1, 3, 6])
@pytest.mark.parametrize("name", NAMES)
def test_views_of_a_kind_are_images_of_any_number_of_channels(name, channels):
    images = random_images(6, 20, 24, channels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # what needs RGB is left out in silence
        view = augment.domain(name, 16, channels)
    made = view(images, SEED).numpy()
    assert made.shape == (6, 16, 16, channels) and made.dtype == np.float32
    assert 0 <= made.min() and made.max() <= 1 and made.std() > 0.01
    assert not np.array_equal(made, view(images, [3, 15]))
    np.testing.assert_array_equal(made, view(images, SEED))


@pytest.mark.parametrize("method", ["simclr", "byol", "swav"])
@pytest.mark.parametrize("name", NAMES)
def test_the_flags_of_a_kind_are_its_settings_whatever_the_method(name, method):
    config = Config(views=name, method=method)
    for view in (1, 2):
        assert recipes.options_of(config, view) == DEFAULTS | domains.DOMAINS[name].settings


def test_a_flag_that_is_given_wins_and_the_rest_stays():
    config = Config(views="satellite", quarter_turns_p=0.25, view2_blur_p=0.75)
    first, second = (recipes.options_of(config, view) for view in (1, 2))
    expected = DEFAULTS | domains.DOMAINS["satellite"].settings | {"quarter_turns_p": 0.25}
    assert first == expected and second == expected | {"blur_p": 0.75}
    assert config.replace(views="drawing").flip_p == 0
    assert config.replace(views=None).crop_area_min == Config().crop_area_min
    changed = augment.domain("satellite", 8, 2, quarter_turns_p=0.0)
    drawn = changed.whole.draw(SEED, tf.zeros([2, 8, 8, 2]))
    assert not any("turns" in name for name in drawn["1_compose"])


def test_every_setting_of_a_kind_has_a_reason_and_a_flag():
    names = {field.name for field in Config.__dataclass_fields__.values()}
    for domain in domains.DOMAINS.values():
        assert set(view_flags(domain.settings)) <= names
        said = {name for names in domain.sources for name in names.split(", ")}
        assert said - {"all"} <= set(DEFAULTS)


@pytest.mark.parametrize(
    "name", [n for n, f in Config.__dataclass_fields__.items() if f.metadata["group"] == MORE_VIEW]
)
def test_every_flag_for_other_images_reaches_the_views(name):
    """At probability 1, another value of the setting makes another view."""
    operation = name.partition("_p")[0] if name.endswith("_p") else None
    chances = {n for n in Config.__dataclass_fields__ if n.endswith("_p")}
    owner = (
        f"{operation}_p"
        if operation
        else max((n for n in chances if name.startswith(n[:-2])), key=len)
    )
    images = random_images(4, 16, 16, 4)

    def view_with(**settings):
        options = recipes.options_of(Config(channels=4, **settings), 1)
        # A crop of the whole image, so that only this operation differs.
        return augment.simclr_view(16, 4, **options)(images, SEED).numpy()

    here = view_with(**{owner: 1.0})
    other = {name: 0.0} if name == owner else {owner: 1.0, name: halved(name)}
    assert not np.allclose(here, view_with(**other), atol=1e-3)


def halved(name):
    value = Config.__dataclass_fields__[name].default
    return {"gamma_max": 0.9, "erase_area_min": 0.3}.get(name, 0.5 * value)


def test_new_operations_leave_the_draws_of_the_others_as_they_were():
    """Runs of versions without them continue with the same views."""
    images = random_images(5, 24, 24, 3)
    old = ops.compose(
        ops.flip_left_right(0.5),
        ops.maybe(ops.color_jitter(0.8, 0.8, 0.8, 0.2), 0.8),
        ops.maybe(ops.grayscale(), 0.2),
        ops.clip(),
        ops.maybe(ops.blur(), 0.5),
        ops.maybe(ops.solarize(), 0.2),
    )
    new = augment.simclr_view(24, blur_p=0.5, solarize_p=0.2).pixels
    np.testing.assert_array_equal(new(images, SEED), old(images, SEED))
    old = ops.compose(ops.flip_left_right(0.5), ops.clip())
    new = augment.supervised_view(24, flip_up_down_p=0.0).pixels
    np.testing.assert_array_equal(new(images, SEED), old(images, SEED))


def test_turns_and_flips_of_supervised_views_permute_the_pixels_of_square_images():
    images = random_images(64, 8, 8, 2)
    whole = dict(crop_area=(1.0, 1.0), crop_aspect=(1.0, 1.0))
    view = augment.supervised_view(8, 2, flip_up_down_p=0.5, quarter_turns_p=1.0, **whole)
    made = view(images, SEED).numpy()
    forms = set()
    for image, one in zip(images, made):
        dihedral = [
            np.rot90(flipped, turns) for flipped in (image, image[:, ::-1]) for turns in range(4)
        ]
        near = [np.abs(one - form).max() < 1e-5 for form in dihedral]
        assert sum(near) == 1
        forms.add(near.index(True))
    assert forms == set(range(8))


@pytest.mark.parametrize(
    "call,error,said",
    [
        (
            lambda: augment.domain("xray", 32),
            ValueError,
            "`name` must be one of 'standard', .*'drawing'. Received: name='xray'",
        ),
        (lambda: augment.domain("small", 32, gamma=(2.0, 1.0)), ValueError, "`exponent` must be"),
        (lambda: Config(gamma_min=2.0), UsageError, "--gamma_min must not exceed --gamma_max"),
        (lambda: Config(erase_area_max=0.01), UsageError, "--erase_area_min must not exceed"),
        (lambda: Config(rotate_degrees=190.0), UsageError, "--rotate_degrees must be from 0 to"),
        (
            lambda: Config(mode="finetune", checkpoint="none", views="mine.py:views"),
            UsageError,
            "--views must be one of standard, .* drawing with --mode=finetune: views of your own",
        ),
        (
            lambda: Config(views="mine.py:views", noise_p=0.5),
            UsageError,
            "--noise_p has no effect with --views=mine.py:views, which defines the views[.]",
        ),
        (
            lambda: Config(views="typo", noise_p=0.5),
            UsageError,
            "--noise_p has no effect with --views=typo, .* as it is none of standard, natural,",
        ),
    ],
)
def test_mistakes(call, error, said):
    with pytest.raises(error, match=said):
        call()
