from collections.abc import Iterator
from pathlib import Path

import pytest

from dras_cli.phantoms import write_phantom
from dras_model.imaging.phantom import Emphysema, PhantomSpec
from integration.serving import Serving

# Small, so that a job takes seconds: 60 slices of 128².
SPEC = PhantomSpec(
    seed=3, n_slices=60, matrix=128, thickness_mm=5.0, emphysema=Emphysema("centrilobular", 0.1)
)


@pytest.fixture(scope="session")
def study(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("phantom") / "study"
    write_phantom(folder, SPEC)
    return folder


@pytest.fixture(scope="session")
def serving(tmp_path_factory, library) -> Iterator[Serving]:
    """A service that notices a lost worker in seconds rather than in a minute."""
    started = Serving(
        tmp_path_factory.mktemp("service") / "data",
        DRAS_WORKER__LEASE_S="6",
        DRAS_WORKER__HEARTBEAT_S="0.1",
        DRAS_WORKER__RETRY_DELAY_S="0.1",
        DRAS_QUEUE__SWEEP_INTERVAL_S="0.2",
        DRAS_GATEWAY__RETRY_AFTER_S="0.1",
    )
    assert started.url, started.stop() or started.errors
    yield started
    assert started.stop() == 0
