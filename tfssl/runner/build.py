"""Builds methods, with encoders and heads, from a Config."""

import functools
import importlib

from tfssl import layers, registry
from tfssl.config import METHODS
from tfssl.errors import UsageError
from tfssl.methods import BYOL, CPC, NPair, SelfSupervised, SimCLR, Triplet, cpc, creation
from tfssl.runner import plugins

TARGET_SEED = 1_000_003  # distance of the target networks' seeds from those of the online ones


class Components:
    """The inputs that a method is built from, besides the Config.

    Args:
        encoder: function (seed, name) -> a new encoder, whose weights depend only on the seed.
        probe: function (dimension of h) -> a new linear classifier, or None without a probe.
        normalization: class of the normalization layers of the heads.
        total_steps: integer, steps of the run.
        size: (height, width) of the views in pixels.
        pixels: for each view, its augmentation after the crop.
    """

    def __init__(self, encoder, probe, normalization, total_steps, size=(32, 32), pixels=()):
        self.encoder, self.probe, self.normalization = encoder, probe, normalization
        self.total_steps, self.size, self.pixels = total_steps, size, pixels


def head_settings(config, normalization):
    """The arguments that all projectors share, from the settings of a Config."""
    return {
        "mode": config.proj_head_mode,
        "out_dim": config.proj_out_dim,
        "hidden_dim": config.proj_hidden_dim,
        "num_layers": config.num_proj_layers,
        "bn_momentum": config.batch_norm_decay,
        "normalization": normalization if config.proj_batch_norm else None,
    }


def projector(config, normalization, in_dim, name="projector"):
    """SimCLR's projector with the settings of a Config."""
    settings = head_settings(config, normalization)
    return layers.projector(in_dim, seed=config.seed + 1, name=name, **settings)


def byol_head(config, normalization, in_dim, seed=0, name="projector"):
    """BYOL's projector, or predictor, with the settings of a Config."""
    settings = head_settings(config, normalization)
    return layers.byol_head(in_dim, seed=config.seed + 1 + seed, name=name, **settings)


def mlp(config, normalization, in_dim, seed=0, name="projector", **style):
    """The projector of the other methods, with the settings of a Config."""
    settings = head_settings(config, normalization) | style
    return layers.mlp(in_dim, seed=config.seed + 1 + seed, name=name, **settings)


def networks(config, components):
    """The arguments that all contrastive methods share, as a dict."""
    encoder = components.encoder(config.seed, "encoder")
    width = encoder.output_shape[-1]
    return {
        "encoder": encoder,
        "projector": projector(config, components.normalization, width),
        "probe": components.probe(width),
        "seed": config.seed,
        "input_range": "0,1",
    }


def simclr(config, components):
    options = networks(config, components)
    if config.memory_size:
        width = options["encoder"].output_shape[-1]
        options |= {
            "memory_size": config.memory_size,
            "memory_decay": config.memory_decay,
            "memory_encoder": components.encoder(config.seed, "memory_encoder"),
            "memory_projector": projector(
                config, components.normalization, width, "memory_projector"
            ),
        }
    in_blocks = config.num_views == 2 and (
        0 < config.blockwise_loss_from <= config.train_batch_size
    )
    return SimCLR(
        **options,
        temperature=config.temperature,
        normalize=config.hidden_norm,
        in_blocks=in_blocks,
    )


def npair(config, components):
    return NPair(
        **networks(config, components),
        by_class=config.positives == "classes",
        temperature=config.temperature,
        normalize=config.hidden_norm,
    )


def triplet(config, components):
    return Triplet(
        **networks(config, components),
        by_class=config.positives == "classes",
        margin=config.triplet_margin,
        normalize=config.hidden_norm,
    )


def contrastive_predictive_coding(config, components):
    patch, stride, rows, _ = cpc.grid(components.size, config.cpc_patch, config.cpc_stride)
    options = networks(config, components)
    dim = options["projector"].output_shape[-1]
    return CPC(
        **options,
        context=cpc.gru(dim, config.seed + 200),
        predictions=cpc.products(dim, dim, rows - 1, config.seed + 300),
        patch=patch,
        stride=stride,
        pixels=components.pixels,
    )


