"""What happens to one study, from bytes to anatomy-indexed features and scores."""

__version__ = "0.1.0"
