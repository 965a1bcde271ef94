"""Looks at everything a service stands on and says of each fault what it is and what cures it."""
