"""What many tests share: the material beside the project, one atlas, one encoder, one phantom."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dras_model.encoder.runtime import Encoder
from dras_model.imaging.atlas import Atlas
from dras_model.imaging.lungs import Lungs, segment_lungs
from dras_model.imaging.parallel import available_cores
from dras_model.imaging.phantom import Emphysema, Phantom, PhantomSpec, make_phantom
from dras_model.imaging.phantom.spec import EmphysemaKind
from dras_model.imaging.phantom_dicom import write_series
from dras_model.imaging.study import read_study
from dras_model.imaging.volume import Volume
from dras_model.library import open_atlas, open_bundle
from memory import keep_freed_memory, memory_given_back  # noqa: F401 - fixture
from once import Once, once  # noqa: F401 - fixture
from pacs_servers import orthanc  # noqa: F401 - fixture
from servers import object_store, postgresql, redis_server, server_folder  # noqa: F401 - fixtures

ROOT = Path(__file__).parents[1]


def pytest_configure() -> None:
    """Let Ctrl-C end what tests start, as from a terminal; who runs in a shell's background inherits deafness."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    keep_freed_memory()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side
    # Where bytecode is switched off, as in many an image, each of the processes compiles everything anew.
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: many a test waits for servers, timers and browsers."""
    return available_cores() + 1


@pytest.fixture(scope="session")
def shared() -> Path:
    folder = Path(os.environ.get("DRAS_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"no material to compare with at {folder}; DRAS_SHARED names another place")
    return folder


@pytest.fixture(scope="session", autouse=True)
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of this test run's own, so that no test sees what an installation has collected."""
    folder = tmp_path_factory.mktemp("library")
    os.environ["DRAS_LIBRARY"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def atlas(library: Path) -> Atlas:
    return open_atlas()


@pytest.fixture(scope="session")
def encoder(atlas: Atlas) -> Encoder:
    return Encoder.open(open_bundle(None, atlas))


@pytest.fixture(scope="session")
def phantom(once: Once) -> Phantom:  # noqa: F811 - a fixture
    """A whole thorax at 3 x 3 x 3.75 mm with 10 % centrilobular emphysema and some noise."""
    spec = PhantomSpec(
        seed=7,
        n_slices=80,
        matrix=128,
        noise_hu=8.0,
        emphysema=Emphysema(EmphysemaKind.CENTRILOBULAR, 0.10),
    )
    return once.value("phantom", lambda: make_phantom(spec))


@pytest.fixture(scope="session")
def phantom_study(phantom: Phantom, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom") / "study"
    write_series(phantom.volume, folder)
    return folder


@pytest.fixture(scope="session")
def real_lungs(shared: Path, once: Once) -> Callable[[str], tuple[Volume, Lungs]]:  # noqa: F811 - a fixture
    """Read a real scan by its name, in the atlas' orientation, and find its lungs."""

    def found_in(name: str) -> tuple[Volume, Lungs]:
        volume = read_study(shared / "ct" / name).volume.oriented("LAS")
        return volume, segment_lungs(volume)

    return lambda name: once.value(name.replace("/", "-"), lambda: found_in(name))
