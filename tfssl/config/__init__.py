"""The settings of a run, each described once; standard library only.

options   the table: the type, default, meaning and check of every knob
methods   the table of methods: facts and defaults of each
modes     the table of modes: what does each, and the facts about it
defaults  defaults by method and by what is trained; what records of old lack
google    what command lines of google-research/simclr mean
values    texts that stand for numbers, checks of single values
checks    what is refused
settings  `Config`
identity  which settings make a run another one; names of runs
schema    what a knob is

A wrong flag is refused before TensorFlow is loaded: nothing here imports it.
"""

from tfssl.config.checks import NO_PROBE, check_range, check_type
from tfssl.config.defaults import ABSENT, LATER, listed, without_later
from tfssl.config.google import GOOGLE_DEFAULTS, GOOGLE_DEFAULTS_LEFT, google_defaults
from tfssl.config.identity import ARCHITECTURE, FREE, default_model_dir, differences
from tfssl.config.methods import METHODS, Method
from tfssl.config.modes import MODES, TASKS, Mode
from tfssl.config.schema import COMPAT, DISTILL, SPEED, TRANSFER, VIEW, VIEW2, kind, knob
from tfssl.config.settings import Config
from tfssl.config.values import sides, value_range, within

__all__ = [
    "ABSENT",
    "ARCHITECTURE",
    "COMPAT",
    "Config",
    "DISTILL",
    "FREE",
    "GOOGLE_DEFAULTS",
    "GOOGLE_DEFAULTS_LEFT",
    "LATER",
    "METHODS",
    "MODES",
    "Method",
    "Mode",
    "NO_PROBE",
    "SPEED",
    "TASKS",
    "TRANSFER",
    "VIEW",
    "VIEW2",
    "check_range",
    "check_type",
    "default_model_dir",
    "differences",
    "google_defaults",
    "kind",
    "knob",
    "listed",
    "sides",
    "value_range",
    "within",
    "without_later",
]
