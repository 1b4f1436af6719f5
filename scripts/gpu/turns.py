"""Times training steps in turns: python turns.py OUTPUT.json --depth=18 --batch=1024 --seconds=180

tfssl_step.py and torch_step.py (--torch_python=PYTHON), two variants of each, live at the same time
on one GPU; each is asked in shuffled order for about a second of steps, for several rounds, so that
what slows the machine for a while slows all of them. A worker that runs out of memory beside the
others is tried again alone; that it does not fit is a result.
"""

import argparse
import json
import os
import queue
import random
import statistics
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import stages  # noqa: E402

TFSSL, TORCH = ("whole", "xla"), ("eager", "compile")
ALONE = 45.0  # seconds without which no worker is tried alone
ANSWER = 60.0  # seconds that one turn may take


class Died(Exception):
    """Why a worker is of no use, in one sentence."""


class Worker:
    """A process that is told a number of steps and answers with seconds."""

    def __init__(self, name, command, log):
        self.name, self.command, self.log = name, command, log
        self.lines, self.per_step, self.about, self.peak = queue.Queue(), [], {}, 0
        self.process = self.failed = None

    def start(self, until):
        """Starts it and waits until it is ready, or `until` (time.monotonic) has come."""
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                self.command,
                text=True,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        threading.Thread(target=self.listen, daemon=True).start()
        self.about = self.answer(until - time.monotonic())

    def listen(self):
        for line in self.process.stdout:
            if line.startswith("{"):
                self.lines.put(json.loads(line))
        self.lines.put(None)

    def answer(self, timeout):
        began = time.monotonic()
        try:
            found = self.lines.get(timeout=max(timeout, 0.1))
        except queue.Empty:
            raise Died(f"it gave no answer within {time.monotonic() - began:.0f} s") from None
        if found is None:
            self.process.wait(stages.KILLED)
            text = stages.tail(self.log)
            if stages.MEMORY.search(text):
                raise MemoryError
            raise Died(
                f"it ended with exit code {self.process.returncode}: {stages.last_line(text)}"
            )
        return found

    def steps(self, count):
        """Seconds of so many steps."""
        try:
            self.process.stdin.write(f"{count}\n")
            self.process.stdin.flush()
        except OSError:
            pass  # it has ended; the answer says how
        found = self.answer(ANSWER)
        self.peak = max(self.peak, found["peak_bytes"])
        return found["seconds"]

    def stop(self):
        if self.process:
            stages.end(self.process, 2.0)

    def attempt(self, work):
        """Calls `work`; what goes wrong in it ends the worker, and is kept."""
        try:
            work(self)
        except MemoryError:
            self.failed = "memory"
        except (Died, OSError, ValueError, KeyError) as error:
            self.failed = str(error)
        if self.failed:
            self.stop()


def commands(options):
    """{name: command} of the workers, in the order in which those of a library are started."""
    size = [
        f"--{name}={getattr(options, name)}" for name in ("depth", "batch", "size", "width")
    ]  # of both
    python = {"tfssl": sys.executable, "torch": options.torch_python}
    return {
        f"{library} {variant}": [
            python[library],
            os.path.join(HERE, f"{library}_step.py"),
            *size,
            f"--variant={variant}",
        ]
        for library, variants in (("tfssl", TFSSL), ("torch", TORCH))
        for variant in variants
        if python[library]
    }


def start(workers, until):
    """Starts workers: two libraries side by side, the variants of one library one after another.

    XLA times kernels while it compiles. Two such at once would disturb each other.
    """
    chains = {}
    for worker in workers:
        chains.setdefault(worker.name.split()[0], []).append(worker)

    def follow(chain):
        for worker in chain:
            worker.attempt(lambda worker: worker.start(until))
            print(f"{worker.name}: {worker.failed or 'ready'}", flush=True)

    threads = [threading.Thread(target=follow, args=[chain]) for chain in chains.values()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def take_turns(workers, rounds, turn, until):
    """Asks each of the workers for about `turn` seconds of steps, `rounds` times."""
    alive = [worker for worker in workers if not worker.failed]
    counts = {}

    def calibrate(worker):
        counts[worker.name] = max(1, round(turn * 3 / worker.steps(3)))

    def measure(worker):
        count = counts[worker.name]
        worker.per_step.append(worker.steps(count) / count)

    for worker in alive:
        worker.attempt(calibrate)
    shuffle = random.Random(0).shuffle
    for number in range(rounds):
        if number and time.monotonic() > until:
            break
        alive = [worker for worker in alive if not worker.failed]
        shuffle(alive)
        for worker in alive:
            worker.attempt(measure)
        print(f"round {number + 1} of {rounds}", flush=True)


def told(worker, batch, alone=False):
    """What is kept of a worker."""
    if worker.failed == "memory":
        return {"fits": False, "alone": alone}
    if worker.failed or not worker.per_step:
        return {"failed": worker.failed or "no time was left for a turn"}
    per_step = statistics.median(worker.per_step)
    return {
        "images_per_second": batch / per_step,
        "seconds_per_step": per_step,
        "rounds": worker.per_step,
        "peak_bytes": worker.peak,
        "until_first_step_s": worker.about["first"],
        "device": worker.about["device"],
        "version": worker.about["version"],
        "alone": alone,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output")
    parser.add_argument("--logs", default=".", help="directory of the workers' logs")
    parser.add_argument("--depth", type=int, default=18)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--torch_python", default="", help="not given: tfssl alone")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--turn", type=float, default=1.0, help="seconds")
    parser.add_argument("--seconds", type=float, default=180.0, help="of all together")
    options = parser.parse_args()
    end = time.monotonic() + options.seconds
    name = os.path.splitext(os.path.basename(options.output))[0]

    def made(names):
        return [
            Worker(name_, command, os.path.join(options.logs, f"{name}-{name_.split()[1]}.log"))
            for name_, command in commands(options).items()
            if name_ in names
        ]

    def measured(workers):
        turns = 1.5 * options.turn * options.rounds * len(workers)
        try:
            start(workers, end - min(turns, (end - time.monotonic()) / 2))
            take_turns(workers, options.rounds, options.turn, end)
        finally:
            for worker in workers:
                worker.stop()

    def keep():
        failures = [f"{n}: {row['failed']}" for n, row in results.items() if "failed" in row]
        about = {name: getattr(options, name) for name in ("depth", "batch", "size", "width")}
        about |= {"workers": results}
        if failures:
            about["failed"] = "; ".join(failures)
        stages.write(options.output, about)

    together = made(commands(options))
    measured(together)
    results = {worker.name: told(worker, options.batch) for worker in together}
    keep()
    for name_ in [name_ for name_, row in results.items() if row.get("fits") is False]:
        if len(together) > 1 and end - time.monotonic() > ALONE:
            print(f"{name_}: once more, alone", flush=True)
            alone = made([name_])
            measured(alone)
            results[name_] = told(alone[0], options.batch, alone=True)
            keep()


if __name__ == "__main__":
    main()
