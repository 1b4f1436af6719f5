"""`Config`: all settings of a run, with defaults, and which of them were given."""

import dataclasses

from tfssl.config import checks, forms
from tfssl.config.defaults import DECIDING, default_of, of_recipe
from tfssl.config.methods import METHODS
from tfssl.config.modes import MODES, TASKS
from tfssl.config.options import augmentation, evaluation, general, network, training
from tfssl.config.values import counts
from tfssl.domains import DOMAINS
from tfssl.errors import UsageError


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
    """All settings of a run; the arguments are the flags of the command line.

    A setting that is not given, or None, takes its default, which may depend on the method, the
    task or other settings (`tfssl.config.defaults`). Attributes have the resulting values. To
    change settings, use `replace`, which computes such defaults again; `dataclasses.replace` would
    keep them.

    Raises:
        UsageError: a value has the wrong type, is out of its range, or contradicts another one.

    Example:

    ```python
    config = tfssl.Config(method="byol", temperature=0.5)
    config.learning_rate, sorted(config.asked)  # (0.45, ['method', 'temperature'])
    config.replace(method="simclr").learning_rate  # 1.0
    tfssl.Config(learning_rate=1.0).replace(method="byol").learning_rate  # 1.0
    ```
    """

    def __post_init__(self):
        self._take_paths()
        fields = {field.name: field for field in dataclasses.fields(self)}
        for name in DECIDING:
            self._set(fields.pop(name), getattr(self, name))
        defaults = {n: default_of(f, self) for n, f in fields.items() if n not in self.asked}
        computed = [name for name, default in defaults.items() if callable(default)]
        for name, field in fields.items():
            if name not in computed:
                self._set(field, defaults.get(name, getattr(self, name)))
        for name in computed:  # from the values of the others
            self._set(fields[name], defaults[name](self))
        checks.check_together(self)

    def _take_paths(self):
        """Replaces a path in place of a dataset by its form and the path as its data_dir."""
        for name, place in (("dataset", "data_dir"), ("probe_dataset", "probe_data_dir")):
            path = getattr(self, name)
            form = forms.of_path(path) if isinstance(path, str) else None
            if form is None:
                continue
            if place in self.asked:
                raise UsageError(
                    f"--{place} must not be given where --{name} is a path. "
                    f"Received: {getattr(self, place)} and {path}"
                )
            object.__setattr__(self, name, form)
            object.__setattr__(self, place, path)
            object.__setattr__(self, "asked", self.asked | {place})

    def _set(self, field, value):
        value = checks.check_type(field, value)
        checks.check_range(field, value)
        object.__setattr__(self, field.name, value)

    def of_view(self, name, view):
        """The value of a setting of augmentation for view 1 or 2."""
        own = getattr(self, f"view2_{name}", None) if view == 2 else None
        return getattr(self, name) if own is None else own

    @property
    def own_views(self):
        """The --views that replace those of the flags; None for a kind of images."""
        return None if self.views in DOMAINS else self.views

    @property
    def by_images(self):
        """Whether neither --views nor the method says how the images are augmented."""
        fields = type(self).__dataclass_fields__
        of_method = any(of_recipe(fields[name]) for name in self.facts.defaults if name in fields)
        return not (self.views or of_method)

    @property
    def facts(self):
        """The `Method` of --method."""
        return METHODS[self.method]

    @property
    def task(self):
        """The kind of training, one of TASKS."""
        return self.mode if self.mode in TASKS else self.train_mode or "pretrain"

    @property
    def by_class(self):
        """Whether pretraining learns from the labels of --train_split."""
        return self.positives == "classes" or self.facts.by_class

    @property
    def trains(self):
        """Whether the mode trains an encoder."""
        return MODES[self.mode].trains

    @property
    def loads(self):
        """Whether training starts from the weights in --checkpoint."""
        return self.trains and self.task != "pretrain" and self.checkpoint not in (None, "none")

    @property
    def evaluates(self):
        return MODES[self.mode].evaluates

    @property
    def of_a_run(self):
        """Whether the mode uses the run in --model_dir, with its recorded settings."""
        mode = MODES[self.mode]
        return mode.needs_run or not (self.trains or mode.alone or self.checkpoint is not None)

    @property
    def neighbours(self):
        """The values of --knn_k, a tuple of integers."""
        return counts(self.knn_k)
