"""What a knob is: a dataclass field that carries its group, help text, check and choices."""

import dataclasses
import types
import typing
from typing import Literal

RUN, DATA, VIEW, NET = "Run", "Data", "Augmentation", "Network"
VIEW2 = "Augmentation of view 2, where it differs"
METHOD, OPTIM, EVAL, LOG = "Method", "Optimizer and schedule", "Evaluation", "Checkpoints and logs"
LINEAR = "Linear evaluation (--mode=linear_eval)"
TRANSFER = (
    "Pretrained weights and labels (finetune, distill, linear_eval, knn, embed, export, predict)"
)
DISTILL = "Distillation (--mode=distill)"
EXPORT = "Export, embed and predict"
DEVICES = "Devices"
SPEED = "Speed (none of these changes what is computed, up to rounding)"
COMPAT = "Accepted for compatibility with google-research/simclr"


def knob(default, group, help, check=None, common=False, choices=None):
    """One setting, as a dataclass field.

    Args:
        default: the value where neither the setting nor `tfssl.config.defaults` gives another one.
        group: under which --help and --helpfull list it.
        help: the help text; `help` is argparse's and absl's word for it.
        check: (predicate, what is expected, in words); None: every value of the type is valid.
        common: whether --help lists it too, with the first sentence of its help text.
        choices: collection of the only valid values, read when it is needed; None: see the type.
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
    """The knob for view 2 alone beside one for both views."""
    text = "As the flag without view2_, for view 2 alone. Not given: the same as there."
    return knob(None, VIEW2, text, field.metadata["check"])


@typing.dataclass_transform(frozen_default=True, field_specifiers=(knob, second_view))
def group(cls):
    """Makes a class of knobs a dataclass to derive from, without the methods of an instance."""
    return dataclasses.dataclass(frozen=True, init=False, repr=False, eq=False)(cls)


def kind(field):
    """The type of a knob as (python type, is it optional, choices or None)."""
    hint, optional = field.type, False
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        hint, optional = typing.get_args(hint)[0], True
    if typing.get_origin(hint) is Literal:
        choices = typing.get_args(hint)
        return type(choices[0]), optional, choices
    choices = field.metadata["choices"]
    return hint, optional, None if choices is None else tuple(choices)


class Schema:
    """Base of dataclasses of knobs. They remember which knobs they were given.

    Attributes:
        asked: frozenset of names: the knobs that were given a value, also one that equals the
            default. None stands for "not given". It takes no part in comparisons.
    """

    asked: typing.ClassVar[frozenset]

    def __new__(cls, *values, **named):
        instance = super().__new__(cls)
        given = {**dict(zip(cls.__dataclass_fields__, values)), **named}
        asked = frozenset(name for name, value in given.items() if value is not None)
        object.__setattr__(instance, "asked", asked)
        return instance

    def replace(self, **changes):
        """The same request with some changes; what was not asked for takes its default anew.

        Args:
            **changes: {knob: value}; None takes back what was asked, as it does for a new Config.

        Example:
            >>> Config().replace(method="byol") == Config(method="byol")
            True
            >>> Config(learning_rate=1.0).replace(method="byol").learning_rate
            1.0
        """
        return type(self)(**{**{name: getattr(self, name) for name in self.asked}, **changes})

    def explicit(self):
        """An equal request that asks for every value but None, as a record of it does."""
        return type(self)(**self.to_dict())

    def to_dict(self):
        """{knob: value in force}, in the order of the table, as JSON can hold it."""
        return dataclasses.asdict(self)
