"""Telling a tenant's own systems that a job has ended: an id and a state, signed."""
