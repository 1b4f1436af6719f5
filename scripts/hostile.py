"""Files that are damaged, huge or no files at all: python scripts/hostile.py --count=300

Makes files of every kind that users name or have in folders: small valid ones, changed by a seed
(cut off, bits turned, lengths set to the largest, of another kind, empty, pipes, devices, links,
folders, with code to run). Each is handed to what reads that kind, which must give a right result
or refuse in one sentence, within a limit of time and memory, write nothing elsewhere, and run
nothing. Ends with 1 where one did not.
"""

import argparse
import collections
import contextlib
import io
import json
import os
import pickle
import random
import resource
import select
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile

import runs

SECONDS, MEMORY = 20, 2**30  # a file may take; bytes beyond what the reader has before
LENGTHS = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80")
PICTURES = ("png", "jpeg", "gif", "bmp", "tiff", "tiff16", "png16", "webp")
TITLE = "## Hostile files"


class Canary:
    """What a pickle of it would do when it is loaded: make a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


# ------------------------------------------------------------------ valid files, as bytes
def picture(kind):
    import numpy as np
    from PIL import Image

    deep = kind.endswith("16")
    values = np.random.default_rng(1).integers(
        0, 65536 if deep else 256, (12, 17) if deep else (12, 17, 3)
    )
    buffer = io.BytesIO()
    Image.fromarray(values.astype(np.uint16 if deep else np.uint8)).save(
        buffer, kind.removesuffix("16")
    )
    return buffer.getvalue()


def array():
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, np.zeros((5, 3), np.float32))
    return buffer.getvalue()


def network():
    """An encoder.keras, whole."""
    import keras

    from tfssl import Config, encoders
    from tfssl.storage import export, networks

    with tempfile.TemporaryDirectory() as directory:
        config = Config(width_multiplier=0.0625, dataset="shapes")
        encoder = encoders.resnet(
            18, stem="cifar", width_multiplier=0.0625, normalization=keras.layers.BatchNormalization
        )
        path = os.path.join(directory, export.FILE)
        export.write(encoder, path, networks.describe(config, "cifar", (16, 16), step=1))
        with open(path, "rb") as file:
            return file.read()


def settings():
    from tfssl import Config

    return json.dumps(Config(dataset="shapes").to_dict()).encode()


MAKERS = {kind: (lambda kind=kind: picture(kind)) for kind in PICTURES} | {
    "npy": array,
    "keras": network,
    "flags.json": settings,
    "flagfile": lambda: b"# remark\n--dataset=shapes\n--seed=3\n--use_blur\n",
    "label list": lambda: b"# remark\n0\n4\n17\n",
    "folder": lambda: picture("png"),
}


# ------------------------------------------------------------------ what is done to them
def cut(content, rng, canary):
    return content[: rng.randrange(len(content) + 1)]


def turned(content, rng, canary):
    """Some bits are others, most of them near the beginning, where the numbers are."""
    content = bytearray(content)
    for _ in range(rng.choice((1, 3, 20))):
        place = int(len(content) * rng.random() ** 3)
        content[place] ^= 1 << rng.randrange(8)
    return bytes(content)


def lengthened(content, rng, canary):
    """A length, wherever one may be, is the largest that there is."""
    place = int(max(0, len(content) - 4) * rng.random() ** 2)
    return content[:place] + rng.choice(LENGTHS) + content[place + 4 :]


def noise(content, rng, canary):
    return rng.choice(
        (
            b"",
            b"\0" * 4096,
            rng.randbytes(2000),
            b"[" * 100_000,
            b"9" * 5000 + b"\n",
            b"\xff\xfe",
            b"\n" * 100_000,
        )
    )


def repeated(content, rng, canary):
    return content * rng.choice((2, 50))


def with_code(content, rng, canary):
    """A pickle, alone or in the place of an array; a Keras layer that is code."""
    code = pickle.dumps(Canary(canary))
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (5, 3), }".ljust(117) + b"\n"
    if content.startswith(b"PK"):
        return keras_with_code(content, canary)
    return rng.choice((code, b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header + code))


def keras_with_code(content, canary):
    """The archive with a layer that is a function of Python's library."""
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            text = old.read(name)
            if name == "config.json":
                config = json.loads(text)
                config["config"]["layers"][1] |= {
                    "module": "builtins",
                    "class_name": "open",
                    "registered_name": "open",
                    "config": {"file": canary, "mode": "w"},
                }
                text = json.dumps(config)
            new.writestr(name, text)
    return changed.getvalue()


CHANGES = (cut, cut, turned, turned, turned, lengthened, lengthened, noise, repeated, with_code)


def device(path):
    os.symlink("/dev/zero", path)


def nowhere(path):
    os.symlink("nowhere", path)


def circle(path):
    os.symlink(os.path.basename(path), path)


def listening(path):
    with socket.socket(socket.AF_UNIX) as end, contextlib.chdir(os.path.dirname(path)):
        end.bind(os.path.basename(path))


