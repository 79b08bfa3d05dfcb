"""What people run: the commands, and the Python functions that are the same."""
