"""The command-line program: parser, modes, and the workflows behind them."""
