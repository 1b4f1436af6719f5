"""Which features of a builder are learned from, and which builders have none."""

import types

import numpy as np
import pytest
import tensorflow_datasets as tfds

from tests.helpers import store_dataset
from tfssl.data.features import choose
from tfssl.errors import UsageError
from tfssl.runner import sources

F = tfds.features
IMAGE, CLASS = F.Image(shape=(5, 6, 3)), F.ClassLabel(num_classes=4)
MASK = F.LabeledImage(labels=3, shape=(5, 6, 1))
NUMBER, BOX = F.Scalar(np.int32), F.BBoxFeature()


def builder(keys=None, **features):
    info = types.SimpleNamespace(features=F.FeaturesDict(features), supervised_keys=keys)
    return types.SimpleNamespace(name="many", info=info)


@pytest.mark.parametrize(
    "keys,features,image,label,remark",
    [
        (None, dict(image=IMAGE, label=CLASS), "image", "label", ""),
        (("photo", "kind"), dict(photo=IMAGE, kind=CLASS, label=CLASS), "photo", "kind", ""),
        (
            ("photo", "kind", "weight"),
            dict(photo=IMAGE, kind=CLASS, weight=F.Scalar(np.float32)),
            "photo",
            "kind",
            "",
        ),
        (
            ({"left": "photo", "right": "other"}, "kind"),
            dict(photo=IMAGE, other=IMAGE, kind=CLASS),
            "photo",
            "kind",
            "",
        ),
        (("low", "high"), dict(low=IMAGE, high=IMAGE), "low", None, ""),
        (("image", "image"), dict(image=IMAGE), "image", None, ""),
        (("image", "mask"), dict(image=IMAGE, mask=MASK), "image", None, ""),
        (
            ("image", "box"),
            dict(image=IMAGE, box=BOX, label=CLASS),
            "image",
            "label",
            "the labels are those of label",
        ),
        (("text", "kind"), dict(photo=IMAGE, text=F.Text(), kind=CLASS), "photo", "kind", ""),
        (None, dict(photo=IMAGE), "photo", None, ""),
        (None, dict(photo=IMAGE, kind=CLASS), "photo", "kind", "the labels are those of kind"),
        (None, dict(image=IMAGE, other=IMAGE), "image", None, ""),
        (
            None,
            dict(image=IMAGE, fine=CLASS, coarse=CLASS),
            "image",
            None,
            "none of coarse, fine is declared as the label",
        ),
        (
            None,
            dict(image=IMAGE, label=NUMBER),
            "image",
            None,
            "label does not say how many classes",
        ),
        (
            ("image", "digit"),
            dict(image=IMAGE, digit=F.Tensor(shape=(), dtype=np.int64)),
            "image",
            None,
            "digit does not say how many classes",
        ),
        (
            None,
            dict(image=IMAGE, label=F.ClassLabel()),
            "image",
            None,
            "label does not say how many",
        ),
        (None, dict(image=IMAGE, label=F.ClassLabel(num_classes=1)), "image", "label", ""),
        (None, dict(image=IMAGE, number=NUMBER), "image", None, ""),
    ],
)
def test_the_image_and_the_label_are_those_that_are_named_or_the_only_ones(
    keys, features, image, label, remark
):
    *chosen, said = choose(builder(keys, **features))
    assert chosen == [image, label]
    assert (f"many: {remark}" in said) if remark else not said


@pytest.mark.parametrize(
    "features,said",
    [
        (
            dict(left=IMAGE, right=IMAGE, label=CLASS),
            "which of its images .* many, with left, right$",
        ),
        (dict(video=F.Video(shape=(None, 5, 6, 3)), label=CLASS), "whose images are within video$"),
        (dict(frames=F.Sequence(IMAGE)), "whose images are within frames$"),
        (dict(views={"one": IMAGE}, parts=F.Sequence({"crop": IMAGE})), "within parts, views$"),
        (
            dict(text=F.Text(), label=CLASS),
            "one image in every example. .* many, with label, text$",
        ),
        (dict(image=MASK), "many, with image$"),
        (dict(image=F.Image(shape=(2, 5, 6, 3))), r"whose image is \[2, 5, 6, 3\]$"),
        (dict(image=F.Image(shape=(5, 6, None))), r"1 to 4 channels. .*\[5, 6, None\]$"),
        (dict(image=F.Image(shape=(5, 6, 0))), r"whose image is \[5, 6, 0\]$"),
    ],
)
def test_without_one_image_in_every_example_a_sentence_says_what_there_is(features, said):
    with pytest.raises(UsageError, match=f"^`dataset` must .*{said}"):
        choose(builder(**features))


def test_a_label_that_is_a_plain_number_is_told_once_and_not_learned_from(tmp_path, capsys):
    config = store_dataset(
        tmp_path,
        {"image": IMAGE, "label": NUMBER, "thumb": F.Sequence(IMAGE)},
        [{"image": np.full((5, 6, 3), i, np.uint8), "label": i, "thumb": []} for i in range(7)],
    )
    loaded = [sources.load(config, split) for split in ("train", "test")]
    assert [(s.num_classes, set(s.arrays[1])) for s in loaded] == [(0, {-1})] * 2
    assert sorted(loaded[0].arrays[0][:, 0, 0, 0]) == list(range(7))
    assert capsys.readouterr().out.count("stored: label does not say how many classes") == 1


@pytest.mark.parametrize("limit", [True, False])
def test_of_grey_images_with_alpha_the_grey_is_taken(limit, tmp_path):
    images = [np.random.default_rng(i).integers(0, 256, (5, 6, 2), np.uint8) for i in range(4)]
    config = store_dataset(
        tmp_path, {"image": F.Image(shape=(None, None, 2))}, [{"image": image} for image in images]
    )
    source = sources.load(config.replace(cache_dataset=limit), "train")
    made = [source.decode(example)[0].numpy() for example in source.records()]
    grey = [np.repeat(image[..., :1], 3, axis=-1) for image in images]
    assert sorted(m.tobytes() for m in made) == sorted(g.tobytes() for g in grey)
