"""A stored result of invented arrays on any grid: small, and every number of it different."""

import numpy as np

from dras_model.imaging.volume import Grid, LabelMap, Volume
from dras_model.inspecting import describe_grid
from dras_model.outputs.features import Features, Lattice
from dras_model.outputs.masks import low_attenuation
from dras_model.outputs.stored import Parts, StoredResult
from dras_model.results.phenotypes import PATCH_COLUMNS
from dras_model.results.study import StudyResult

N_PATCHES, WIDTH = 7, 5


def oblique_grid(shape: tuple[int, int, int] = (6, 8, 10), *, turn: float = 0.3) -> Grid:
    """Axes turned by `turn` radians about two axes, of three different spacings."""
    c, s = np.cos(turn), np.sin(turn)
    turned = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    affine = np.eye(4)
    affine[:3, :3] = (turned * (0.7, 0.8, 2.5))[:, ::-1]
    affine[:3, 3] = (-31.25, 12.5, -200.75)
    return Grid(shape, affine)


def features(*, seed: int = 0) -> Features:
    rng = np.random.default_rng(seed)
    valid = np.array([True, True, False, True, True, False, True])
    measured = {name: rng.normal(-800, 90, N_PATCHES).astype(np.float32) for name in PATCH_COLUMNS}
    for name in list(measured)[1:]:
        measured[name][2] = np.nan
    corners = np.array([[3, 5, 7]] * N_PATCHES) + 26 * np.stack([np.arange(N_PATCHES)] * 3, axis=1) % 78
    corners[:, 0] = 3 + 26 * np.arange(N_PATCHES)
    return Features(
        embeddings=rng.normal(size=(N_PATCHES, WIDTH)).astype(np.float32),
        corners=corners,
        locations=rng.uniform(-1, 1, (N_PATCHES, 3)).astype(np.float32),
        valid=valid,
        inside=rng.uniform(0.95, 1, N_PATCHES).astype(np.float32),
        lung_fraction=rng.uniform(0, 1, N_PATCHES).astype(np.float32),
        corner_mm=rng.normal(0, 100, (N_PATCHES, 3)),
        densitometry=measured,
        lattice=Lattice(32, 26, np.array([[0.0, 0, 1, -30], [0, -1, 0, 40], [1, 0, 0, -200], [0, 0, 0, 1]])),
    )


def stored(result: StudyResult, grid: Grid | None = None, *, seed: int = 0) -> StoredResult:
    """In memory, with random labels and HU on `grid`."""
    grid = grid or oblique_grid()
    rng = np.random.default_rng(seed)
    lungs = LabelMap(rng.integers(0, 4, grid.shape).astype(np.uint8), grid)
    volume = Volume(rng.integers(-1000, -900, grid.shape).astype(np.float32), grid)
    told = result.model_copy(update={"geometry": describe_grid(grid)})
    return StoredResult(told, None, Parts(lungs, low_attenuation(volume, lungs), features(seed=seed)))
