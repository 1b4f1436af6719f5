"""The files of a run: directory, records, checkpoints, exported encoders."""
