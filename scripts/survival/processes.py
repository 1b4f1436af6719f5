"""Command lines as processes that die at a chosen moment.

TensorFlow is loaded once, here, where nothing is computed; every start is a fork of this process,
which saves the seconds that loading takes. A process notes what it does to the files of a
directory, each operation before it takes place, so that it can be killed exactly there. TensorFlow
writes from C++, which the interpreter does not see: random moments reach that.
"""

import collections
import os
import pickle
import re
import signal
import sys
import time
import traceback

PATIENCE = 600  # seconds after which a process that has not ended is taken to hang
LOOK = 0.01  # seconds between two looks at a process
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Audit events that change files: which arguments are paths, and where the descriptor is of the
# directory that the first is relative to.
CHANGES = {
    "os.rename": ((0, 1), 2),
    "os.link": ((0, 1), 2),
    "os.remove": ((0,), 1),
    "os.rmdir": ((0,), 1),
    "os.mkdir": ((0,), 2),
    "os.truncate": ((0,), None),
}


def load():
    """Loads what a run needs, before the first fork; nothing is computed."""
    from tensorboard.backend.event_processing import event_accumulator  # noqa: F401

    import run  # noqa: F401
    from tfssl.runner import program  # noqa: F401


def run_py(words):
    """A command line of run.py, as a function for `Start`."""
    import run

    return lambda: run.main(["run.py", *words])


class Start:
    """A process that works in a directory.

    Args:
        work: () -> exit code.
        directory: whose file operations are noted.
        log: path of the file that its output is added to.
        die_at: the operation, as `operations` tells it, before which it kills itself; None: none.
        env: {name: value}, further variables.
    """

    def __init__(self, work, directory, log, die_at=None, env=None):
        self.directory, self.log, self.trace = directory, log, f"{log}.trace"
        self.code, self.began, self.ended = None, time.monotonic(), None
        with open(self.trace, "w"), open(log, "a") as file:
            self.said_from = file.tell()
        sys.stdout.flush()
        self.pid = os.fork()
        if not self.pid:
            self.live(work, die_at, env or {})

    def live(self, work, die_at, env):
        """The process itself; does not return."""
        code = 70
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(
                    number,
                    signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL,
                )
            log = os.open(self.log, os.O_WRONLY | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.environ.update(env)
            watch(self.directory, os.open(self.trace, os.O_WRONLY | os.O_APPEND), die_at)
            code = work()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def alive(self):
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code, self.ended = os.waitstatus_to_exitcode(status), time.monotonic()
        return self.code is None

    def wait(self, until=None, seconds=PATIENCE):
        """Waits for its end, or until something holds: whether it is alive.

        Raises:
            TimeoutError: neither came; it is killed.
        """
        ends = time.monotonic() + seconds
        while self.alive() and not (until and until()):
            if time.monotonic() > ends:
                self.kill()
                raise TimeoutError(f"process {self.pid} did not end within {seconds} s: {self.log}")
            time.sleep(LOOK)
        return self.alive()

    def kill(self, number=signal.SIGKILL):
        """Sends a signal, by default the one that nothing survives, and waits for the end."""
        if self.alive():
            os.kill(self.pid, number)
            self.wait()

    @property
    def seconds(self):
        """How long it has lived."""
        return (self.ended or time.monotonic()) - self.began

    @property
    def worked(self):
        """Seconds since its first file operation; below 0 before it."""
        with open(self.trace) as file:
            first = file.readline()
        return (self.ended or time.monotonic()) - float(first.split()[0]) if first else -1.0

    @property
    def killed(self):
        return self.code == -signal.SIGKILL

    def said(self):
        """What this start has written to its log."""
        with open(self.log, errors="replace") as file:
            file.seek(self.said_from)
            return file.read()

    def operations(self):
        """Its file operations so far: (seconds since the first of them, what was to be done)."""
        with open(self.trace) as file:
            lines = [line.rstrip("\n").partition(" ") for line in file if line.endswith("\n")]
        return [(float(when) - float(lines[0][0]), what) for when, _, what in lines]


def watch(directory, trace, die_at):
    """Notes every operation on the files of a directory before it takes place.

    Equal ones are numbered, so that each is told from the others.

    Args:
        directory: absolute path.
        trace: open descriptor, written to.
        die_at: the one before which this process kills itself; None: none.
    """
    counts = collections.Counter()

    def hook(event, arguments):
        for path in changed(event, arguments):
            if os.path.commonpath([path, directory]) != directory:
                continue
            what = f"{event} {plain(os.path.relpath(path, directory))}"
            counts[what] += 1
            what = f"{what} #{counts[what]}"
            os.write(trace, f"{time.monotonic():.6f} {what}\n".encode())
            if what == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return

    sys.addaudithook(hook)


def changed(event, arguments):
    """The paths that an audit event is about to change, absolute."""
    if event == "open":
        path, mode, flags = arguments
        writes = flags & WRITES if mode is None else set(mode) & set("wax+")
        return [absolute(path)] if writes and not isinstance(path, int) else []
    if event not in CHANGES:
        return []
    paths, base = CHANGES[event]
    descriptor = arguments[base] if base is not None else -1
    return [
        absolute(arguments[place], descriptor)
        for place in paths
        if not isinstance(arguments[place], int)
    ]


def absolute(path, descriptor=-1):
    base = os.readlink(f"/proc/self/fd/{descriptor}") if descriptor >= 0 else os.getcwd()
    return os.path.normpath(os.path.join(base, os.fsdecode(path)))


def plain(path):
    """A path without what differs from process to process."""
    path = re.sub(r"unfinished_\d+", "unfinished_PID", re.sub(r"tmp[a-z0-9_]{8}", "tmpNAME", path))
    return re.sub(r"\.\d+\.tmp", ".PID.tmp", path)


def apart(work, *arguments):
    """The value of a function, computed in a process of its own, as this one must not.

    Raises:
        RuntimeError: it failed there; the traceback is shown.
    """
    read, write = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        try:
            with os.fdopen(write, "wb") as file:
                pickle.dump(work(*arguments), file)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(70)
    os.close(write)
    with os.fdopen(read, "rb") as file:
        value = file.read()
    if os.waitpid(pid, 0)[1]:
        raise RuntimeError(f"{work.__name__} failed")
    return pickle.loads(value)
