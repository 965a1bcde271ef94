"""One module a sub-command; each is imported when it is called."""
