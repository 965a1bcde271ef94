import numpy as np
import pytest

from dras_model.imaging.blood_pool import enhanced_blood_hu
from dras_model.imaging.coarse import coarsen
from dras_model.imaging.phantom import Phantom
from dras_model.imaging.volume import Volume


def test_a_scan_without_contrast_shows_no_enhanced_blood(phantom: Phantom) -> None:
    assert enhanced_blood_hu(coarsen(phantom.volume)) is None


@pytest.mark.parametrize("blood_hu", [180.0, 350.0])
def test_a_heart_full_of_contrast_is_seen_with_its_density(phantom: Phantom, blood_hu: float) -> None:
    hu = phantom.volume.hu.copy()
    z, y, x = np.ogrid[tuple(slice(n) for n in hu.shape)]
    grid = phantom.volume.grid
    centre = np.array(hu.shape) // 2
    radius_mm = sum(
        ((axis - middle) * size) ** 2
        for axis, middle, size in zip((z, y, x), centre, grid.spacing_mm, strict=True)
    )
    hu[radius_mm <= 35.0**2] = blood_hu
    assert enhanced_blood_hu(coarsen(Volume(hu, grid))) == pytest.approx(blood_hu, abs=1.0)
