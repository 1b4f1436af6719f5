"""The command line from a clone of the repository: `python run.py --help`."""

import sys

from tfssl.runner.command_line import DISK, leave, main, show, tell_loss, work

__all__ = ["DISK", "leave", "main", "show", "tell_loss", "work"]

if __name__ == "__main__":
    leave(main(sys.argv))