def byol(config, components):
    head = functools.partial(byol_head, config, components.normalization)
    encoder = components.encoder(config.seed, "encoder")
    width = encoder.output_shape[-1]
    online = head(width)
    return BYOL(
        encoder,
        online,
        # The layers of a head have consecutive seeds, so the next head starts 100 later.
        head(online.output_shape[-1], 100, "predictor"),
        target_encoder=components.encoder(config.seed + TARGET_SEED, "target_encoder"),
        target_projector=head(width, TARGET_SEED, "target_projector"),
        target_init="fresh",
        probe=components.probe(width),
        base_target_decay=config.base_target_decay,
        total_steps=components.total_steps,
        seed=config.seed,
        input_range="0,1",
    )


def of_options(config, components):
    """A method whose arguments are options, heads and shared settings; it creates its targets."""
    cls = class_of(config.method)
    accepted = creation.parameters(cls)
    options = {
        argument: getattr(config, setting)
        for argument, setting in SHARED.items()
        if argument in accepted
    } | plugins.values_of(config)
    if "total_steps" in accepted:
        options |= {"total_steps": components.total_steps}
    encoder = components.encoder(config.seed, "encoder")
    width = encoder.output_shape[-1]
    options |= heads(config, components.normalization, width)
    try:
        return cls(
            encoder, probe=components.probe(width), seed=config.seed, input_range="0,1", **options
        )
    except (TypeError, ValueError) as error:  # the class is the user's
        raise UsageError(f"--method={config.method} cannot be made: {error}") from error


def heads(config, normalization, width):
    """{argument: head} of the heads that flags describe, for a representation of this width."""
    facts = config.facts
    if facts.projector is None:
        return {}
    made = {"projector": PROJECTORS[facts.projector](config, normalization, width)}
    if facts.predictor:
        out = made["projector"].output_shape[-1]
        made["predictor"] = layers.mlp(
            out,
            out_dim=out,
            hidden_dim=config.pred_hidden_dim or config.proj_hidden_dim,
            bn_momentum=config.batch_norm_decay,
            normalization=normalization if config.proj_batch_norm else None,
            seed=config.seed + 101,
            name="predictor",
        )
    return made


def class_of(name):
    """The class of a method: a plug-in's, or the one named in METHODS."""
    entry = registry.find("method", name)
    if entry:
        return checked(name, entry.value)
    module, _, class_name = METHODS[name].path.partition(":")
    return getattr(importlib.import_module(module), class_name)


def unused(method):
    """The settings of SHARED that change nothing of a method."""
    accepted = set(creation.parameters(class_of(method)))
    if method in METHODS and METHODS[method].normalized != "flag":
        accepted -= {"normalize"}
    return [setting for argument, setting in SHARED.items() if argument not in accepted]


def checked(name, cls):
    """Returns the class of a plug-in's method; raises UsageError if it has no loss."""
    base = SelfSupervised
    if not (isinstance(cls, type) and issubclass(cls, base)) or (
        cls.loss_on_views,
        cls.loss_on,
    ) == (base.loss_on_views, base.loss_on):
        raise UsageError(
            f"--method={name} must be a subclass of tfssl.SelfSupervised with a method "
            f"loss_on_views(views, labels, training). Received: {cls!r}"
        )
    return cls


def method(config, components):
    """The method of a Config, as a model that is not compiled yet."""
    return BUILDERS.get(config.method, of_options)(config, components)


PROJECTORS = {  # by `tfssl.config.Method.projector`
    "simclr": projector,
    "byol": byol_head,
    "mlp": mlp,
    "normalized": functools.partial(mlp, normalize_output=True),
    "gelu": functools.partial(mlp, activation="gelu"),
}
# {argument of a method: setting} of the settings that several methods share.
SHARED = {
    "temperature": "temperature",
    "normalize": "hidden_norm",
    "memory_size": "memory_size",
    "memory_decay": "memory_decay",
    "base_target_decay": "base_target_decay",
}
BUILDERS = {  # for methods whose arguments are settings instead of options
    "simclr": simclr,
    "byol": byol,
    "npair": npair,
    "triplet": triplet,
    "cpc": contrastive_predictive_coding,
}