def sparse(path):
    with open(path, "wb") as file:
        file.truncate(2**38)


SPECIAL = (os.mkfifo, os.mkdir, device, nowhere, circle, listening, sparse)
NAMES = (
    "a\nb.png",
    "\x1b[31m.png",
    "-rf.png",
    "a b.png",
    "a..png",
    "a" * 250 + ".png",
    "%s.png",
    "$(touch canary).png",
    b"\xff\xfe.png",
    "\u202e.png",
    "con.png",
    "a'\"`.png",
    "*.png",
)


def write(path, kind, contents, rng, canary):
    """Puts a hostile file of a kind in a place; returns what was done, in a word."""
    if kind == "folder":
        return write_folder(path, contents, rng, canary)
    if rng.random() < 0.15:
        make = rng.choice(SPECIAL)
        make(path)
        return make.__name__
    if rng.random() < 0.1:
        content, told = contents[rng.choice(sorted(set(contents) - {kind}))], "of another kind"
    else:
        change = rng.choice(CHANGES)
        content, told = change(contents[kind], rng, canary), change.__name__
    with open(path, "wb") as file:
        file.write(content)
    return told


def write_folder(path, contents, rng, canary):
    """Classes with odd names and files, two of them whole."""
    for number, name in enumerate(rng.sample(NAMES, 5)):
        place = os.path.join(os.fsencode(path), b"ab"[number % 2 : number % 2 + 1])
        os.makedirs(place, exist_ok=True)
        file = os.path.join(place, os.fsencode(name))
        if number < 2:
            with open(file, "wb") as whole:
                whole.write(contents["png"])
        else:
            write(
                file, rng.choice(PICTURES), {kind: contents[kind] for kind in PICTURES}, rng, canary
            ) if not isinstance(name, bytes) else os.mkfifo(file)
    return "names"


# ------------------------------------------------------------------ what reads them
def read_picture(path):
    """Examines it, and where it is taken, decodes it in a graph as training does."""
    import numpy as np
    import tensorflow as tf

    from tfssl.data import images

    found = images.examine(path, 10**6)
    if found.problem:
        return found.problem
    with open(path, "rb") as file:
        example = {
            "image": file.read(),
            "reader": found.reader,
            "orientation": found.orientation,
            "low": found.low,
            "high": found.high + (found.low == found.high),
        }
    image = tf.function(images.decode, reduce_retracing=True)(
        {name: tf.constant(value) for name, value in example.items()}, found.dtype != "uint8"
    )
    assert image.shape == (*found.size, 3), f"{image.shape}, and said to be {found.size}"
    assert np.isfinite(image.numpy()).all(), "values that are not finite"
    return None


def read_network(path):
    import numpy as np

    from tfssl import encoders
    from tfssl.storage import export, pretrained

    found = pretrained.find(path)
    encoder = encoders.resnet(
        18,
        stem="cifar",
        width_multiplier=0.0625,
        normalization=export.keras.layers.BatchNormalization,
    )
    found.restore(encoder)
    assert np.isfinite(encoder(np.zeros((1, 16, 16, 3), np.float32))).all()


def read_array(path):
    from tfssl.runner import distill

    assert distill.read(path, (5, 3)).shape == (5, 3)


def read_flagfile(path):
    import flags

    flags.parse(["run.py", f"--flagfile={path}"])


def read_settings(path):
    from tfssl.storage import runs as run_records

    os.mkdir(path + ".run")
    os.rename(path, os.path.join(path + ".run", "flags.json"))
    run_records.recorded(path + ".run")


def read_labels(path):
    from tfssl.data.source import read_list

    places = read_list(path, 20)
    assert len(set(places.tolist())) == len(places) and 0 <= places.min() <= places.max() < 20


def read_folder(path):
    from tfssl.data import folder, source

    images = source.held(
        folder.load(path, "train", max_bad_fraction=0.9, max_pixels=10**6, layout="classes"), 2**25
    )
    assert images.classes == ("a", "b") and 2 <= images.num_examples <= 5


READERS = {kind: read_picture for kind in PICTURES} | {
    "npy": read_array,
    "keras": read_network,
    "flags.json": read_settings,
    "flagfile": read_flagfile,
    "label list": read_labels,
    "folder": read_folder,
}


def judged(kind, path):
    """What comes of reading a file: ("right" or "refused" or "wrong", what was said)."""
    from tfssl import UsageError

    with contextlib.redirect_stdout(io.StringIO()):
        try:
            said = READERS[kind](path)
        except UsageError as error:
            said = str(error)
        except BaseException:
            return "wrong", traceback.format_exc()
    if said is None:
        return "right", ""
    return ("refused" if said and "\n" not in said else "wrong"), said


