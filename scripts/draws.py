"""What the fuzz harness tries, as strategies of hypothesis made from the table of knobs.

A knob that is added to `tfssl.Config` is drawn without anyone thinking of it: its type, choices and
check say which values it takes and which it does not.
"""

import dataclasses
import math
import shlex
import tempfile

import hypothesis.configuration
import numpy as np
from hypothesis import strategies as st
from hypothesis.internal.conjecture import providers

from tfssl.config import MORE_VIEW, VIEW, VIEW2, Config, kind

MOST = 6  # knobs that a draw changes
NUMBERS = (0, 1, 2, 3, 4, 5, 8, 10, 16, 40, 64, 1 / 64, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.999, 1.5)
EDGES = (
    0,
    1,
    -1,
    -0.0,
    7,
    17,
    5e-324,
    1e-320,
    1e-9,
    1e-4,
    1e6,
    1e9,
    1e12,
    1e38,
    1e39,
    1e308,
    math.inf,
    -math.inf,
    math.nan,
    2**31 - 1,
    2**31,
    2**53 + 1,
    2**63,
    10**30,
)
TEXTS = (
    "",
    " ",
    "\0",
    "a\nb",
    "\n",
    "\t",
    "été 日本 \N{ROCKET}",
    "\N{RIGHT-TO-LEFT OVERRIDE}abc",
    "\ud800",
    "\udcff",
    "x" * 300,
    "x" * 5000,
    "1" * 5000,
    "9" * 400,
    "../../up",
    "..",
    ".",
    "a/b",
    "/nowhere/x",
    "--mode",
    "-",
    "'\"`$(x)",
    "%s{0}",
    "~",
    "[",
    "(",
    "a:b",
    "a b",
    "*",
    "none",
    "None",
    "nan",
    "inf",
    "1e400",
    "-5",
    "5",
    "5,5",
    "0",
    "1_000",
    "0x10",
    "1e3",
    "\N{ARABIC-INDIC DIGIT THREE}",
    "+1",
    "3,4",
    "8x12",
    "16x16",
    "1x1",
    "9999999x9999999",
    "0,1",
    "-1,1",
    "1e-320,1e-310",
    "True",
    "yes",
    "name",
)
WRONG = (
    None,
    True,
    False,
    3,
    2.5,
    "5",
    "",
    (1, 2),
    [5, 5],
    (8, 12),
    [],
    {},
    b"x",
    math.nan,
    np.float32(0.5),
    np.int64(3),
    [None],
    1j,
)
WORDS = {  # texts that mean something to some knobs; {pre} and so on are places of the harness
    "dataset": ("shapes", "folder"),
    "probe_dataset": ("shapes", "folder"),
    "data_dir": ("{photos}",),
    "probe_data_dir": ("{photos}",),
    "train_split": (
        "train[:48]",
        "train[40:90]",
        "train[:1]",
        "train[5:4]",
        "train[:99999999]",
        "test[:30]",
    ),
    "eval_split": ("test[:40]", "train[100:140]", "train[:40]", "test[:1]"),
    "probe_train_split": ("train[:40]", "train"),
    "checkpoint": ("{pre}", "{tuned}", "none"),
    "teacher": ("{tuned}", "{pre}"),
    "label_list": ("{list}",),
    "output": ("written.keras", "a/written"),
    "model_dir": ("other", "a/other"),
    "eval_name": ("validation",),
    "variable_schema": (".*",),
}

TINY = dict(
    dataset="shapes",
    train_split="train[:48]",
    eval_split="test[:40]",
    image_size="16",
    width_multiplier=1 / 64,
    proj_out_dim=8,
    train_batch_size=16,
    train_steps=2,
    knn_k="5",
    train_summary_steps=1,
    precision="float32",
    compile_augmentation=False,
    model_dir="{run}",
    eval_baseline=False,
)
PLAIN = dict(  # where no knob of views is drawn: colours, whose graphs take long to make
    color_jitter_p=0.0, grayscale_p=0.0, flip_p=0.0, use_blur=False, view2_solarize_p=0.0
)
SHORT = dict(linear_epochs=1.0, linear_batch_size=16, embed_points=10)
BASES = {  # what is done: the settings that it needs beside TINY
    "simclr": {},
    "npair": dict(method="npair"),
    "triplet": dict(method="triplet"),
    "cpc": dict(method="cpc"),
    "byol": dict(method="byol", proj_hidden_dim=16),
    "memory": dict(memory_size=16),
    "swav": dict(method="swav", proj_hidden_dim=16, method_options="num_prototypes=8"),
    "mocov2": dict(method="mocov2", proj_hidden_dim=16, memory_size=32),
    "simsiam": dict(method="simsiam", proj_hidden_dim=16, pred_hidden_dim=8),
    "parts": dict(accumulate_steps=2),
    "train": dict(mode="train"),
    "google": dict(mode="train_then_eval", train_mode="pretrain"),
    "finetune": dict(mode="finetune", checkpoint="{pre}"),
    "scratch": dict(mode="finetune", checkpoint="none"),
    "distill": dict(mode="distill", teacher="{tuned}"),
    "resume": dict(model_dir="{stopped}"),
    "eval": dict(mode="eval", model_dir="{copy}"),
    "linear_eval": dict(mode="linear_eval", model_dir="{copy}", **SHORT),
    "linear_eval_of": dict(mode="linear_eval", checkpoint="{pre}", **SHORT),
    "knn": dict(mode="knn", model_dir="{copy}"),
    "knn_of": dict(mode="knn", checkpoint="{pre}"),
    "embed": dict(mode="embed", model_dir="{copy}", **SHORT),
    "export": dict(mode="export", checkpoint="{pre}", output="written.keras"),
    "predict": dict(mode="predict", checkpoint="{tuned}"),
}
VIEWS = {
    field.name
    for field in dataclasses.fields(Config)
    if field.metadata["group"] in (VIEW, VIEW2, MORE_VIEW)
}


