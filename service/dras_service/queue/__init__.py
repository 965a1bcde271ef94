"""Hints that there is work: a message holds a job id and nothing else, and may be lost."""
