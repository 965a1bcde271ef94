"""Densitometry on the native grid, with definitions and warnings."""
