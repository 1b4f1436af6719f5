"""The command line: its parser, and the program that it is of."""
