"""What a run leaves on the disk: directory, records, checkpoints, exported encoders."""