@dataclasses.dataclass(frozen=True)
class Draw:
    """Settings to try.

    Attributes:
        base: a key of BASES.
        changes: {knob: value} beside it.
        line: whether they come as a command line, or else as `Config(**settings)`.
    """

    base: str
    changes: dict
    line: bool

    @property
    def settings(self):
        plain = {} if VIEWS & self.changes.keys() else PLAIN
        return {**TINY, **plain, **BASES[self.base], **self.changes}

    @property
    def words(self):
        """The settings as flags of run.py; one of None is left out."""
        return [
            f"--{name}={spelled(value)}"
            for name, value in self.settings.items()
            if value is not None
        ]

    def __str__(self):
        if self.line:
            return shlex.join(["run.py", *self.words])
        return "Config(" + ", ".join(f"{k}={v!r}" for k, v in self.settings.items()) + ")"


def spelled(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


def settings(fields=None):
    """A strategy of `Draw`s: a base with 1 to MOST knobs changed, in a third of them to values
    that they take.

    Args:
        fields: the knobs; None: all of `tfssl.Config`.
    """
    fields = {field.name: field for field in fields or dataclasses.fields(Config)}
    named = st.lists(st.sampled_from(sorted(fields)), min_size=1, max_size=MOST, unique=True)

    @st.composite
    def drawn(draw):
        base, line = draw(st.sampled_from(sorted(BASES))), draw(st.booleans())
        tame = draw(st.sampled_from((True, False, False)))
        return Draw(
            base,
            {
                name: draw(usual(fields[name]) if tame else values(fields[name], line))
                for name in draw(named)
            },
            line,
        )

    return drawn()


def values(field, line):
    """A strategy for the values of a knob: three of five are usual ones.

    Args:
        field: of `dataclasses.fields(Config)`.
        line: whether they are for a command line, where all is text.
    """
    kinds = (usual(field), usual(field), usual(field), edges(field), odd(line))
    return st.integers(0, len(kinds) - 1).flatmap(kinds.__getitem__)  # one_of would join them


def usual(field):
    """Values that the knob takes by itself, however the other ones are."""
    of_type, optional, choices = kind(field)
    if choices:  # the default, or the first, is the quickest
        return st.sampled_from([field.default or choices[0], *choices])
    if of_type is bool:
        return st.booleans()
    if of_type is str:
        texts = WORDS.get(field.name) or accepted(field, TEXTS)
        return st.sampled_from(texts or (field.default,))
    pool = accepted(field, [of_type(n) for n in NUMBERS if of_type(n) == n]) or (field.default,)
    spread = (st.integers(0, 100) if of_type is int else st.floats(0, 4)).filter(
        lambda value: bool(accepted(field, [value]))
    )
    return st.one_of(st.sampled_from(pool), spread) if len(pool) > 1 else st.sampled_from(pool)


def accepted(field, values):
    """Those of some values that pass the check of a knob."""
    check = field.metadata["check"]
    return [value for value in values if check is None or check[0](value)]


def edges(field):
    """Where ranges, types and memory end."""
    of_type, *_ = kind(field)
    if of_type is int:
        return st.sampled_from([int(edge) for edge in EDGES if math.isfinite(edge)])
    return st.sampled_from(EDGES if of_type is float else TEXTS)


def odd(line):
    """What a knob of any type may be given by mistake or malice."""
    return (
        st.one_of(st.sampled_from(TEXTS), st.text(max_size=20))
        if line
        else st.sampled_from([*WRONG, *TEXTS])
    )


def drawn(strategy, count, seed):
    """So many draws of a strategy, a list.

    In a process that has drawn nothing before, equal seeds give equal draws: hypothesis remembers
    what it met.
    """
    found = []
    home = tempfile.TemporaryDirectory(prefix="hypothesis-")  # where it remembers across processes
    hypothesis.configuration.set_hypothesis_home_dir(home.name)
    if hasattr(providers, "_get_local_constants"):
        # Newer ones draw numbers and texts of our code too, in an order that is each process's own.
        providers._get_local_constants = providers.Constants

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(strategy)
    def collect(draw):
        found.append(draw)

    with home:
        collect()
    return found
