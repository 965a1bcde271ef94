"""A body of a few ellipsoids, known everywhere in the world, seen by scanners that stand in many ways.

Every slice is sampled where it truly lies, so that what is found in a DICOM object can be held against where it was
put, and against the pixels of the very file that a frame names.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from catalogue.inputs import write_enhanced
from dras_model.imaging.phantom_dicom import SeriesOptions, write_series
from dras_model.imaging.source_series import SourceSeries
from dras_model.imaging.study import Study, read_study
from dras_model.imaging.volume import Grid, LabelMap, Volume
from dras_model.inspecting import describe_grid
from dras_model.outputs.features import Features, Lattice
from dras_model.outputs.masks import on_native
from dras_model.outputs.stored import Parts, StoredResult
from dras_model.results.phenotypes import PATCH_COLUMNS
from dras_model.results.study import StudyResult

SIZE = (48, 52, 64)  # slices, rows, columns
SPACING_MM = (4.8, 5.0, 4.0)


@dataclass(frozen=True)
class Body:
    """An ellipsoid in the world, all of one value."""

    centre_mm: tuple[float, float, float]
    radii_mm: tuple[float, float, float]
    hu: float

    def holds(self, world: np.ndarray) -> np.ndarray:
        away = (world - np.array(self.centre_mm)) / np.array(self.radii_mm)
        return (away**2).sum(axis=-1) <= 1.0


# In LPS: the right lung lies at negative x, and the low attenuation in it, over it.
RIGHT = Body((-52.0, 6.0, -8.0), (40.0, 60.0, 90.0), -800.0)
LEFT = Body((55.0, -4.0, 12.0), (34.0, 52.0, 78.0), -600.0)
AIRWAY = Body((2.0, 12.0, 70.0), (11.0, 13.0, 34.0), -400.0)
LOW = Body((-60.0, 20.0, 36.0), (18.0, 22.0, 26.0), -1000.0)
BODIES: Mapping[int, Body] = MappingProxyType({1: RIGHT, 2: LEFT, 3: AIRWAY, 4: LOW})  # by segment


def hu_at(world: np.ndarray) -> np.ndarray:
    """HU of soft tissue and of the bodies at LPS mm (..., 3)."""
    hu = np.full(world.shape[:-1], 30.0, dtype=np.float32)
    for body in BODIES.values():
        hu[body.holds(world)] = body.hu
    return hu


def labels_of(hu: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lung labels and low attenuation of values that no interpolation has touched."""
    lungs = np.zeros(hu.shape, dtype=np.uint8)
    lungs[(hu == RIGHT.hu) | (hu == LOW.hu)] = 1
    lungs[hu == LEFT.hu] = 2
    lungs[hu == AIRWAY.hu] = 3
    low = np.zeros(hu.shape, dtype=np.uint8)
    low[(lungs == 1) | (lungs == 2)] = 1
    low[hu == LOW.hu] = 2
    return lungs, low


def upright(size: tuple[int, int, int] = SIZE) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = np.diag(SPACING_MM[::-1])[:, ::-1]
    affine[:3, 3] = -np.diag(SPACING_MM[::-1]) @ (np.array(size[::-1]) - 1) / 2.0
    return Grid(size, affine)


def turned(degrees: tuple[float, float, float]) -> Grid:
    """The scanner turned about all three axes."""
    turn = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        c, s = np.cos(angle), np.sin(angle)
        a, b = [n for n in range(3) if n != axis]
        step = np.eye(3)
        step[[a, a, b, b], [a, b, a, b]] = c, -s, s, c
        turn = turn @ step
    affine = upright().affine.copy()
    affine[:3] = turn @ affine[:3]
    return Grid(SIZE, affine)


