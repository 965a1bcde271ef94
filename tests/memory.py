"""Freed memory is kept by the processes of the tests: fetching it again costs a fifth of all their time.

A test that measures memory has it given back as it is by default: in its own process by a fixture, in one that it
starts by `as_delivered`.
"""

import ctypes
import os
from collections.abc import Iterator, Mapping

import pytest

# Of glibc's malloc, mallopt(3); others do not read them. At most 512 MiB are kept at the end of a heap.
KEEPING = {"MALLOC_TRIM_THRESHOLD_": 1 << 29, "MALLOC_MMAP_MAX_": 0}
_DEFAULTS = {"MALLOC_TRIM_THRESHOLD_": 1 << 17, "MALLOC_MMAP_MAX_": 1 << 16}
_NUMBERS = {"MALLOC_TRIM_THRESHOLD_": -1, "MALLOC_MMAP_MAX_": -4}  # malloc.h


def keep_freed_memory() -> None:
    """Keep it in this process and in those that it starts."""
    os.environ.update({name: str(value) for name, value in KEEPING.items()})
    _set(KEEPING)


def as_delivered(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which a process gives freed memory back."""
    return {name: value for name, value in environment.items() if name not in KEEPING}


@pytest.fixture
def memory_given_back() -> Iterator[None]:
    """Give freed memory back in this process, for one test."""
    _set(_DEFAULTS)
    yield
    _set(KEEPING)


def _set(values: Mapping[str, int]) -> None:
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        for name, value in values.items():
            libc.mallopt(_NUMBERS[name], value)
