"""The HTTP interface: studies come in, jobs are asked for, results go out. Reads no image."""
