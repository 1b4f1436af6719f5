"""The command-line face of `tfssl.Config`, and (beside this file) the experiments as flagfiles."""

from tfssl.errors import UsageError
from tfssl.runner.parser import define, dump, first_sentence, help_text, lines_of, parse

__all__ = ["UsageError", "define", "dump", "first_sentence", "help_text", "lines_of", "parse"]
