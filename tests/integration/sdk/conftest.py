"""The SDK against real services: the session's own, and gateways whose limits a test sets."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dras_client import Client, Job
from dras_service.settings import GatewaySettings
from integration.gateway.standing import Standing
from integration.sdk.proxy import Proxy

JOB_WITHIN_S = 600.0  # a loaded machine takes its time


@pytest.fixture
def client(serving) -> Iterator[Client]:
    with Client(serving.url) as client:
        yield client


@pytest.fixture
def done(client: Client, study: Path) -> Job:
    """The one computed job of the session's study; whoever asks for it next gets the same."""
    return client.submit(study).wait(JOB_WITHIN_S)


@pytest.fixture
def standing(tmp_path: Path) -> Iterator[Callable[..., Standing]]:
    """Start gateways without a worker, each with limits of its own; all are ended."""
    started: list[Standing] = []

    def start(*, locked: bool = False, **limits: object) -> Standing:
        folder = tmp_path / f"data-{len(started)}"
        started.append(Standing(folder, GatewaySettings(**limits), locked=locked))
        return started[-1]

    yield start
    for gateway in started:
        gateway.end()


@pytest.fixture
def proxy() -> Iterator[Callable[..., Proxy]]:
    """Start proxies before a service's port."""
    started: list[Proxy] = []

    def start(port: int, *faults: object) -> Proxy:
        started.append(Proxy(port, *faults))
        return started[-1]

    yield start
    for each in started:
        each.end()
