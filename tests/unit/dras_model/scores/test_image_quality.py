import numpy as np
import pytest

from dras_model.imaging.atlas import LEFT, RIGHT
from dras_model.imaging.lungs import AIRWAY
from dras_model.imaging.volume import Grid, LabelMap, Volume
from dras_model.scores.image_quality import measure_image
from dras_model.scores.plausibility import image_warnings

from .conftest import codes_of

SHAPE = (40, 60, 60)
GRID = Grid(SHAPE, np.array([[0, 0, 0.8, 0], [0, -0.8, 0, 0], [1.0, 0, 0, 0], [0, 0, 0, 1.0]]))


def _scan(*, air: float = -1000.0, noise: float = 0.0, floor: float = -2000.0) -> tuple[Volume, LabelMap]:
    """A trachea of 9 mm radius, its wall, and two blocks of lung of -860 HU beside it."""
    rng = np.random.default_rng(1)
    _, y, x = np.indices(SHAPE) * 0.8
    radius = np.hypot(y - 24.0, x - 24.0)
    hu = np.select([radius < 9.0, radius < 11.5], [air, 30.0], -860.0)
    hu = np.maximum(np.rint(hu + noise * rng.standard_normal(SHAPE)), floor)
    labels = np.where(radius < 11.5, AIRWAY, np.where(x < 24.0, RIGHT, LEFT))
    return Volume(hu.astype(np.float32), GRID), LabelMap(labels.astype(np.uint8), GRID)


@pytest.mark.parametrize(("air", "noise"), [(-1000.0, 12.0), (-955.0, 40.0), (-990.0, 80.0)])
def test_noise_and_air_are_those_that_were_put_into_the_trachea(air: float, noise: float) -> None:
    found = measure_image(*_scan(air=air, noise=noise))
    assert found.air_hu == pytest.approx(air, abs=0.15 * noise)
    assert found.noise_hu == pytest.approx(noise, rel=0.12)
    assert found.air_voxels > 1000


def test_a_floor_at_minus_1024_changes_neither_noise_nor_air() -> None:
    free, cut = measure_image(*_scan(noise=40.0)), measure_image(*_scan(noise=40.0, floor=-1024.0))
    assert (cut.air_hu, cut.noise_hu) == (free.air_hu, free.noise_hu)


def test_the_wall_of_the_trachea_is_not_in_its_air() -> None:
    assert measure_image(*_scan()).noise_hu == 0.0


def test_the_share_of_the_lungs_lowest_value_is_counted() -> None:
    volume, lungs = _scan(noise=60.0, floor=-1024.0)
    found = measure_image(volume, lungs)
    own = volume.hu[(lungs.labels == RIGHT) | (lungs.labels == LEFT)]
    assert found.lowest_hu == own.min() == -1024.0
    assert found.at_lowest_percent == pytest.approx(100.0 * np.mean(own == -1024.0))


def test_noise_a_shift_and_a_floor_raise_their_warnings_and_a_clean_twin_none() -> None:
    assert codes_of(image_warnings(measure_image(*_scan(noise=12.0)))) == set()
    assert codes_of(image_warnings(measure_image(*_scan(noise=45.0)))) == {"HIGH_NOISE"}
    assert codes_of(image_warnings(measure_image(*_scan(noise=12.0, air=-950.0)))) == {"AIR_CALIBRATION"}
    assert codes_of(image_warnings(measure_image(*_scan(noise=12.0, floor=-890.0)))) >= {"HU_FLOOR"}


def test_padding_inside_the_lungs_is_a_floor() -> None:
    volume, lungs = _scan(noise=12.0)
    volume.hu[:, 40:44, 30:50] = -1024.0
    assert codes_of(image_warnings(measure_image(volume, lungs))) == {"HU_FLOOR"}


def test_without_an_airway_air_is_not_guessed() -> None:
    volume, lungs = _scan(noise=12.0)
    without = np.where(lungs.labels == AIRWAY, 0, lungs.labels).astype(np.uint8)
    found = measure_image(volume, LabelMap(without, GRID))
    assert found.air_hu is None
    assert found.noise_hu is None
    assert found.air_voxels == 0
