"""Records, checkpoints and file names that are not what they should be, for the fuzz harness."""

import dataclasses
import json
import os
import shutil

from hypothesis import strategies as st

ALWAYS = ("flags.json", "data.json", "time.json", "newest.json", "manifest.json")
RECORDS = {  # of the prepared runs
    "pre": (*ALWAYS, "result.json"),
    "stopped": ALWAYS,
    "tuned": (*ALWAYS, "result.json", "labels.json", "pretrained.json"),
    "student": (*ALWAYS, "result.json", "labels.json", "pretrained.json", "teacher.json"),
}
GONE = "(gone)"  # in place of a value: the key is taken away
VALUES = (
    None,
    True,
    0,
    1,
    -1,
    2**70,
    1.5,
    float("nan"),
    float("inf"),
    1e308,
    "",
    "x",
    "x" * 300,
    "a\nb",
    "\ud800",
    [],
    [1, 2],
    [[1, 2]],
    {},
    {"a": {"b": []}},
    GONE,
)
TEXTS = (
    "",
    "{",
    "null",
    "[]",
    "[1]",
    "3",
    '"x"',
    "{}",
    "NaN",
    "[" * 100_000,
    '{"a": 1' * 3,
    "\udcff",
    '{"a": 1}{"b": 2}',
    '{"step": 1e400}',
    "\0",
)
NAMES = (
    "a.png",
    "-rf.png",
    "--mode=eval",
    "a\nb.png",
    "a\tb",
    "'\"`$(x).png",
    "x.png.",
    "x.png ",
    " x",
    "\N{ROCKET}.png",
    "\N{RIGHT-TO-LEFT OVERRIDE}gnp.x",
    "\udcff\udcfe.png",
    "n" * 251 + ".png",
    "a,b;c.png",
    "=1+1",
    "%s{0}",
    "CON",
    "été.png",
    "\x1b[31m.png",
    "a\\b.png",
    "*.png",
)
MODES = ("resume", "eval", "knn", "embed", "export", "predict", "finetune", "linear_eval")


@dataclasses.dataclass(frozen=True)
class Damage:
    """A change of a record.

    Attributes:
        run: which prepared run: pre, stopped, tuned or student.
        mode: what is done with it then.
        record: the name of the file.
        place: which of its values, counted over all keys of all depths, modulo how many there are.
        value: what takes its place; a text of TEXTS takes that of the whole file.
        whole: whether it is the file that is replaced.
    """

    run: str
    mode: str
    record: str
    place: int
    value: object
    whole: bool

    def apply(self, directory):
        """Does it to a copy of the run."""
        paths = sorted(
            os.path.join(top, name)
            for top, _, names in os.walk(directory)
            for name in names
            if name == self.record
        )
        text = self.value
        if not self.whole:
            with open(paths[-1]) as file:
                content = json.load(file)
            spots = list(places(content)) or [(content, "new")]
            holder, key = spots[self.place % len(spots)]
            if self.value == GONE:
                holder.pop(key, None) if isinstance(holder, dict) else holder.pop(key)
            else:
                holder[key] = self.value
            text = json.dumps(content)
        with open(paths[-1], "wb") as file:
            file.write(text.encode("utf-8", "surrogateescape"))


def places(content):
    """(container, key) of every value of JSON."""
    pairs = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in list(pairs):
        yield content, key
        if isinstance(value, (dict, list)):
            yield from places(value)


def records():
    """A strategy of `Damage`s."""

    @st.composite
    def drawn(draw):
        run, mode = draw(st.sampled_from(sorted(RECORDS))), draw(st.sampled_from(MODES))
        record, place = draw(st.sampled_from(RECORDS[run])), draw(st.integers(0, 400))
        whole = draw(st.integers(0, 4)) == 0
        value = draw(st.sampled_from(TEXTS if whole else VALUES))
        return Damage(run, mode, record, place, value, whole)

    return drawn()


@dataclasses.dataclass(frozen=True)
class Broken:
    """Damage of the files of a checkpoint: (place of the file, share of it, what is done) each."""

    mode: str
    done: tuple
    run: str = "stopped"

    def apply(self, directory):
        top = os.path.join(directory, "checkpoints")
        files = sorted(
            os.path.join(root, name) for root, _, names in os.walk(top) for name in names
        )
        for place, share, how in self.done:
            self.change(files[place % len(files)], share, how)

    @staticmethod
    def change(path, share, how):
        if not os.path.isfile(path):
            return
        with open(path, "rb") as file:
            content = file.read()
        at = int(share * len(content))
        if how == "gone":
            os.remove(path)
        elif how == "directory":
            os.remove(path)
            os.mkdir(path)
        else:
            changed = {
                "cut": content[:at],
                "longer": content + b"x",
                "empty": b"",
                "flipped": content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
                if content
                else b"",
            }[how]
            with open(path, "wb") as file:
                file.write(changed)


def checkpoints():
    """A strategy of `Broken`s."""
    one = st.tuples(
        st.integers(0, 20),
        st.floats(0, 0.999),
        st.sampled_from(("gone", "cut", "flipped", "longer", "empty", "directory")),
    )
    return st.builds(
        Broken,
        st.sampled_from(("resume", "eval", "knn")),
        st.lists(one, min_size=1, max_size=4).map(tuple),
    )


@dataclasses.dataclass(frozen=True)
class Names:
    """Names of two classes and of three images of each, as the file system has them."""

    classes: tuple
    images: tuple

    def make(self, directory, pixels):
        """Makes the folder; pixels: the content of an image, by its number."""
        shutil.rmtree(directory, ignore_errors=True)
        for split in ("train", "test"):
            for number, name in enumerate(self.classes):
                os.makedirs(os.path.join(directory, split, name))
                for place, image in enumerate(self.images):
                    with open(os.path.join(directory, split, name, image), "wb") as file:
                        file.write(pixels(len(split) + 10 * number + 100 * place))


def names():
    """A strategy of `Names`."""
    text = st.text(
        st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]),
        min_size=1,
        max_size=40,
    )
    name = st.one_of(st.sampled_from(NAMES), st.sampled_from(NAMES), text).filter(
        lambda name: not name.startswith(".") and len(os.fsencode(name)) <= 255
    )
    return st.builds(
        Names,
        st.lists(name, min_size=2, max_size=2, unique=True).map(tuple),
        st.lists(name, min_size=8, max_size=8, unique=True).map(tuple),
    )
