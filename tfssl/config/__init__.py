"""The settings of a run, each defined once; nothing beyond the standard library is needed.

options   type, default, help text and check of every setting ("knob")
method    the properties of a method that the table of methods states
methods   the table of methods: properties, defaults and options of each
modes     the table of modes: function and properties of each
defaults  defaults that depend on method, task or kind of images; defaults for older records
effects   which settings change nothing beside others
google    command lines of google-research/simclr
values    parsing and checks of single values
checks    checks of types, ranges and combinations
settings  `Config`
identity  which settings identify a run; default names of runs
schema    the dataclass field of a setting

Nothing here imports TensorFlow, so an invalid flag is refused before it is loaded.
"""

from tfssl.config.checks import NO_PROBE, STORED, check_range, check_type
from tfssl.config.defaults import (
    ABSENT,
    CHOSEN,
    LATER,
    NEED_RGB,
    VIEW_FLAGS,
    listed,
    view_flags,
    without_later,
)
from tfssl.config.effects import DECOUPLED, idle
from tfssl.config.google import GOOGLE_DEFAULTS, GOOGLE_DEFAULTS_LEFT, google_defaults
from tfssl.config.identity import ARCHITECTURE, FREE, default_model_dir, differences
from tfssl.config.method import Method
from tfssl.config.methods import BUILT_IN, METHODS, STANDARD
from tfssl.config.modes import MODES, TASKS, Mode
from tfssl.config.schema import (
    COMPAT,
    DISTILL,
    MORE_VIEW,
    SPEED,
    TRANSFER,
    VIEW,
    VIEW2,
    kind,
    knob,
)
from tfssl.config.settings import Config
from tfssl.config.values import NAMED_RANGES, moments, no_data, sides, value_range, within

__all__ = [
    "ABSENT",
    "ARCHITECTURE",
    "BUILT_IN",
    "CHOSEN",
    "DECOUPLED",
    "COMPAT",
    "Config",
    "DISTILL",
    "FREE",
    "GOOGLE_DEFAULTS",
    "GOOGLE_DEFAULTS_LEFT",
    "LATER",
    "NAMED_RANGES",
    "NEED_RGB",
    "METHODS",
    "MORE_VIEW",
    "MODES",
    "Method",
    "Mode",
    "NO_PROBE",
    "SPEED",
    "STANDARD",
    "STORED",
    "TASKS",
    "TRANSFER",
    "VIEW",
    "VIEW2",
    "VIEW_FLAGS",
    "check_range",
    "check_type",
    "default_model_dir",
    "differences",
    "google_defaults",
    "idle",
    "kind",
    "knob",
    "listed",
    "moments",
    "no_data",
    "sides",
    "value_range",
    "view_flags",
    "within",
    "without_later",
]
