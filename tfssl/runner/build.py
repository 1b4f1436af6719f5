"""From a Config to the objects of the library: encoders, heads, methods."""

import functools
import importlib
import inspect

from tfssl import layers, registry
from tfssl.config import METHODS
from tfssl.errors import UsageError
from tfssl.methods import BYOL, CPC, NPair, SimCLR, Triplet, cpc
from tfssl.runner import plugins

TARGET_SEED = 1_000_003  # between the seeds of the online networks and those of their targets


class Kit:
    """What a method is made from, beside the Config.

    Args:
        encoder: (seed, name) -> a new encoder; equal seeds, equal initial weights.
        probe: dimension of h -> a new linear classifier, or None where none is wanted.
        normalization: class of the normalization layers of the heads.
        total_steps: steps of the run.
        size: (height, width) of the views in pixels.
        pixels: of each view, what its augmentation does after the crop.
    """

    def __init__(self, encoder, probe, normalization, total_steps, size=(32, 32), pixels=()):
        self.encoder, self.probe, self.normalization = encoder, probe, normalization
        self.total_steps, self.size, self.pixels = total_steps, size, pixels


def projector(config, normalization, in_dim, name="projector"):
    """SimCLR's projector, as a Config has it."""
    return layers.projector(
        in_dim,
        mode=config.proj_head_mode,
        out_dim=config.proj_out_dim,
        hidden_dim=config.proj_hidden_dim,
        num_layers=config.num_proj_layers,
        bn_momentum=config.batch_norm_decay,
        normalization=normalization if config.proj_batch_norm else None,
        seed=config.seed + 1,
        name=name,
    )


def byol_head(config, normalization, in_dim, seed=0, name="projector"):
    """BYOL's projector, as a Config has it, and of the same form the predictor."""
    return layers.byol_head(
        in_dim,
        mode=config.proj_head_mode,
        out_dim=config.proj_out_dim,
        hidden_dim=config.proj_hidden_dim,
        num_layers=config.num_proj_layers,
        bn_momentum=config.batch_norm_decay,
        normalization=normalization if config.proj_batch_norm else None,
        seed=config.seed + 1 + seed,
        name=name,
    )


def networks(config, kit):
    """What contrastive methods share: {"encoder", "projector", "probe", "seed"}."""
    encoder = kit.encoder(config.seed, "encoder")
    width = encoder.output_shape[-1]
    return {
        "encoder": encoder,
        "projector": projector(config, kit.normalization, width),
        "probe": kit.probe(width),
        "seed": config.seed,
        "input_range": "0,1",
    }


def simclr(config, kit):
    options = networks(config, kit)
    if config.memory_size:
        width = options["encoder"].output_shape[-1]
        options |= {
            "memory_size": config.memory_size,
            "memory_decay": config.memory_decay,
            "memory_encoder": kit.encoder(config.seed, "memory_encoder"),
            "memory_projector": projector(config, kit.normalization, width, "memory_projector"),
        }
    in_blocks = 0 < config.blockwise_loss_from <= config.train_batch_size
    return SimCLR(
        **options,
        temperature=config.temperature,
        normalize=config.hidden_norm,
        in_blocks=in_blocks,
    )


def npair(config, kit):
    return NPair(
        **networks(config, kit),
        by_class=config.positives == "classes",
        temperature=config.temperature,
        normalize=config.hidden_norm,
    )


def triplet(config, kit):
    return Triplet(
        **networks(config, kit),
        by_class=config.positives == "classes",
        margin=config.triplet_margin,
        normalize=config.hidden_norm,
    )


def contrastive_predictive_coding(config, kit):
    patch, stride, rows, _ = cpc.grid(kit.size, config.cpc_patch, config.cpc_stride)
    options = networks(config, kit)
    dim = options["projector"].output_shape[-1]
    return CPC(
        **options,
        context=cpc.gru(dim, config.seed + 200),
        predictions=cpc.products(dim, dim, rows - 1, config.seed + 300),
        patch=patch,
        stride=stride,
        pixels=kit.pixels,
    )


def byol(config, kit):
    head = functools.partial(byol_head, config, kit.normalization)
    encoder = kit.encoder(config.seed, "encoder")
    width = encoder.output_shape[-1]
    online = head(width)
    return BYOL(
        encoder,
        online,
        # The seeds of the heads' layers are consecutive: leave room between one head and the next.
        head(online.output_shape[-1], 100, "predictor"),
        target_encoder=kit.encoder(config.seed + TARGET_SEED, "target_encoder"),
        target_projector=head(width, TARGET_SEED, "target_projector"),
        target_init="fresh",
        probe=kit.probe(width),
        base_target_decay=config.base_target_decay,
        total_steps=kit.total_steps,
        seed=config.seed,
        input_range="0,1",
    )


def of_options(config, kit):
    """A method whose arguments are options; it makes its own heads and targets."""
    options, made = plugins.values_of(config), class_of(config.method)
    if "total_steps" in inspect.signature(made.__init__).parameters:
        options |= {"total_steps": kit.total_steps}
    encoder = kit.encoder(config.seed, "encoder")
    probe = kit.probe(encoder.output_shape[-1])
    try:
        return made(encoder, probe=probe, seed=config.seed, input_range="0,1", **options)
    except (TypeError, ValueError) as error:  # the class is the user's
        raise UsageError(f"--method={config.method} cannot be made: {error}") from error


def class_of(name):
    """The class of a method: a plug-in's, or the one that its entry in the table names."""
    entry = registry.find("method", name)
    if entry:
        return entry.value
    module, _, made = METHODS[name].path.partition(":")
    return getattr(importlib.import_module(module), made)


def method(config, kit):
    """The method that a Config asks for, as a model that is not compiled yet."""
    return BUILDERS.get(config.method, of_options)(config, kit)


PROJECTORS = {"simclr": projector, "byol": byol_head}  # by `tfssl.config.Method.projector`
BUILDERS = {  # of the methods whose arguments are knobs; of others they are options
    "simclr": simclr,
    "byol": byol,
    "npair": npair,
    "triplet": triplet,
    "cpc": contrastive_predictive_coding,
}
