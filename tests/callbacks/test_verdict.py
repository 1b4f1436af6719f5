"""The verdict in `fit`: its points, what it prints, and facts of network and views."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfssl
from tests.networks import SELF_SUPERVISED, dataset, elements, head, made
from tfssl.callbacks import Verdict


def views(seed=5, count=16):
    data = elements(made("simclr"), count, seed=seed)
    return data["views"]


def judged(model, data=None, epochs=2, **options):
    callback = Verdict(data if data is not None else views(), **options)
    model.fit(dataset(model), epochs=epochs, callbacks=[callback], verbose=0)
    return callback


def test_points_begin_before_training_and_hold_what_was_logged():
    model = made("simclr")
    callback = Verdict(views(), verbose=False)
    history = model.fit(dataset(model), epochs=3, callbacks=[callback], verbose=0).history
    points = callback.history.points
    assert [point.step for point in points] == [0, 2, 4, 6]
    assert np.isnan(points[0].loss) and not np.isnan(points[0].view_rank)
    assert np.isnan(points[0].neighbours_kept) and not np.isnan(points[1].neighbours_kept)
    for name in ("loss", "z_std", "view_rank", "loss_of_views", "infonce_bound"):
        assert [getattr(point, name) for point in points[1:]] == history[name], name
    assert callback.now == tfssl.verdict.judge(points, callback.history.facts)
    assert callback.history.facts.total_steps == 6
    model.fit(dataset(model), epochs=1, callbacks=[callback], verbose=0)
    assert [point.step for point in callback.history.points] == [0, 2, 4, 6, 8]


@pytest.mark.parametrize("method", SELF_SUPERVISED)
def test_a_training_by_any_method_is_judged_from_its_first_step_on(method):
    model = made(method, compiled={"run_eagerly": True})
    of_two = elements(model, 8, num_views=2)
    callback = Verdict(of_two, verbose=False)
    model.fit(dataset(model, count=8), epochs=1, callbacks=[callback], verbose=0)
    facts, points = callback.history.facts, callback.history.points
    assert [point.step for point in points] == [0, 1]
    assert facts.ceiling == model.ceiling(8, 2)
    measured = [[point.view_retrieval, point.loss_of_views] for point in points]
    assert np.isfinite(measured).all() and callback.now.why


def test_every_other_epoch():
    callback = judged(made("simclr"), epochs=4, every=2, verbose=False)
    assert [point.step for point in callback.history.points] == [0, 2, 4, 8]


def test_facts_of_a_contrastive_method_and_of_its_views():
    callback = judged(made("simclr", temperature=0.3), verbose=False)
    facts = callback.history.facts
    assert (facts.method, facts.temperature, facts.images) == ("SimCLR", 0.3, 16)
    assert facts.ceiling == pytest.approx(np.log(31)) and facts.classes is None
    assert facts.trainable and 0 <= facts.pixel_rank <= 1
    byol = judged(made("byol"), verbose=False).history.facts
    assert byol.ceiling is None and byol.temperature is None


@pytest.mark.parametrize(
    "labels,classes,of_classes",
    [
        (np.zeros(16), 1, 1),
        (np.full(16, 3), 1, 4),
        (np.arange(16) % 4 - 1, 3, 3),
        (np.full(16, -1), None, None),
    ],
)
def test_labels_say_how_many_classes_there_are(labels, classes, of_classes):
    data = {"views": views(), "label": labels.astype("int64")}
    facts = judged(made("simclr"), data, verbose=False).history.facts
    assert (facts.classes, facts.of_classes) == (classes, of_classes)


def test_a_probe_says_how_many_classes_there_are():
    data = {"views": views(), "label": np.zeros(16, "int64")}
    facts = judged(made("simclr", num_classes=5), data, verbose=False).history.facts
    assert (facts.classes, facts.of_classes) == (1, 5)


def test_moving_averages_that_do_not_move_are_noticed():
    def encoder(fixed=False):
        normalization = keras.layers.BatchNormalization()
        normalization.trainable = not fixed
        return keras.Sequential(
            [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(6), normalization]
        )

    for fixed in (False, True):
        model = tfssl.SimCLR(encoder(fixed), head())
        model.compile("sgd", jit_compile=False)
        assert judged(model, verbose=False).history.facts.moving is not fixed
    flat = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    model = tfssl.SimCLR(flat, head())
    model.compile("sgd", jit_compile=False)
    assert judged(model, verbose=False).history.facts.moving is None


def test_a_new_kind_is_printed_and_the_verdict_at_the_end(capsys, monkeypatch):
    kinds = iter(["learning", "improving", "improving", "starved"])
    monkeypatch.setattr(
        tfssl.verdict,
        "judge",
        lambda points, facts: tfssl.verdict.Verdict(next(kinds), points[-1].step, "So.", "Do."),
    )
    judged(made("simclr"), epochs=3)
    assert capsys.readouterr().out.split("\n\n") == [
        "\nverdict at step 2: improving: So. Do.",
        "verdict at step 6: starved: So. Do.",
        "verdict at step 6: starved: So. Do.\n",
    ]


def test_a_frozen_encoder_and_equal_views_are_told():
    model = made("simclr")
    model.encoder.trainable = False
    model.compile("sgd", jit_compile=False)
    assert judged(model, verbose=False).now.kind == "not_learning"
    first, _ = views()
    assert judged(made("simclr"), (first, first), verbose=False).now.kind == "too_easy"


def test_weights_are_those_of_a_training_without_it():
    models = [made("simclr") for _ in range(2)]
    judged(models[0], verbose=False)
    models[1].fit(dataset(models[1]), epochs=2, verbose=0)
    for one, other in zip(*(model.get_weights() for model in models)):
        np.testing.assert_array_equal(one, other)


def test_views_of_a_dataset():
    batches = tf.data.Dataset.from_tensor_slices(views(count=24)).batch(8)
    facts = judged(made("simclr"), batches, num_batches=3, verbose=False).history.facts
    assert facts.images == 24 and facts.ceiling == pytest.approx(np.log(15))
