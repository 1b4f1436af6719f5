"""Processes with a time limit, a log, and a result that is written whole."""

import contextlib
import dataclasses
import json
import os
import re
import signal
import subprocess
import time

LOOK = 0.1  # seconds between two looks at a process
TELL = 15.0  # seconds between two lines on one that runs
SPARE = 10.0  # seconds in which a task that keeps its own time ends before it is stopped
KILLED = 10.0  # seconds that the system may take to end a process that was killed
MEMORY = re.compile(r"out of memory|OutOfMemory|RESOURCE_EXHAUSTED|ResourceExhausted|\bOOM\b", re.I)


class Clock:
    """What is left of a number of minutes."""

    def __init__(self, minutes):
        self.began, self.seconds = time.monotonic(), 60.0 * minutes

    @property
    def elapsed(self):
        return time.monotonic() - self.began

    @property
    def left(self):
        return self.seconds - self.elapsed

    def say(self, text):
        """Prints a line with the minutes that are over and those that are left."""
        left = max(self.left, 0.0)
        print(f"[{self.elapsed / 60:.1f} min, {left / 60:.1f} left] {text}", flush=True)


@dataclasses.dataclass
class Task:
    """A process that leaves a result.

    Attributes:
        name: of the task; that of its files.
        command: its words; "{seconds}" in them stands for those that it has, less `SPARE`.
        result: path of its JSON, which is complete where it has no key "failed".
        least: seconds without which it is not begun.
        most: seconds after which it is stopped.
        grace: seconds between SIGTERM and SIGKILL.
        mark: a regular expression; the seconds until the log matches it are recorded.
        finish: function (Ended) -> content of the result; None: the process writes it itself.
    """

    name: str
    command: list
    result: str
    least: float = 0.0
    most: float = float("inf")
    grace: float = 5.0
    mark: str | None = None
    finish: object = None


@dataclasses.dataclass
class Ended:
    """How a process ended.

    Attributes:
        failed: one sentence, or None.
        cut: whether the time limit stopped it.
        seconds: how long it took.
        marked: seconds until `Task.mark` was seen, or None.
    """

    failed: str | None
    cut: bool
    seconds: float
    marked: float | None


def read(path):
    """A JSON file, {} where there is none or it is damaged."""
    try:
        with open(path) as file:
            return json.load(file)
    except (OSError, ValueError):
        return {}


def write(path, content):
    """Writes a JSON file whole or not at all."""
    with open(path + ".tmp", "w") as file:
        json.dump(content, file, indent=1)
        file.write("\n")
    os.replace(path + ".tmp", path)


def complete(path):
    content = read(path)
    return bool(content) and "failed" not in content


def tail(path, start=0, size=20_000):
    """The end of a log, from byte `start` on."""
    try:
        with open(path, "rb") as file:
            file.seek(max(start, os.path.getsize(path) - size))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def last_line(text, width=160):
    """The last line of a log that says something."""
    lines = [line.strip() for line in re.split(r"[\r\n]", text) if line.strip()]
    return lines[-1][:width] if lines else "(nothing was printed)"


def stop(process, grace):
    """Ends a process that leads a group, and the group: SIGTERM, then SIGKILL."""
    signal_group(process, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(grace)
    signal_group(process, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(KILLED)


def end(process, grace=0.0):
    """Ends a process: SIGTERM where `grace` seconds are left to it, then SIGKILL."""
    if grace:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace)
    process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(KILLED)


def signal_group(process, number):
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def run(task, seconds, log, env, clock):
    """Runs a task for at most `seconds`, then stops it; its output is appended to `log`.

    Returns:
        An `Ended`. Whatever ends this function, no process of the task is left.
    """
    start = os.path.getsize(log) if os.path.exists(log) else 0
    command = [word.replace("{seconds}", f"{max(seconds - SPARE, 1):.0f}") for word in task.command]
    with open(log, "ab") as file:
        process = subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    began = told = time.monotonic()
    marked = None
    try:
        while process.poll() is None and time.monotonic() - began < seconds:
            if marked is None and task.mark and re.search(task.mark, tail(log, start)):
                marked = time.monotonic() - began
            if time.monotonic() - told >= TELL:
                told = time.monotonic()
                clock.say(f"{task.name}: {last_line(tail(log, start), 100)}")
            time.sleep(LOOK)
        cut = process.poll() is None
    finally:
        stop(process, task.grace)
    text = tail(log, start)
    if marked is None and task.mark and re.search(task.mark, text):
        marked = time.monotonic() - began
    failed = None
    if cut:
        failed = f"cut off after {seconds:.0f} s, at: {last_line(text)}"
    elif process.returncode:
        failed = f"ended with exit code {process.returncode}: {last_line(text)}"
    return Ended(failed, cut, time.monotonic() - began, marked)


def carry_out(task, clock, reserve, log, env):
    """Runs a task within the time that is left, and completes its result.

    Args:
        reserve: seconds to leave of the clock.

    Returns:
        None where it is done; else one sentence: why it failed, or was not begun.
    """
    if complete(task.result):
        clock.say(f"{task.name}: done by an earlier call")
        return None
    seconds = min(task.most, clock.left - reserve - task.grace)
    if seconds < max(task.least, 1.0):
        why = f"not begun: it needs {task.least:.0f} s, and {max(seconds, 0):.0f} s are left for it"
        clock.say(f"{task.name}: {why}")
        return why
    clock.say(f"{task.name}: begins, for at most {seconds:.0f} s")
    ended = run(task, seconds, log, env, clock)
    content = concluded(task, ended)
    write(task.result, content)
    clock.say(f"{task.name}: {content.get('failed', 'done')} ({ended.seconds:.0f} s)")
    return content.get("failed")


def concluded(task, ended):
    """The content of a task's result after its process."""
    content = task.finish(ended) if task.finish else read(task.result)
    if ended.failed:
        content = {**content, "failed": ended.failed}
        if ended.cut:
            content.pop("running", None)
    elif not content:
        content = {"failed": "it ended without a result"}
    return content
