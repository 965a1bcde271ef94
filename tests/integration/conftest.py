import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dras_cli.phantoms import write_phantom
from dras_model.choices import Choices
from dras_model.encoder.runtime import Encoder
from dras_model.imaging.atlas import Atlas
from dras_model.imaging.phantom import Emphysema, PhantomSpec
from dras_model.pipeline import extract
from dras_model.scores.limits import Limits
from dras_model.scores.scoring import ScoringChoices
from integration.serving import Serving
from once import Once

# Small, so that a job takes seconds: 60 slices of 128².
SPEC = PhantomSpec(
    seed=3, n_slices=60, matrix=128, thickness_mm=5.0, emphysema=Emphysema("centrilobular", 0.1)
)


# None of them is the default, so that a repetition must read each from the result.
CHOICES = Choices(
    scoring=ScoringChoices(
        "inspiration", 5500.5, limits=Limits(peel_mm=12.3456789, air_hu=(-1031.5, -969.25))
    ),
    dicom=True,
)


@pytest.fixture
def memory_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where there is room: to what dies by SIGKILL at worst, syncing adds only time."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or shutil.disk_usage(memory).free < 4 << 30:  # the gateway keeps 1 GiB free
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory, prefix="dras-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def folder(phantom_study: Path, atlas: Atlas, encoder: Encoder, once: Once) -> Path:
    """A whole run with its DICOM objects, which no test changes."""
    return once.folder(
        "outputs", lambda out: extract(phantom_study, out, atlas=atlas, encoder=encoder, choices=CHOICES)
    )


@pytest.fixture(scope="session")
def study(once: Once) -> Path:
    return once.folder("study", lambda folder: write_phantom(folder, SPEC))


@pytest.fixture(scope="session")
def serving(tmp_path_factory, library) -> Iterator[Serving]:
    """A service that notices a lost worker in seconds rather than in a minute."""
    started = Serving(
        tmp_path_factory.mktemp("service") / "data",
        DRAS_WORKER__LEASE_S="20",
        DRAS_WORKER__HEARTBEAT_S="0.1",
        DRAS_WORKER__RETRY_DELAY_S="0.1",
        DRAS_QUEUE__SWEEP_INTERVAL_S="0.2",
        DRAS_GATEWAY__RETRY_AFTER_S="0.1",
        DRAS_GATEWAY__DICOMWEB__QUIET_S="5",
    )
    assert started.url, started.stop() or started.errors
    yield started
    assert started.stop() == 0


@pytest.fixture(scope="session")
def similar_study(once: Once) -> Path:
    """The same lungs with twice the emphysema."""
    spec = replace(SPEC, emphysema=Emphysema("centrilobular", 0.2))
    return once.folder("similar-study", lambda folder: write_phantom(folder, spec))
