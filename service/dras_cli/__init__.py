"""The command `dras`."""
