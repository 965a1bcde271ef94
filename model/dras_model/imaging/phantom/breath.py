"""One person breathing in and out: two scans, and the deformation between them in closed form.

The expiration is the inspiration, moved: every point of it comes from a known point of the inspiration. Tissue
keeps its mass, so density rises with the Jacobian of the motion, but where air is trapped. No physiology is
claimed: the lungs do not slide along the chest wall, and trapped lung is compressed like its surroundings while
its density stays.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from dras_model.imaging.parallel import each_slice
from dras_model.imaging.phantom.chest import Phantom, make_phantom
from dras_model.imaging.phantom.scan import scan_slice
from dras_model.imaging.phantom.spec import PhantomSpec
from dras_model.imaging.volume import Grid, LabelMap, Volume

TOP_MM, BOTTOM_MM = (
    132.0,
    -60.0,
)  # heights of the apex, and of the domes in expiration; between them the lung gives
SPINE_Y_MM = 70.0  # what the ribs turn about
RIPPLE_LENGTH_MM = 70.0  # smaller than a lobe: what an affine or a coarse spline cannot follow
TRAPPED_SIZE_MM = 14.0  # correlation length of trapped regions: a few lobules
TRAPPED_HU = -875.0  # highest density of trapped lung in expiration, clear of the -856 of its definition


@dataclass(frozen=True, slots=True, kw_only=True)
class Breath:
    """How far somebody breathes out, in closed form; lengths in mm, the frame of the phantom's thorax.

    `rise_mm` of the diaphragm; `widening` and `deepening` are how much wider and deeper the chest is in
    inspiration; `ripple_mm` is the amplitude of a local motion in each direction.
    """

    rise_mm: float = 45.0
    widening: float = 0.03
    deepening: float = 0.09
    ripple_mm: float = 2.5

    def to_inspiration(self, world_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map points (..., 3) LPS mm of the expiration to where the same tissue is in inspiration."""
        x, y, z = np.moveaxis(world_mm, -1, 0)
        height = np.clip((TOP_MM - z) / (TOP_MM - BOTTOM_MM), 0.0, 1.0)
        share = height * height * (3.0 - 2.0 * height)  # 0 above the apex, 1 below the domes, smooth at both
        wave = 2.0 * np.pi / RIPPLE_LENGTH_MM
        return np.stack(
            [
                x * (1.0 + self.widening) + self.ripple_mm * np.sin(wave * (y + 0.6 * z)),
                SPINE_Y_MM
                + (y - SPINE_Y_MM) * (1.0 + self.deepening)
                + self.ripple_mm * np.sin(wave * (z + 0.6 * x)),
                z - self.rise_mm * share + self.ripple_mm * np.sin(wave * (x + 0.6 * y)),
            ],
            axis=-1,
        )

    def jacobian(self, world_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Volume in inspiration over volume in expiration at points (..., 3), by central differences of 1 um."""
        step = 1e-3
        columns = [
            (self.to_inspiration(world_mm + step * axis) - self.to_inspiration(world_mm - step * axis))
            / (2.0 * step)
            for axis in np.eye(3)
        ]
        return np.asarray(np.linalg.det(np.stack(columns, axis=-1)))


@dataclass(frozen=True, slots=True, eq=False)
class BreathPair:
    """Both scans of one person, and what is true of them.

    `lungs`, `exhaled_hu` and `inhaled_hu` (z, y, x) int16 lie on the grid of the expiration: its own lungs, its
    density without noise, and that of the same tissue in inspiration. `trapped` says where air stays.
    """

    breath: Breath
    inspiration: Phantom
    expiration: Volume
    lungs: LabelMap
    exhaled_hu: NDArray[np.int16]
    inhaled_hu: NDArray[np.int16]
    trapped: NDArray[np.bool_]


def make_breath_pair(
    spec: PhantomSpec, *, breath: Breath | None = None, trapped: float = 0.0, grid: Grid | None = None
) -> BreathPair:
    """Make the inspiration of `spec` and its expiration, on `grid` or on the same one; an axial LPS grid.

    `trapped` is the fraction of the parenchyma in which air stays.
    """
    breath, grid = breath or Breath(), grid or spec.grid
    inspiration = make_phantom(spec)
    inhaled, labels, lost = _moved(inspiration, breath, grid)
    keeps_air = _trapped(labels > 0, trapped, grid, seed=spec.seed)
    exhaled = np.empty(grid.shape, dtype=np.int16)
    scanned = np.empty(grid.shape, dtype=np.float32)

    def exhale(index: int) -> None:
        factor = np.where(labels[index] > 0, breath.jacobian(_plane(grid, index)), 1.0)
        density = inhaled[index] + 1000.0
        # Air leaves parenchyma; blood, walls and holes keep their density.
        gives = (labels[index] > 0) & (inhaled[index] < -700) & ~lost[index]
        hu = np.where(gives, density * factor, density) - 1000.0
        stays = keeps_air[index] & gives
        hu[stays] = np.minimum(inhaled[index][stays], TRAPPED_HU)
        exhaled[index] = np.rint(hu)
        rng = np.random.default_rng([spec.seed, 7, index])
        scanned[index] = scan_slice(
            exhaled[index].astype(np.float32), kernel=spec.kernel, noise_hu=spec.noise_hu, rng=rng
        )

    each_slice(exhale, grid.shape[0])
    return BreathPair(
        breath=breath,
        inspiration=inspiration,
        expiration=Volume(scanned, grid),
        lungs=LabelMap(labels, grid),
        exhaled_hu=exhaled,
        inhaled_hu=inhaled,
        trapped=keeps_air,
    )


def _moved(
    inspiration: Phantom, breath: Breath, grid: Grid
) -> tuple[NDArray[np.int16], NDArray[np.uint8], NDArray[np.bool_]]:
    """Density (trilinear), lungs and emphysema (nearest) of the inspiration at the expiration's voxels."""
    truth = inspiration.truth
    hu, labels = np.empty(grid.shape, dtype=np.int16), np.empty(grid.shape, dtype=np.uint8)
    lost = np.empty(grid.shape, dtype=np.bool_)

    def move(index: int) -> None:
        source = truth.lungs.grid.to_index(breath.to_inspiration(_plane(grid, index)))
        places = np.moveaxis(source, -1, 0)
        nearest = tuple(
            np.clip(np.rint(p), 0, n - 1).astype(np.intp) for p, n in zip(places, truth.hu.shape, strict=True)
        )
        labels[index], lost[index] = truth.lungs.labels[nearest], truth.emphysema[nearest]
        between = map_coordinates(truth.hu, places, output=np.float32, order=1, mode="nearest")
        # A hole keeps its hard edge, as in the phantom that it comes from.
        hu[index] = np.rint(np.where(lost[index], truth.hu[nearest], between))

    each_slice(move, grid.shape[0])
    return hu, labels, lost


def _plane(grid: Grid, index: int) -> NDArray[np.float64]:
    """LPS mm (y, x, 3) of one slice."""
    _, n_y, n_x = grid.shape
    y, x = np.mgrid[:n_y, :n_x]
    return grid.to_world(np.stack([np.full_like(y, index), y, x], axis=-1))


def _trapped(lung: NDArray[np.bool_], fraction: float, grid: Grid, *, seed: int) -> NDArray[np.bool_]:
    """Blobs that hold the asked fraction of the lung voxels."""
    if fraction == 0:
        return np.zeros(lung.shape, dtype=np.bool_)
    rng = np.random.default_rng([seed, 8])
    # On a lattice, so that a finer scan shows the same blobs.
    lattice_mm = TRAPPED_SIZE_MM / 3.0
    extent = np.array(grid.shape) * np.array(grid.spacing_mm)
    noise = gaussian_filter(rng.standard_normal(tuple(np.ceil(extent / lattice_mm).astype(int) + 4)), 2.0)
    axes = [
        size * np.arange(n) / lattice_mm + 1.0 for n, size in zip(grid.shape, grid.spacing_mm, strict=True)
    ]
    field = np.empty(lung.shape, dtype=np.float32)
    for z, height in enumerate(axes[0]):
        places = np.broadcast_arrays(height, axes[1][:, None], axes[2][None, :])
        field[z] = map_coordinates(noise, places, order=1)
    return np.asarray(lung & (field > np.quantile(field[lung], 1.0 - fraction)))
