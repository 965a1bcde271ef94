"""The Storage SCP: who may call, what is taken, and how it gets to the disk."""
