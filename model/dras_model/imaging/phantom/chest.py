"""A chest CT made by code: anatomy, tissue, disease, scanner, and the truth of every voxel.

Smooth fields are drawn on a lattice of 3 mm and brought to the scan's grid slice by slice, so that a study of 300
slices of 512 x 512 needs seconds and no field in full. The same spec gives the same bits.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.parallel import each_slice
from dras_model.imaging.phantom.drawing import Drawing
from dras_model.imaging.phantom.emphysema import LEVELS, level_of
from dras_model.imaging.phantom.scan import scan_slice
from dras_model.imaging.phantom.spec import PhantomSpec
from dras_model.imaging.phantom.tissue import Painter
from dras_model.imaging.phantom.truth import Truth, region_mask
from dras_model.imaging.volume import LabelMap, Volume

HALF_COVERED = 127  # of 255


@dataclass(frozen=True, slots=True, eq=False)
class Phantom:
    """A scan, how it was asked for, and what is true of it."""

    spec: PhantomSpec
    volume: Volume
    truth: Truth


def make_phantom(spec: PhantomSpec | None = None) -> Phantom:
    """Make the scan of `spec`; ValueError where its place cannot hold the emphysema asked for."""
    spec = spec or PhantomSpec()
    drawing = Drawing(spec)
    truth = _paint(Painter(drawing), drawing, spec)
    scanned = np.empty(truth.hu.shape, dtype=np.float32)

    def scan(index: int) -> None:
        rng = np.random.default_rng([spec.seed, 4, index, spec.repeat])
        exact = truth.hu[index].astype(np.float32)
        scanned[index] = scan_slice(exact, kernel=spec.kernel, noise_hu=spec.noise_hu, rng=rng)

    each_slice(scan, spec.n_slices)
    return Phantom(spec, Volume(scanned, spec.grid), truth)


def _paint(painter: Painter, drawing: Drawing, spec: PhantomSpec) -> Truth:
    grid = spec.grid
    lungs, airway = np.zeros(grid.shape, dtype=np.uint8), np.zeros(grid.shape, dtype=np.uint8)

    def outline(index: int) -> None:
        lungs[index], airway[index] = painter.labels(index)

    each_slice(outline, spec.n_slices)
    place = region_mask(lungs, spec.emphysema.place)
    n_lost = round(spec.emphysema.fraction * np.count_nonzero(lungs))
    level = _emphysema_level(painter, place, n_lost) if n_lost else LEVELS + 1
    hu = np.empty(grid.shape, dtype=np.int16)
    emphysema = np.zeros(grid.shape, dtype=np.bool_)

    def paint(index: int) -> None:
        exact, emphysema[index] = painter.slice(index, place=place[index], level=level)
        hu[index] = np.rint(exact)

    each_slice(paint, spec.n_slices)
    return Truth(
        spec=spec,
        lungs=LabelMap(lungs, grid),
        airway=LabelMap(airway, grid),
        vessels=(drawing.vessels > HALF_COVERED) & (lungs > 0),
        emphysema=emphysema,
        hu=hu,
    )


def _emphysema_level(painter: Painter, place: NDArray[np.bool_], n_lost: int) -> int:
    """Return the level of the pattern from which on `n_lost` voxels of the place (z, y, x) are lost."""
    counts = np.zeros((len(place), LEVELS + 1), dtype=np.int64)

    def count(index: int) -> None:
        eligible, levels = painter.eligible(index)
        counts[index] = np.bincount(levels[eligible & place[index]], minlength=LEVELS + 1)

    each_slice(count, len(place))
    return level_of(counts.sum(axis=0), n_lost)
