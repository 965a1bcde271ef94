"""A service in memory for the tests of programs that use the SDK; nothing here computes or opens a socket."""

from dras_client.testing.results import example_files, example_result
from dras_client.testing.service import FakeService

__all__ = ["FakeService", "example_files", "example_result"]
