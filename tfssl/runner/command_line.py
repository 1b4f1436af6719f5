"""The entry point of the program: `tfssl`, `python -m tfssl`, `python run.py`."""

import errno
import functools
import os
import signal
import sys

from tfssl.errors import Interrupted, TrainingError, UsageError
from tfssl.runner import parser
from tfssl.signals import stoppable
from tfssl.terminal import escape_unencodable, stand_in, to_nowhere, unfailing

# Errors caused by disks, file servers, and changed permissions or folders.
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

    0: success; 1: training, or a check of the doctor, failed; 2: the request was refused; 3: the
    doctor found a GPU that cannot be used; 130, 143: stopped by SIGINT (from
    the keyboard) or SIGTERM, during training after saving a checkpoint.
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
    """Prints a text; a reader such as `head` may close the pipe early."""
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
    """Runs a parsed command line and returns the exit code."""
    try:
        with stoppable("the same command continues"):  # training handles signals itself
            # Imported here, so that help and refusals do not load TensorFlow.
            from tfssl.runner import program

            result = program.run(config, given, flagfile=parser.dump)
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
    return result.get("exit_code", 0) if isinstance(result, dict) else 0


def leave(code):
    """Exits the process; immediately for a failed worker, as TensorFlow would wait for others."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the work is done
        signal.signal(number, signal.SIG_IGN)
    if code and os.environ.get("TF_CONFIG"):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def console():
    """The command `tfssl`."""
    leave(main(sys.argv))
