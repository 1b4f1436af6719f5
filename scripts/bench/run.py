"""Benchmarks: python scripts/bench/run.py step input ... | --all

Every variant is a process of its own that stays alive; they are called in shuffled turns, so that
what else the machine does falls on all alike. Only the ratios within one table mean anything.
Writes results/bench/<table>.csv and .md, and prints the tables. The targets that a table has are
marked as met or missed below it.

Peers (--peers) are measured where they can be imported by the Python that runs this, and named as
absent otherwise; the project depends on none of them but keras-cv.
"""

import argparse
import importlib
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [ROOT, os.path.dirname(HERE)]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from runs import write_table  # noqa: E402  (scripts/runs.py)

TABLES = (
    "step",
    "input",
    "channels",
    "loss",
    "ema",
    "accumulate",
    "remat",
    "information",
    "width",
    "transformer",
    "run",
    "startup",
    "epochs",
)
PEERS = ("keras_cv", "keras", "torchvision", "lightly", "timm")


class Variant:
    """A live process (worker.py) that holds one variant, warm."""

    def __init__(self, table, name, settings):
        self.name, self.runs = name, []
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [sys.executable, os.path.join(HERE, "worker.py"), table, name, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        self.about = self.answer()

    def answer(self):
        """The next line that is JSON; None once the process is gone."""
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        return None

    def turn(self):
        try:
            self.process.stdin.write("go\n")
            self.process.stdin.flush()
        except BrokenPipeError:  # it is gone; what it said is in `errors`
            return
        result = self.answer()
        if result:
            self.runs.append(result["seconds"])

    def why(self):
        """The last line that a process which has gone left behind."""
        self.errors.seek(0)
        lines = [line.strip() for line in self.errors if line.strip()]
        return lines[-1][:200] if lines else "no message"

    def close(self):
        self.process.kill()
        self.process.wait()


def measure(table, module, arguments):
    """The rows of one table."""
    peers = arguments.peers.split(",") if arguments.peers else []
    settings = {"data_dir": arguments.data_dir}
    variants, absent = [], []
    for name, needs in module.VARIANTS.items():
        if needs and needs not in peers:
            continue
        if needs and importlib.util.find_spec(needs) is None:
            absent.append({"variant": name, "note": f"{needs} is not installed"})
            continue
        print(f"{table}: {name} ...", end=" ", flush=True)
        variant = Variant(table, name, settings)
        if variant.about is None:
            absent.append({"variant": name, "note": f"failed: {variant.why()}"})
            print(absent[-1]["note"], flush=True)
            variant.close()
            continue
        print(f"ready after {variant.about['first_seconds']:.1f} s", flush=True)
        if getattr(module, "ALIVE", True):
            variants.append(variant)
        else:  # what would disturb the others merely by being there
            for _ in range(arguments.rounds):
                variant.turn()
            variant.close()
            variants.append(variant)
    if getattr(module, "ALIVE", True):
        order = list(variants)
        for number in range(arguments.rounds):
            random.Random(number).shuffle(order)
            for variant in order:
                variant.turn()
            print(f"{table}: round {number + 1} of {arguments.rounds}", flush=True)
    rows = [row(variant, module.UNIT) for variant in variants if variant.runs]
    for variant in variants:
        variant.close()
        if len(variant.runs) < arguments.rounds:
            absent.append(
                {
                    "variant": variant.name,
                    "note": f"ended after {len(variant.runs)} rounds: {variant.why()}",
                }
            )
    if not rows:
        raise SystemExit(f"{table}: no variant could be measured: {markdown([], absent)}")
    return (module.finish(rows) if hasattr(module, "finish") else rows), absent


def row(variant, unit):
    about = variant.about
    median = statistics.median(variant.runs)
    made = {
        "variant": variant.name,
        "ms": 1e3 * median / about["calls"],
        "spread": (max(variant.runs) - min(variant.runs)) / median,
    }
    if unit and about["items"]:
        made[f"{unit}/s"] = about["items"] * about["calls"] / median
    if about["flops"]:
        made["GFLOP"] = about["flops"] / 1e9
        made["GFLOP/s"] = about["flops"] * about["calls"] / median / 1e9
    made["first, s"] = about["first_seconds"]
    made["peak, MB"] = about["peak_mb"]
    return made


def ratios(rows, unit):
    """Adds how many times as fast each row is as the first."""
    for one in rows:
        if not unit:
            one["ratio"] = rows[0]["ms"] / one["ms"]
        elif f"{unit}/s" in one:
            one["ratio"] = one[f"{unit}/s"] / rows[0][f"{unit}/s"]


def markdown(rows, absent):
    names = list(dict.fromkeys(name for one in rows for name in one))
    lines = ["| " + " | ".join(names) + " |", "| --- |" + " ---: |" * (len(names) - 1)]
    for one in rows:
        lines.append("| " + " | ".join(shown(one.get(name, "")) for name in names) + " |")
    lines += [f"\nAbsent: {one['variant']} ({one['note']})." for one in absent]
    return "\n".join(lines)


def shown(value):
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def machine():
    from tfssl.runner import device

    found = device.describe()
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    for name in ("torch", "torchvision", "lightly", "timm", "keras_cv"):
        if importlib.util.find_spec(name):
            versions += f", {name} {importlib.metadata.version(name)}"
    return f"{found['device']}, {platform.system()}; {versions}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tables", nargs="*", metavar="table", help=", ".join(TABLES))
    parser.add_argument("--all", action="store_true", help="every table")
    parser.add_argument("--peers", default=",".join(PEERS), help="comma-separated; empty: none")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data_dir", help="prepared datasets, for what needs real images")
    parser.add_argument("--output", default=os.path.join(ROOT, "results", "bench"))
    arguments = parser.parse_args()
    tables = TABLES if arguments.all else arguments.tables
    unknown = set(tables) - set(TABLES)
    if unknown or not tables:
        parser.error(f"tables are {', '.join(TABLES)}. Received: {' '.join(unknown) or 'none'}")
    os.makedirs(arguments.output, exist_ok=True)
    for table in tables:
        module = importlib.import_module(f"tables.{table}")
        rows, absent = measure(table, module, arguments)
        ratios(rows, module.UNIT)
        write_table(rows, os.path.join(arguments.output, f"{table}.csv"))
        try:
            targets = module.targets({one["variant"]: one for one in rows})
        except KeyError as missing:
            targets = [(f"nothing can be said without {missing}", False)]
        text = "\n\n".join(
            [
                f"# {module.__doc__.strip()}",
                f"`python scripts/bench/run.py {table}` on {machine()}; "
                f"medians of {arguments.rounds} rounds.",
                markdown(rows, absent),
                "\n".join(f"- **{'met' if met else 'missed'}**: {what}" for what, met in targets),
            ]
        )
        print(f"\n{text}\n", flush=True)
        with open(os.path.join(arguments.output, f"{table}.md"), "w") as file:
            file.write(text + "\n")


if __name__ == "__main__":
    main()
