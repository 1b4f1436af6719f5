"""The command-line face of `tfssl.Config`, and (beside this file) the experiments as flagfiles."""

from tfssl.runner.parser import define, dump, first_sentence, help_text, lines_of, parse

__all__ = ["define", "dump", "first_sentence", "help_text", "lines_of", "parse"]
