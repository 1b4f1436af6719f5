"""What cannot fit is refused before anything is built, and what fits is not."""

import pytest

from tests.helpers import BYOL_SETTINGS, RESNET, tiny_config
from tfssl import Config, UsageError, memory
from tfssl.runner import demand
from tfssl.runner.job import plan
from tfssl.runner.pretrain import build_model

HUGE = [
    (dict(memory_size=2**31 - 1, proj_out_dim=128), "--memory_size and --proj_out_dim"),
    (dict(proj_out_dim=2**31 - 1), "--proj_out_dim, --proj_hidden_dim"),
    (dict(proj_hidden_dim=10**6), "--proj_out_dim, --proj_hidden_dim"),
    (dict(width_multiplier=1e6), "--width_multiplier and --resnet_depth"),
    (dict(width_multiplier=1e30), "--width_multiplier and --resnet_depth"),
    (dict(image_size="100000x100000"), "--image_size and --eval_image_size"),
    (dict(eval_image_size="999999999"), "--image_size and --eval_image_size"),
    ({**BYOL_SETTINGS, "proj_hidden_dim": 10**9}, "--proj_out_dim, --proj_hidden_dim"),
]


@pytest.mark.parametrize("settings,flags", HUGE)
def test_what_takes_more_memory_than_there_is_is_refused_unbuilt(settings, flags, tmp_path):
    with pytest.raises(UsageError, match=f"{flags}.* must leave .* of memory. Received: ") as error:
        plan(tiny_config(tmp_path / "run", **RESNET | settings))
    assert "GiB" in str(error.value) and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "changes,said",
    [
        (dict(train_steps=0, train_epochs=1e30), "--train_epochs and --train_steps must come to"),
        (dict(warmup_epochs=1e30), "--warmup_epochs must come to at most 2,147,483,647 steps"),
    ],
)
def test_steps_are_as_many_as_can_be_counted(changes, said, tmp_path):
    with pytest.raises(UsageError, match=said):
        plan(tiny_config(tmp_path, **changes))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        BYOL_SETTINGS,
        dict(resnet_depth=50),
        dict(resnet_depth=50, sk_ratio=0.0625),
        dict(proj_head_mode="linear"),
        dict(memory_size=64),
        dict(num_proj_layers=6),
    ],
)
def test_it_is_a_lower_bound_of_what_is_built(settings, tmp_path):
    job = plan(tiny_config(tmp_path, **RESNET | settings))
    model = build_model(job)
    told = demand.parameters(job.config)
    for (_, _, least), part in zip(told, (model.encoder, model.projector), strict=True):
        assert 0.3 * part.count_params() < least <= part.count_params()


def test_the_papers_own_settings_ask_for_little_of_a_large_machine():
    """ResNet-152, three times as wide, with a memory: Chen et al. 2020, arXiv:2006.10029."""
    config = Config(resnet_depth=152, width_multiplier=3, sk_ratio=0.0625, memory_size=65536)
    (_, _, encoder), (_, _, projector) = demand.parameters(config)
    assert 1e8 < encoder < 795e6 and projector < 2e8


def test_memory_is_what_the_limits_of_the_process_leave(monkeypatch):
    import resource

    whole = memory.available()
    monkeypatch.setattr(resource, "getrlimit", lambda _: (2**30, 2**30))
    assert memory.available() == 2**30 < whole
    memory.require([("--a", "one", 2**29), ("--b", "two", 2**29)])
    with pytest.raises(
        UsageError,
        match="--b must leave .* within 1 GiB of memory. Received: two, "
        "which takes at least 0.501 GiB",
    ):
        memory.require([("--a", "one", 2**29), ("--b", "two", 2**29 + 2**20)])
