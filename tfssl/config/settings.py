"""`Config`: all knobs of a run, the values in force, and which of them were asked for."""

import dataclasses

from tfssl.config import checks
from tfssl.config.defaults import DECIDING, default_of
from tfssl.config.methods import METHODS
from tfssl.config.modes import MODES, TASKS
from tfssl.config.options import augmentation, evaluation, general, network, training
from tfssl.config.values import counts


@dataclasses.dataclass(frozen=True)
class Config(  # dataclasses lists the fields of the last base first: read upwards
    training.CompatibilityOptions,
    training.DeviceOptions,
    training.SpeedOptions,
    training.LogOptions,
    evaluation.ExportOptions,
    evaluation.LinearOptions,
    evaluation.DistillationOptions,
    evaluation.TransferOptions,
    evaluation.EvaluationOptions,
    training.OptimizerOptions,
    network.MethodOptions,
    network.NetworkOptions,
    augmentation.ViewOptions,
    general.DataOptions,
    general.RunOptions,
):
    """A run, whole.

    A knob that is not given, or given as None, takes its default, which may differ by --method, by
    what is trained, or follow other settings: see `tfssl.config.defaults`. So what is stored, and
    recorded with the run, is always the value in force. `replace` acts on what was asked for;
    `dataclasses.replace` would ask for every value.

    Raises:
        UsageError: a value of the wrong type, outside its range, or at odds with another one.

    Example:
        >>> config = Config(method="byol", temperature=0.5)
        >>> config.learning_rate, sorted(config.asked)
        (0.45, ['method', 'temperature'])
        >>> config.replace(method="simclr").learning_rate
        1.0
    """

    def __post_init__(self):
        fields = {field.name: field for field in dataclasses.fields(self)}
        for name in DECIDING:
            self._set(fields.pop(name), getattr(self, name))
        defaults = {n: default_of(f, self) for n, f in fields.items() if n not in self.asked}
        made = [name for name, default in defaults.items() if callable(default)]
        for name, field in fields.items():
            if name not in made:
                self._set(field, defaults.get(name, getattr(self, name)))
        for name in made:  # of the others
            self._set(fields[name], defaults[name](self))
        checks.check_together(self)

    def _set(self, field, value):
        value = checks.check_type(field, value)
        checks.check_range(field, value)
        object.__setattr__(self, field.name, value)

    def of_view(self, name, view):
        """An augmentation's setting for view 1 or 2."""
        own = getattr(self, f"view2_{name}", None) if view == 2 else None
        return getattr(self, name) if own is None else own

    @property
    def facts(self):
        """The `Method` of --method."""
        return METHODS[self.method]

    @property
    def task(self):
        """What is trained, one of TASKS."""
        return self.mode if self.mode in TASKS else self.train_mode or "pretrain"

    @property
    def trains(self):
        """Whether the encoder is."""
        return MODES[self.mode].trains

    @property
    def loads(self):
        """Whether a training starts from the weights in --checkpoint."""
        return self.trains and self.task != "pretrain" and self.checkpoint not in (None, "none")

    @property
    def evaluates(self):
        return MODES[self.mode].evaluates

    @property
    def of_a_run(self):
        """Whether it works on the run in --model_dir, which says what the settings are."""
        return MODES[self.mode].needs_run or (not self.trains and self.checkpoint is None)

    @property
    def neighbours(self):
        """The numbers in --knn_k, as a tuple of integers."""
        return counts(self.knn_k)
