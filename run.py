"""The front door: flags -> Config -> the work. See `python run.py --help`."""

import errno
import os
import sys

import flags
from tfssl.errors import Interrupted, TrainingError, UsageError
from tfssl.terminal import escape_unencodable

DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)  # what a disk may do to a run


def main(argv):
    """Runs one command line and returns its exit code.

    0: done; 1: training failed; 2: the request was refused; 130, 143: stopped by SIGINT (from the
    keyboard) or SIGTERM, in training after a checkpoint.
    """
    escape_unencodable()
    try:
        parsed = flags.parse(argv)
        if parsed is None:
            print(flags.help_text(argv))
            return 0
        from tfssl import train  # here, so that help and refusals do not wait for TensorFlow

        train.run(*parsed, flagfile=flags.dump)
    except UsageError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 2
    except TrainingError as error:
        print(f"\nrun.py: {error}", file=sys.stderr)
        return 1
    except Interrupted as error:
        print(f"\nrun.py: {error}", file=sys.stderr)
        return 128 + error.signal
    except KeyboardInterrupt:
        print("\nrun.py: interrupted; the same command continues from the newest checkpoint",
              file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of a pipe, such as `| head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        return 1
    except OSError as error:
        if error.errno not in DISK:
            raise
        print(f"\nrun.py: {error.filename or 'the disk'} cannot be written or read "
              f"({error.strerror}); the same command continues once it can", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