def _write(grid: Grid, folder: Path, *, drift_mm: float = 0.0, missing: tuple[int, ...] = ()) -> None:
    """Write the slices of a scanner; each begins `drift_mm` farther along its columns than the one before it."""
    z, y, x = np.indices(grid.shape, sparse=True)
    index = np.stack(np.broadcast_arrays(z, y, x), axis=-1)
    moves = drift_mm * (np.arange(grid.shape[0]) - grid.shape[0] // 2)
    down = grid.affine[:3, 1] / grid.spacing_mm[1]
    world = grid.to_world(index) + moves[:, None, None, None] * down

    def place(dataset: Dataset, n: int) -> None:
        first = grid.to_world(np.array([n, 0, 0])) + moves[n] * down
        dataset.ImagePositionPatient = [f"{value:.9g}" for value in first]

    for n, path in enumerate(write_series(Volume(hu_at(world), grid), folder, SeriesOptions(edit=place))):
        if n in missing:
            path.unlink()


def _enhanced(folder: Path) -> None:
    grid = upright()
    index = np.stack(np.indices(grid.shape), axis=-1)
    folder.mkdir()
    order = np.random.default_rng(1).permutation(grid.shape[0])
    write_enhanced(Volume(hu_at(grid.to_world(index)), grid), folder / "enhanced.dcm", order=order)


def _reoriented(orientation: str) -> Grid:
    empty = LabelMap(np.zeros(SIZE, dtype=np.uint8), upright())
    return empty.oriented(orientation).grid


POSES: Mapping[str, Callable[[Path], None]] = MappingProxyType(
    {
        "head first": lambda folder: _write(upright(), folder),
        "feet first": lambda folder: _write(_reoriented("RPI"), folder),
        "prone": lambda folder: _write(_reoriented("RAS"), folder),
        "coronal": lambda folder: _write(_reoriented("LSA"), folder),
        "oblique": lambda folder: _write(turned((14.0, -9.0, 21.0)), folder),
        "tilted back": lambda folder: _write(upright(), folder, drift_mm=4.8 * np.tan(np.radians(20.0))),
        "tilted forward, feet first": lambda folder: _write(
            _reoriented("RPI"), folder, drift_mm=4.8 * np.tan(np.radians(-12.0))
        ),
        "a slice missing": lambda folder: _write(upright(), folder, missing=(20,)),
        "enhanced": _enhanced,
    }
)
TILTED = {"tilted back", "tilted forward, feet first"}


@dataclass(frozen=True)
class Scene:
    """A series on disk, what was read of it, and a result of it in memory."""

    folder: Path
    study: Study
    stored: StoredResult
    source: SourceSeries

    def images(self) -> dict[str, np.ndarray]:
        """HU by instance as its own file holds them, read by pydicom alone."""
        datasets = [pydicom.dcmread(path) for path in self.folder.iterdir()]
        return {str(d.SOPInstanceUID): d.pixel_array.astype(float) - 1024.0 for d in datasets}


def scene(pose: str, folder: Path, result: StudyResult) -> Scene:
    """Write a series, read it, and segment it as a perfect segmenter would: by where each voxel lies."""
    POSES[pose](folder)
    study = read_study(folder, described=True)
    assert study.header.source is not None
    grid = study.volume.grid
    lungs, low = labels_of(hu_at(grid.to_world(np.stack(np.indices(grid.shape), axis=-1))))
    geometry = describe_grid(study.header.grid)
    parts = Parts(
        on_native(LabelMap(lungs, grid), geometry), on_native(LabelMap(low, grid), geometry), patches_in(grid)
    )
    provenance = result.provenance.model_copy(update={"input_sha256": study.input_sha256})
    told = result.model_copy(
        update={
            "geometry": geometry,
            "series_instance_uid": study.header.series_uid,
            "provenance": provenance,
        }
    )
    return Scene(folder, study, StoredResult(told, None, parts), study.header.source)


def source_series(n: int = 5, **changes: object) -> SourceSeries:
    """A described series of invented people, without any file."""
    told = {
        "attributes": {
            "PatientName": "Sample^Sue",
            "PatientID": "S1",
            "StudyDate": "20010203",
            "SeriesTime": "1015",
        },
        "study_instance_uid": "1.2.3",
        "series_instance_uid": "1.2.3.4",
        "frame_of_reference_uid": "1.2.3.5",
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
        "rows": 8,
        "columns": 6,
        "row": (1.0, 0.0, 0.0),
        "column": (0.0, 1.0, 0.0),
        "spacing_mm": (0.8, 0.7),
        "slice_thickness_mm": 2.0,
        "images": [
            {"sop_instance_uid": f"1.2.3.4.{k}", "position_mm": (-2.0, -3.0, 1.5 * k)}
            for k in range(1, n + 1)
        ],
        "input_sha256": "2" * 64,
    }
    return SourceSeries.model_validate({**told, **changes})


def patches_in(native: Grid) -> Features:
    """A lattice of cubes in the lungs, sheared as an alignment shears it, each with values of its own."""
    rng = np.random.default_rng(4)
    lattice = np.stack(np.meshgrid(*[np.arange(n) for n in (7, 6, 8)], indexing="ij"), axis=-1).reshape(-1, 3)
    shear = np.array([[25.0, 1.5, 0.0], [-1.0, 24.0, 2.0], [0.5, 0.0, 23.0]])
    centres = np.rint((lattice - lattice.mean(axis=0)) @ shear.T)
    inside = RIGHT.holds(centres) | LEFT.holds(centres)
    n = len(centres)
    axes = native.affine[:3, :3] / np.array(native.spacing_mm)
    # A cube was cut along the scan's own axes, from the voxel that lies rightmost, hindmost and lowest in it.
    grows = [axes[:, column] * _towards_las(axes[:, column]) for column in range(3)]
    columns = {name: rng.uniform(0.0, 60.0, n).astype(np.float32) for name in PATCH_COLUMNS}
    return Features(
        embeddings=rng.normal(size=(n, 6)).astype(np.float32),
        corners=26 * lattice.astype(np.int64),
        locations=rng.uniform(-1, 1, (n, 3)).astype(np.float32),
        valid=inside,
        inside=np.ones(n, dtype=np.float32),
        lung_fraction=rng.uniform(0.1, 1.0, n).astype(np.float32),
        corner_mm=centres - 15.5 * np.sum(grows, axis=0),
        densitometry=columns,
        lattice=Lattice(32, 26, np.eye(4)),
    )


def centres_of(features: Features, native: Grid) -> np.ndarray:
    """Where `patches_in` put the middles of its cubes."""
    axes = native.affine[:3, :3] / np.array(native.spacing_mm)
    grows = [axes[:, column] * _towards_las(axes[:, column]) for column in range(3)]
    return features.corner_mm + 15.5 * np.sum(grows, axis=0)


def _towards_las(axis: np.ndarray) -> float:
    """+1 where an axis grows to the left, to the front or upwards, -1 where against it."""
    main = int(np.argmax(np.abs(axis)))
    return float(np.sign(axis[main]) * (-1.0 if main == 1 else 1.0))