def serve():
    """Reads files that are named on standard input, a line of JSON each, and says what came of it.

    A process of its own, of limited memory, that may be ended when it takes too long.
    """
    import tfssl.runner.program  # noqa: F401 - all that is read with

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with open("/proc/self/statm") as file:
        taken = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + 4 * MEMORY,) * 2)
    for line in sys.stdin:
        job = json.loads(line)
        before, begun = peak(), time.monotonic()
        outcome, said = judged(job["kind"], job["path"])
        seconds, grown = time.monotonic() - begun, peak() - before
        if grown > MEMORY:
            outcome, said = "wrong", f"{grown / 2**20:,.0f} MiB of memory; {said}"
        print(json.dumps([outcome, said, round(seconds, 3)]), file=answers, flush=True)


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Reader:
    """The process that reads; one that hangs or dies is replaced."""

    def __init__(self, cwd):
        self.cwd, self.process = cwd, None

    def read(self, kind, path, seconds):
        """(outcome, what was said, seconds) of a file; the first one waits for the process."""
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, os.path.abspath(__file__), "--serve"],
                text=True,
                cwd=self.cwd,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={
                    **os.environ,
                    "TFSSL_CACHE_DIR": os.path.join(self.cwd, "cache"),
                    "PYTHONPATH": os.pathsep.join([runs.ROOT, os.environ.get("PYTHONPATH", "")]),
                },
            )
            seconds += 300
        self.process.stdin.write(json.dumps({"kind": kind, "path": path}) + "\n")
        self.process.stdin.flush()
        line = ""
        if select.select([self.process.stdout], [], [], seconds)[0]:
            line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        why = "took too long" if self.process.poll() is None else "killed its reader"
        self.end()
        return "wrong", why, seconds

    def end(self):
        if self.process:
            self.process.kill()
            self.process.communicate()
            self.process = None


def trial(count, seed, kinds=None, report=print):
    """Makes and reads so many hostile files.

    Args:
        count: how many, of all kinds in turn.
        seed: of what they are.
        kinds: some of READERS; None: all.
        report: what went wrong goes here.

    Returns:
        [(kind, what was done, outcome, what was said, seconds)].
    """
    contents, outcomes = {kind: make() for kind, make in MAKERS.items()}, []
    kinds = list(kinds or READERS)
    with tempfile.TemporaryDirectory(prefix="hostile-") as place:
        canary, inside = os.path.join(place, "canary"), os.path.join(place, "cwd")
        os.mkdir(inside)
        reader = Reader(inside)
        reader.read("label list", os.path.join(inside, "none"), SECONDS)  # it is up now
        for number in range(count):
            kind, rng = kinds[number % len(kinds)], random.Random(f"{seed} {number}")
            path = os.path.join(place, "file." + kind.replace(" ", "."))
            done = write(path, kind, contents, rng, canary)
            outcome, said, seconds = reader.read(kind, path, SECONDS)
            for other in (path, path + ".run"):
                remove(other)
            left = sorted({*os.listdir(place), *os.listdir(inside)} - {"cwd", "cache"})
            if left:
                outcome, said = "wrong", f"{', '.join(left)} was made"
                remove(canary)
            outcomes.append((kind, done, outcome, said, seconds))
            if outcome == "wrong":
                report(f"{number}: {kind}, {done}: {said}")
        reader.end()
    return outcomes


def remove(path):
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def table(outcomes):
    """How many of each kind were read rightly, refused, and neither, in Markdown."""
    counts = collections.Counter((kind, outcome) for kind, _, outcome, *_ in outcomes)
    rows = [
        (kind, *(counts[kind, outcome] for outcome in ("right", "refused", "wrong")))
        for kind in dict.fromkeys(kind for kind, *_ in outcomes)
    ]
    rows.append(("all", *map(sum, list(zip(*rows))[1:])))
    return "\n".join(
        [
            "| kind | read | refused in one sentence | neither |",
            "| --- |" + 3 * " --- |",
            *(f"| {' | '.join(map(str, row))} |" for row in rows),
        ]
    )


def with_section(text, section):
    """A Markdown text with its section of hostile files replaced, or added."""
    before, _, after = text.partition(TITLE)
    _, heading, rest = after.partition("\n## ")
    return before.rstrip("\n") + f"\n\n{TITLE}\n\n{section}\n" + (heading and f"{heading}{rest}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--report", help="a Markdown file, whose section of these is written anew")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        return serve()
    outcomes = trial(arguments.count, arguments.seed)
    slowest = max((seconds for *_, seconds in outcomes), default=0)
    command = f"python scripts/hostile.py --count={arguments.count} --seed={arguments.seed}"
    section = f"`{command}`; the slowest took {slowest:.1f} s.\n\n{table(outcomes)}"
    print(section)
    if arguments.report:
        text = ""
        if os.path.exists(arguments.report):
            with open(arguments.report) as file:
                text = file.read()
        runs.write(arguments.report, with_section(text, section))
    return int(any(outcome == "wrong" for _, _, outcome, *_ in outcomes))


if __name__ == "__main__":
    sys.exit(main())
