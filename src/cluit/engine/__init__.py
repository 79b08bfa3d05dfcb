"""How training runs, whatever the paper: descent, averaging, precision, checkpoints, logs."""
