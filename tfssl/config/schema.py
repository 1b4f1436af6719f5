"""Settings ("knobs") as dataclass fields with a group, help text, check and choices."""

import dataclasses
import types
import typing
from typing import Literal

RUN, DATA, VIEW, NET = "Run", "Data", "Augmentation", "Network"
VIEW2 = "Augmentation of view 2, where it differs"
MORE_VIEW = "Augmentation of other images than photographs (--views chooses for a kind of images)"
METHOD, OPTIM, EVAL, LOG = "Method", "Optimizer and schedule", "Evaluation", "Checkpoints and logs"
LINEAR = "Linear evaluation (--mode=linear_eval)"
TRANSFER = (
    "Pretrained weights and labels (finetune, distill, linear_eval, knn, embed, select, export, "
    "predict)"
)
DISTILL = "Distillation (--mode=distill)"
EXPORT = "Export, embed, report, select, predict and plan"
DEVICES = "Devices"
SPEED = "Speed (none of these changes what is computed, up to rounding)"
COMPAT = "Accepted for compatibility with google-research/simclr"


def knob(default, group, help, check=None, common=False, choices=None):
    """Defines a setting as a dataclass field.

    Args:
        default: the default; `tfssl.config.defaults` may override it.
        group: heading under which --help and --helpfull list it.
        help: the help text.
        check: (predicate, description of valid values); None: all values of the type are valid.
        common: whether --help lists it too, with the first sentence of its help text.
        choices: collection of the valid values, evaluated when needed; None: given by the type.
    """
    metadata = {
        "group": group,
        "help": help,
        "check": check,
        "common": common,
        "choices": choices,
    }
    return dataclasses.field(default=default, metadata=metadata)


def second_view(field):
    """The setting of view 2 only, next to one of both views."""
    text = "As the flag without view2_, for view 2 only. Not given: the same value."
    return knob(None, VIEW2, text, field.metadata["check"])


@typing.dataclass_transform(frozen_default=True, field_specifiers=(knob, second_view))
def group(cls):
    """Makes a class of settings a dataclass to derive from, without generated methods."""
    return dataclasses.dataclass(frozen=True, init=False, repr=False, eq=False)(cls)


def kind(field):
    """The type of a setting as (Python type, whether it is optional, choices or None)."""
    hint, optional = field.type, False
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        hint, optional = typing.get_args(hint)[0], True
    if typing.get_origin(hint) is Literal:
        choices = typing.get_args(hint)
        return type(choices[0]), optional, choices
    choices = field.metadata["choices"]
    return hint, optional, None if choices is None else tuple(choices)


class Schema:
    """Base of dataclasses of settings, which record the settings that were given.

    Attributes:
        asked: frozenset of the names of settings that were given a value other than None, even if
            it equals the default. It is ignored in comparisons.
    """

    asked: typing.ClassVar[frozenset]

    def __new__(cls, *values, **named):
        instance = super().__new__(cls)
        given = {**dict(zip(cls.__dataclass_fields__, values)), **named}
        asked = frozenset(name for name, value in given.items() if value is not None)
        object.__setattr__(instance, "asked", asked)
        return instance

    def replace(self, **changes):
        """Returns a copy with some settings changed; the defaults of others are computed again.

        Args:
            **changes: {setting: value}; None resets a setting to its default.

        Example:

        ```python
        tfssl.Config().replace(method="byol") == tfssl.Config(method="byol")  # True
        tfssl.Config(learning_rate=1.0).replace(method="byol").learning_rate  # 1.0
        ```
        """
        return type(self)(**{**{name: getattr(self, name) for name in self.asked}, **changes})

    def explicit(self):
        """An equal copy in which every value other than None counts as given."""
        return type(self)(**self.to_dict())

    def to_dict(self):
        """{setting: value}, including defaults, in order of definition; JSON-serializable."""
        return dataclasses.asdict(self)
