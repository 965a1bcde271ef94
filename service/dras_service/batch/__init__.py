"""Studies by the thousand: found, computed here or by a service, and put into one table, through any crash."""
