"""The front door: flags -> Config -> the work. See `python run.py --help`."""

import errno
import os
import signal
import sys

import flags
from tfssl.errors import Interrupted, TrainingError, UsageError
from tfssl.signals import stoppable
from tfssl.terminal import escape_unencodable, stand_in, to_nowhere, unfailing

# What a disk, a server of files, or whoever changes rights and folders may do to a run.
DISK = tuple(getattr(errno, name) for name in (
    "ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EIO", "ENXIO", "ENODEV", "ESTALE", "ETIMEDOUT",
    "EHOSTDOWN", "EREMOTEIO", "EACCES", "EPERM", "ENOENT", "ENOTDIR", "EISDIR", "EEXIST",
    "ENOTEMPTY", "ELOOP", "ENAMETOOLONG", "EMFILE", "ENFILE", "ENOMEM", "EBUSY", "ETXTBSY")
    if hasattr(errno, name))


def main(argv):
    """Runs one command line and returns its exit code.

    0: done; 1: training failed; 2: the request was refused; 130, 143: stopped by SIGINT (from the
    keyboard) or SIGTERM, in training after a checkpoint.
    """
    stand_in()
    escape_unencodable()
    with unfailing("stderr"):
        try:
            parsed = flags.parse(argv)
            if parsed is None:
                return show(flags.help_text(argv))
        except UsageError as error:
            print(f"run.py: {error}", file=sys.stderr)
            return 2
        with unfailing("stdout", tell_loss):
            return work(*parsed)


def show(text):
    """Prints a text of which `| head` may have seen enough."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        to_nowhere(sys.stdout)
    except OSError as error:
        to_nowhere(sys.stdout)
        print(f"run.py: standard output cannot be written ({error.strerror})", file=sys.stderr)
        return 1
    return 0


def tell_loss(error):
    print(f"\nrun.py: standard output cannot be written ({error.strerror}): the run goes on "
          "without", file=sys.stderr, flush=True)


def work(config, given):
    """Does what a command line asks for, once that is read, and returns the exit code."""
    try:
        with stoppable("the same command continues"):  # training does it in its own way
            from tfssl import train  # here, so that help and refusals do not wait for TensorFlow

            train.run(config, given, flagfile=flags.dump)
    except UsageError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 2
    except TrainingError as error:
        print(f"\nrun.py: {error}", file=sys.stderr)
        return 1
    except Interrupted as error:
        print(f"\nrun.py: {error}", file=sys.stderr)
        return 128 + error.signal
    except OSError as error:
        if error.errno not in DISK:
            raise
        print(f"\nrun.py: {error.filename or 'the disk'} cannot be written or read "
              f"({error.strerror}); the same command continues once it can", file=sys.stderr)
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


if __name__ == "__main__":
    leave(main(sys.argv))
