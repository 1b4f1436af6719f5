"""`python -m tfssl` runs the command line, like `tfssl` and run.py."""

from tfssl.runner.command_line import console

if __name__ == "__main__":
    console()
