"""A cohort on disk: small chests of one phantom under UIDs of their own, and studies that each have a fault."""

import os
import zipfile
from pathlib import Path

from pydicom.dataset import Dataset

from dras_model.imaging.phantom import Emphysema, PhantomSpec, make_phantom
from dras_model.imaging.phantom.others import head_ct
from dras_model.imaging.phantom_dicom import SeriesOptions, write_series
from dras_model.imaging.volume import Volume

# More of them (DRAS_BATCH_STUDIES=30) take minutes; what is asserted is the same.
N_CHESTS = int(os.environ.get("DRAS_BATCH_STUDIES", "3"))
FAILURES = {"broken": "MISSING_SLICES", "mr": "NO_CT_SERIES", "head": "OUT_OF_SCOPE"}
DESCRIPTION = "BATCH"


def _described(dataset: Dataset, _index: int) -> None:
    dataset.StudyDescription = DESCRIPTION


def write_cohort(root: Path, *, n_chests: int = N_CHESTS) -> list[Path]:
    """Write chests, two of them mixed in one folder, and the studies of FAILURES; return the folders."""
    spec = PhantomSpec(seed=5, n_slices=60, matrix=96, emphysema=Emphysema("centrilobular", 0.1))
    volume = make_phantom(spec).volume
    for number in range(n_chests):
        name = f"s{number}_{{index:03}}.dcm"
        _write(
            volume,
            root / ("mixed" if number < 2 else f"subject{number:03}"),
            seed=100 + number,
            file_name=name,
        )
    _write(volume, root / "mr", seed=1, modality="MR")
    _write(head_ct(), root / "head", seed=2)
    for path in _write(volume, root / "broken", seed=3)[20:40]:
        path.unlink()
    return sorted(root.iterdir())


def _write(volume: Volume, folder: Path, **options: object) -> list[Path]:
    return write_series(volume, folder, SeriesOptions(edit=_described, **options))  # type: ignore[arg-type]


def pack(folder: Path, archive: Path) -> None:
    """Move a folder's files into a zip."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w") as packed:
        for file in sorted(folder.iterdir()):
            packed.write(file, file.name)
            file.unlink()
    folder.rmdir()
