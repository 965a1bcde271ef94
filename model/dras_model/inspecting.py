"""What a study's headers say, without its voxels: which series would be used and what would be warned.

Apart from the pipeline, so that whoever asks needs `dras[reading]` and nothing that computes.
"""

from pathlib import Path

from dras_model.imaging.study import read_header
from dras_model.imaging.volume import Grid
from dras_model.results.study import Geometry, Inspection
from dras_model.scores.acquisition import acquisition_warnings


def inspect(source: Path, *, series_uid: str | None = None) -> Inspection:
    """Say which series would be used and what would be warned, without computing. Raises StudyRefused."""
    header = read_header(source, series_uid=series_uid)
    return Inspection(
        series_instance_uid=header.series_uid,
        candidates=header.candidates,
        acquisition=header.acquisition,
        geometry=describe_grid(header.grid),
        warnings=(*header.warnings, *acquisition_warnings(header.acquisition, header.grid)),
    )


def describe_grid(grid: Grid) -> Geometry:
    """Return a grid as a result tells it."""
    z, y, x = grid.shape
    dz, dy, dx = grid.spacing_mm
    rows = grid.affine[:, [2, 1, 0, 3]]
    return Geometry(
        size_xyz=(x, y, z),
        spacing_xyz_mm=(dx, dy, dz),
        orientation=grid.orientation,
        affine_lps_mm=tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in rows),
    )
