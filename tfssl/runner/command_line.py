"""The program: command line -> Config -> work. `tfssl`, `python -m tfssl`, `python run.py`."""

import errno
import functools
import os
import signal
import sys

from tfssl.errors import Interrupted, TrainingError, UsageError
from tfssl.runner import parser
from tfssl.signals import stoppable
from tfssl.terminal import escape_unencodable, stand_in, to_nowhere, unfailing

# What a disk, a server of files, or whoever changes rights and folders may do to a run.
DISK = tuple(
    getattr(errno, name)
    for name in (
        "ENOSPC",
        "EDQUOT",
        "EFBIG",
        "EROFS",
        "EIO",
        "ENXIO",
        "ENODEV",
        "ESTALE",
        "ETIMEDOUT",
        "EHOSTDOWN",
        "EREMOTEIO",
        "EACCES",
        "EPERM",
        "ENOENT",
        "ENOTDIR",
        "EISDIR",
        "EEXIST",
        "ENOTEMPTY",
        "ELOOP",
        "ENAMETOOLONG",
        "EMFILE",
        "ENFILE",
        "ENOMEM",
        "EBUSY",
        "ETXTBSY",
    )
    if hasattr(errno, name)
)


def main(argv):
    """Runs one command line and returns its exit code.

    0: done; 1: training failed; 2: the request was refused; 130, 143: stopped by SIGINT (from the
    keyboard) or SIGTERM, in training after a checkpoint.
    """
    stand_in()
    escape_unencodable()
    name = parser.program(argv)
    with unfailing("stderr"):
        try:
            parsed = parser.parse(argv)
            if parsed is None:
                return show(parser.help_text(argv), name)
        except UsageError as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 2
        with unfailing("stdout", functools.partial(tell_loss, name)):
            return work(*parsed, name)


def show(text, name):
    """Prints a text of which `| head` may have seen enough."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        to_nowhere(sys.stdout)
    except OSError as error:
        to_nowhere(sys.stdout)
        print(f"{name}: standard output cannot be written ({error.strerror})", file=sys.stderr)
        return 1
    return 0


def tell_loss(name, error):
    print(
        f"\n{name}: standard output cannot be written ({error.strerror}): the run goes on without",
        file=sys.stderr,
        flush=True,
    )


def work(config, given, name):
    """Does what a command line asks for, once that is read, and returns the exit code."""
    try:
        with stoppable("the same command continues"):  # training does it in its own way
            # Here, so that help and refusals do not wait for TensorFlow.
            from tfssl.runner import program

            program.run(config, given, flagfile=parser.dump)
    except UsageError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    except TrainingError as error:
        print(f"\n{name}: {error}", file=sys.stderr)
        return 1
    except Interrupted as error:
        print(f"\n{name}: {error}", file=sys.stderr)
        return 128 + error.signal
    except OSError as error:
        if error.errno not in DISK:
            raise
        print(
            f"\n{name}: {error.filename or 'the disk'} cannot be written or read "
            f"({error.strerror}); the same command continues once it can",
            file=sys.stderr,
        )
        return 1
    return 0


def leave(code):
    """Ends the process; one of several workers that failed at once: TensorFlow, closed in order,
    would wait for the others."""
    for number in (signal.SIGINT, signal.SIGTERM):  # all is done, and said
        signal.signal(number, signal.SIG_IGN)
    if code and os.environ.get("TF_CONFIG"):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def console():
    """The command `tfssl`."""
    leave(main(sys.argv))
