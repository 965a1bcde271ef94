"""A cohort on disk: small chests of one phantom under UIDs of their own, and studies that each have a fault."""

import os
import zipfile
from pathlib import Path

from dras_model.imaging.phantom import Emphysema, PhantomSpec, make_phantom
from dras_model.imaging.phantom.others import head_ct
from dras_model.imaging.phantom_dicom import SeriesOptions, write_series
from dras_model.imaging.volume import Volume

# More of them (DRAS_BATCH_STUDIES=30) take minutes; what is asserted is the same.
N_CHESTS = int(os.environ.get("DRAS_BATCH_STUDIES", "3"))
FAILURES = {"broken": "TRUNCATED", "mr": "NO_CT_SERIES", "head": "OUT_OF_SCOPE"}


def chest() -> Volume:
    spec = PhantomSpec(seed=5, n_slices=60, matrix=96, emphysema=Emphysema("centrilobular", 0.1))
    return make_phantom(spec).volume


def write_cohort(root: Path, *, n_chests: int = N_CHESTS) -> None:
    """Write chests in a folder each, two of them mixed in one folder, one in a zip, and the studies of FAILURES."""
    volume = chest()
    for number in range(n_chests):
        folder = root / ("mixed" if number < 2 else f"subject{number:03}")
        name = f"s{number}_{{index:03}}.dcm"
        files = write_series(volume, folder, SeriesOptions(seed=100 + number, file_name=name))
        if number == 2:
            pack(files, root / "archived" / "study.zip")
    write_series(volume, root / "mr", SeriesOptions(seed=1, modality="MR"))
    write_series(head_ct(), root / "head", SeriesOptions(seed=2))
    broken = write_series(volume, root / "broken", SeriesOptions(seed=3))
    broken[30].write_bytes(broken[30].read_bytes()[:-1000])
    (root / "notes.txt").write_text("no image")


def pack(files: list[Path], archive: Path) -> None:
    """Move files into a zip, and their folder away."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w") as packed:
        for file in files:
            packed.write(file, file.name)
            file.unlink()
    files[0].parent.rmdir()
