"""Scans that are no lungs: what a study is refused for."""

import numpy as np

from dras_model.imaging.anatomy.shapes import Points, Vector, capsule, ellipsoid
from dras_model.imaging.volume import Grid, Volume


def head_ct(seed: int = 0, *, n_slices: int = 48, matrix: int = 128) -> Volume:
    """A head on its neck: scalp, skull, brain with ventricles, air in the sinuses, mouth and throat."""
    grid = _grid(n_slices, matrix, field_of_view_mm=256.0, coverage_mm=216.0)
    points = _points(grid)
    hu = np.full(grid.shape, -1000.0)
    hu[capsule(points, Vector(0, 12, -50), Vector(0, 22, -140), radii_mm=(58.0, 58.0)) > 0] = 30.0
    for centre, radii, value in (
        (Vector(0, 5, 10), Vector(82, 102, 108), 20.0),
        (Vector(0, 5, 10), Vector(75, 95, 100), 900.0),
        (Vector(0, 5, 10), Vector(68, 88, 93), 35.0),
        (Vector(0, 0, 15), Vector(18, 35, 12), 8.0),
        (Vector(-25, -62, -40), Vector(14, 16, 16), -990.0),
        (Vector(25, -62, -40), Vector(14, 16, 16), -990.0),
        (Vector(0, -80, 22), Vector(16, 5, 10), -990.0),
        (Vector(0, -45, -75), Vector(20, 28, 10), -990.0),
        (Vector(0, -8, -85), Vector(9, 9, 60), -990.0),
    ):
        hu[ellipsoid(points, centre, radii) > 0] = value
    return _noisy(hu, grid, seed=seed, noise_hu=6.0)


def water_cylinder(seed: int = 0, *, n_slices: int = 40, matrix: int = 128) -> Volume:
    """The quality phantom of a scanner: water of 200 mm across in a plastic wall."""
    grid = _grid(n_slices, matrix, field_of_view_mm=256.0, coverage_mm=200.0)
    points = _points(grid)
    radius = np.hypot(points.x, points.y) + 0.0 * points.z
    hu = np.where(radius < 100.0, 0.0, np.where(radius < 106.0, 120.0, -1000.0))
    return _noisy(hu, grid, seed=seed, noise_hu=8.0)


def noise_ct(seed: int = 0, *, n_slices: int = 40, matrix: int = 128, mean_hu: float = -500.0) -> Volume:
    """Noise about one value, without any structure."""
    grid = _grid(n_slices, matrix, field_of_view_mm=384.0, coverage_mm=300.0)
    return _noisy(np.full(grid.shape, mean_hu), grid, seed=seed, noise_hu=300.0)


def _grid(n_slices: int, matrix: int, *, field_of_view_mm: float, coverage_mm: float) -> Grid:
    pixel_mm, slice_mm = field_of_view_mm / matrix, coverage_mm / n_slices
    first, bottom = -pixel_mm * (matrix - 1) / 2, -slice_mm * (n_slices - 1) / 2
    affine = np.array(
        [[0, 0, pixel_mm, first], [0, pixel_mm, 0, first], [slice_mm, 0, 0, bottom], [0, 0, 0, 1]]
    )
    return Grid((n_slices, matrix, matrix), affine)


def _points(grid: Grid) -> Points:
    z, y, x = (grid.affine[2 - a, 3] + grid.affine[2 - a, a] * np.arange(grid.shape[a]) for a in range(3))
    return Points(x[None, None, :], y[None, :, None], z[:, None, None])


def _noisy(hu: np.ndarray, grid: Grid, *, seed: int, noise_hu: float) -> Volume:
    noise = np.random.default_rng(seed).normal(0.0, noise_hu, grid.shape)
    return Volume(np.rint(hu + noise).clip(-1024, 3071).astype(np.float32), grid)
