"""A gateway as it is served, over a real socket, without a worker behind it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dras_service.settings import GatewaySettings
from integration.gateway.standing import Standing


@pytest.fixture
def standing(tmp_path: Path) -> Iterator[Callable[..., Standing]]:
    """Start gateways, each with limits of its own; all are ended."""
    started: list[Standing] = []

    def start(**limits: object) -> Standing:
        started.append(Standing(tmp_path / f"data-{len(started)}", GatewaySettings(**limits)))
        return started[-1]

    yield start
    for gateway in started:
        gateway.end()
