"""Settings by which nothing can be learned are refused, and their neighbours are not."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.helpers import BYOL_SETTINGS, RESNET, random_views, tiny_config
from tfssl import UsageError
from tfssl.runner import objective
from tfssl.runner.finetune import build_model as build_classifier
from tfssl.runner.job import plan
from tfssl.runner.pretrain import build_model

ONE_IMAGE = dict(accumulate_steps=16)  # of a batch of 16
TUNED = dict(mode="finetune", checkpoint="none")
SMALL = dict(image_size=8, stem="cifar")  # whose last feature map is one point
OPPOSITE, CONSTANT = "get opposite projections", "gets the same values"
VOID = [
    ({**ONE_IMAGE}, OPPOSITE),
    ({**ONE_IMAGE, "method": "npair"}, OPPOSITE),
    ({**ONE_IMAGE, "method": "triplet"}, OPPOSITE),
    ({**ONE_IMAGE, "proj_head_mode": "linear"}, OPPOSITE),
    ({**ONE_IMAGE, "memory_size": 32}, OPPOSITE),
    ({**ONE_IMAGE, **BYOL_SETTINGS}, CONSTANT),
    ({**ONE_IMAGE, **BYOL_SETTINGS, **SMALL, "proj_head_mode": "linear"}, CONSTANT),
    ({**ONE_IMAGE, **TUNED, **SMALL}, CONSTANT),
    ({**ONE_IMAGE, **TUNED, "ft_proj_selector": 1}, CONSTANT),
    (dict(proj_out_dim=1), "--proj_out_dim must be at least 2"),
    (dict(proj_out_dim=1, method="npair"), "--proj_out_dim must be at least 2"),
    (dict(proj_out_dim=1, method="triplet"), "--proj_out_dim must be at least 2"),
    (
        {**BYOL_SETTINGS, "proj_out_dim": 1, "hidden_norm": False},
        "--proj_out_dim must be at least 2",
    ),
]
NEIGHBOURS = [
    dict(accumulate_steps=8),
    dict(accumulate_steps=8, method="npair"),
    dict(accumulate_steps=8, method="triplet"),
    {**ONE_IMAGE, "method": "cpc"},
    {**ONE_IMAGE, "proj_head_mode": "none"},
    {**ONE_IMAGE, "proj_batch_norm": False},
    {**BYOL_SETTINGS, "accumulate_steps": 8},
    {**ONE_IMAGE, **BYOL_SETTINGS, "proj_head_mode": "linear"},
    {**ONE_IMAGE, **TUNED},
    {**TUNED, **SMALL, "accumulate_steps": 8},
    {**ONE_IMAGE, **TUNED, **SMALL, "fine_tune_after_block": 4},
    dict(proj_out_dim=1, hidden_norm=False),
    dict(proj_out_dim=1, method="cpc"),
    {**BYOL_SETTINGS, "proj_out_dim": 2},
    dict(proj_out_dim=1, proj_head_mode="none"),
    dict(method="npair", positives="classes"),
    dict(method="triplet", positives="classes"),
    {**ONE_IMAGE, **BYOL_SETTINGS, "proj_batch_norm": False},
    dict(learning_rate=0.0),
    {**BYOL_SETTINGS, "base_target_decay": 1.0},
    dict(method="triplet", triplet_margin=0.0),
    dict(method="triplet", triplet_margin=5.0),
    dict(train_batch_size=2, accumulate_steps=1),
    dict(memory_size=16, memory_decay=1.0),
]


def told(case):
    settings = case[0] if isinstance(case, tuple) else case
    return "-".join(f"{name}={value}" for name, value in settings.items())


@pytest.mark.parametrize("case", VOID, ids=told)
def test_what_cannot_learn_is_refused(case, tmp_path):
    settings, said = case
    with pytest.raises(UsageError, match=said) as refusal:
        plan(tiny_config(tmp_path / "run", **RESNET, **settings))
    assert "--" in str(refusal.value) and not (tmp_path / "run").exists()


@pytest.mark.parametrize("settings", NEIGHBOURS, ids=told)
def test_its_neighbours_are_not(settings, tmp_path):
    plan(tiny_config(tmp_path / "run", **RESNET, **settings))


@pytest.mark.parametrize("mode", ["finetune", "linear_eval"])
def test_a_class_needs_another_one_to_be_told_from(mode, tmp_path):
    job = plan(tiny_config(tmp_path, **TUNED))
    job = dataclasses.replace(
        job,
        config=job.config.replace(mode=mode),
        labelled_source=dataclasses.replace(job.labelled_source, num_classes=1),
    )
    with pytest.raises(
        UsageError, match="--train_split must have two classes or more for --mode=" + mode
    ):
        objective.check(job)


@pytest.mark.parametrize("classes", [0, 1])
def test_positives_by_class_need_classes(classes, tmp_path):
    job = plan(tiny_config(tmp_path, method="npair", positives="classes"))
    job = dataclasses.replace(
        job, train_source=dataclasses.replace(job.train_source, num_classes=classes)
    )
    with pytest.raises(UsageError, match="--positives=classes needs images of two classes or more"):
        objective.check(job)


def test_positives_by_class_need_labels(tmp_path):
    job = plan(tiny_config(tmp_path, method="supcon"))
    images, labels = job.train_source.arrays
    unlabelled = dataclasses.replace(job.train_source, arrays=(images, np.full_like(labels, -1)))
    with pytest.raises(UsageError, match="--method=supcon needs images .* with no label"):
        objective.check(dataclasses.replace(job, train_source=unlabelled))


@pytest.mark.slow
@pytest.mark.parametrize("case", VOID, ids=told)
def test_what_is_refused_would_learn_nothing(case, tmp_path, monkeypatch):
    """The encoder gets no gradient, or the views of an image are opposite by construction."""
    monkeypatch.setattr(objective, "check", lambda job: None)
    config = tiny_config(tmp_path / "run", **RESNET, **case[0])
    if case[1] == OPPOSITE:
        assert positive_cosine(config) == pytest.approx(-1, abs=1e-4)
    else:
        assert encoder_gradient(config) < 1e-3


def test_an_encoder_that_does_not_suit_the_method_is_refused(tmp_path):
    config = tiny_config(tmp_path / "run", **RESNET, method="dim", remat=True)
    with pytest.raises(UsageError, match="--method=dim .*: `encoder` must be a functional"):
        build_model(plan(config))


@pytest.mark.slow
@pytest.mark.parametrize("settings", NEIGHBOURS, ids=told)
def test_what_is_not_refused_has_a_gradient(settings, tmp_path):
    config = tiny_config(tmp_path / "run", **RESNET, **settings)
    if config.fine_tune_after_block < 4:
        assert encoder_gradient(config) > 1e-2


def positive_cosine(config):
    """How alike the projections of both views of one image are."""
    model, images = build_model(plan(config)), random_views(1)
    z = tf.concat(model.project(images["views"])[1], axis=0)
    return float(tf.tensordot(*tf.unstack(tf.math.l2_normalize(z, axis=1)), 1))


def encoder_gradient(config):
    """Length of the gradient of the loss, without weight decay, for the encoder's parameters."""
    job = plan(config)
    model = (build_model if config.task == "pretrain" else build_classifier)(job)
    awaken(model)
    model.penalize([], 0.0)
    images = random_views(config.train_batch_size)
    images["views"] = tuple(tf.image.resize(view, job.size) for view in images["views"])
    gradients, _ = (
        model.gradients_of(model.loss_on, images)
        if config.accumulate_steps == 1
        else model.accumulated(images)
    )
    count = len(model.encoder.trainable_variables)
    return float(tf.linalg.global_norm(gradients[:count]))


def awaken(model):
    """Has the residual branches count, which begin at 0."""
    for variable in model.encoder.trainable_variables:
        if variable.path.endswith("gamma"):
            variable.assign(np.ones(variable.shape, np.float32))
