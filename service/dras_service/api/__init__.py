"""What goes over the wire: jobs, problems, health. Pure pydantic, shared with the SDK."""
