"""The optimizer of a run, by --optimizer and the flags of its settings."""

import re

import keras

from tfssl import optim

# Last layers, which muon leaves to adamw: parts of a model, and the end of a path within one.
LAST, PIXELS = ("probe", "head", "prototypes", "pixels"), "decoder/pixels/kernel"


def build(job, model):
    """The optimizer of a built model at the run's learning rate.

    Of those that are not DECOUPLED `Learner.compile` gives the weight decay.
    """
    config = job.config
    clip = {"global_clipnorm": config.clip_norm}
    # The schedule needs at least one step after the warm-up, even if training ends before.
    rate = optim.WarmupCosine(
        job.learning_rate, job.warmup_steps, max(job.total_steps, job.warmup_steps + 1)
    )
    if config.optimizer == "lars":
        return optim.LARS(
            rate,
            momentum=config.momentum,
            eeta=config.lars_eeta,
            momentum_form=config.lars_form,
            **clip,
        )
    if config.optimizer == "momentum":
        return keras.optimizers.SGD(rate, momentum=config.momentum, nesterov=True, **clip)
    decay, beta_2 = {"weight_decay": weight_decay(job)}, config.adam_beta_2
    if config.optimizer == "lion":
        return optim.Lion(rate, **decay, **clip)
    if config.optimizer == "muon":
        return optim.Muon(
            rate,
            **decay,
            **clip,
            adam_weight_decay=decay["weight_decay"],
            adam_beta_2=beta_2,
            exclude_layers=[f"^{re.escape(v.path)}$" for v in not_by_muon(model)],
        )
    if config.optimizer == "adamw":
        return optim.AdamW(rate, beta_2=beta_2, **decay, **clip)
    return keras.optimizers.Adam(rate, beta_2=beta_2, **clip)


def weight_decay(job):
    """The weight decay of a run: a number, or a cosine from one to another."""
    start, end = job.config.weight_decay, job.config.weight_decay_end
    if end is None or end == start:
        return start
    return keras.optimizers.schedules.CosineDecay(start, job.total_steps, alpha=end / start)


def not_by_muon(model):
    """The matrices of a model that are no kernels, such as positions, or of its last layers."""
    last = {id(v) for name in LAST for v in getattr(model.parts.get(name), "variables", ())}
    kernels = {id(v) for part in model.parts.values() for v in optim.decayed(part)}
    matrices = [v for v in model.trainable_variables if len(v.shape) == 2]
    return [v for v in matrices if id(v) in last or id(v) not in kernels or v.path.endswith(PIXELS)]
