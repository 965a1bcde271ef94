"""Small lungs of invented HU, and every score of them by counting voxel after voxel in plain Python."""

import math

import numpy as np
import pytest

from dras_model.imaging.atlas import LEFT, RIGHT
from dras_model.imaging.phantom import Phantom, PhantomSpec, make_phantom
from dras_model.imaging.volume import Grid, LabelMap, Volume
from dras_model.results.codes import Code
from dras_model.results.study import Region, Score
from dras_model.scores.densitometry import Conditions, measure
from dras_model.scores.regions import find_cells

AFFINE = np.array([[0, 0, 0.7, 0], [0, -0.7, 0, 0], [1.0, 0, 0, 0], [0, 0, 0, 1.0]])


def invented(
    seed: int, shape: tuple[int, int, int] = (9, 8, 10), *, whole: bool = True
) -> tuple[Volume, LabelMap]:
    rng = np.random.default_rng(seed)
    hu = rng.integers(-1024, -200, shape) if whole else rng.uniform(-1024, -200, shape)
    labels = rng.choice(np.array([0, RIGHT, LEFT, 3], np.uint8), shape)
    grid = Grid(shape, AFFINE)
    return Volume(hu.astype(np.float32), grid), LabelMap(labels, grid)


def scores_of(volume: Volume, lungs: LabelMap, **conditions: object) -> dict[tuple[str, Region], Score]:
    cells = find_cells(lungs, peel_mm=2.0)
    found = measure(volume, cells, conditions=Conditions(**conditions))
    return {(score.code, score.region): score for score in found}


def counted(values: list[float], voxel_ml: float) -> dict[str, float]:
    """Every score of the histogram, from a sorted list."""
    values = sorted(values)
    n = len(values)
    mean = sum(values) / n
    moments = [sum((v - mean) ** order for v in values) / n for order in (2, 3, 4)]
    g1, g2 = moments[1] / moments[0] ** 1.5, moments[2] / moments[0] ** 2 - 3.0

    def percentile(percent: float) -> float:
        rank = percent / 100.0 * (n - 1)
        low = int(rank)
        return values[low] + (rank - low) * (values[min(low + 1, n - 1)] - values[low])

    whole = [math.ceil(v) for v in values]
    return {
        **{f"LAA-{t}insp": 100.0 * sum(v <= -t for v in values) / n for t in (950, 925, 910, 856)},
        "Perc15": percentile(15.0),
        "Perc15-density": percentile(15.0) + 1000.0,
        "MLD": mean,
        "SD": moments[0] ** 0.5,
        "skewness": g1 * (n * (n - 1)) ** 0.5 / (n - 2),
        "kurtosis": (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * g2 + 6),
        "mode": float(max(sorted(set(whole)), key=whole.count)),
        "median": percentile(50.0),
        "volume": n * voxel_ml,
        "air": sum(-max(v, -1000.0) / 1000.0 * voxel_ml for v in values),
        "mass": sum((max(v, -1000.0) + 1000.0) / 1000.0 * voxel_ml for v in values),
        "HAA": 100.0 * sum(-600 <= v <= -250 for v in values) / n,
    }


@pytest.fixture(scope="session")
def still_lungs() -> Phantom:
    """A whole thorax without noise and without emphysema, 3 x 3 x 3.75 mm."""
    return make_phantom(PhantomSpec(seed=5, n_slices=80, matrix=128, noise_hu=0.0))


def codes_of(warnings: object) -> set[Code]:
    return {warning.code for warning in warnings}
