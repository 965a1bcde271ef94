import numpy as np
import pytest

from dras_model.imaging.anatomy.body import BodyFields, body_fields
from dras_model.imaging.anatomy.shapes import Lattice
from dras_model.imaging.anatomy.thorax import MEAN_THORAX

AXES = tuple(np.arange(-low, high + 1, 3.0) for low, high in ((150, 150), (150, 160), (190, 190)))


@pytest.fixture(scope="module")
def body() -> BodyFields:
    points = Lattice(AXES).points()  # type: ignore[arg-type]
    shape = tuple(len(axis) for axis in AXES)
    fields = body_fields(points, MEAN_THORAX, fat_mm=12.0, septa=np.ones(shape, dtype=np.float32))
    return BodyFields(*(np.broadcast_to(field, shape) for field in fields))


def test_lungs_bones_and_airway_lie_well_inside_the_skin(body: BodyFields) -> None:
    for part, least_mm in ((body.right, 9.0), (body.left, 9.0), (body.airway, 9.0), (body.gas, 9.0)):
        assert body.skin[part > 0].min() > least_mm
    assert body.skin[body.bone > 0].min() > 2.0


def test_bones_and_lungs_do_not_overlap(body: BodyFields) -> None:
    lungs = np.maximum(body.right, body.left) > 0
    overlap = np.count_nonzero(lungs & (body.bone > 0)) / np.count_nonzero(lungs)
    assert overlap < 0.002  # paint order decides there: the lung is drawn over it


def test_gas_lies_below_the_left_diaphragm_in_front(body: BodyFields) -> None:
    z, y, x = np.nonzero(body.gas > 0)
    assert AXES[2][x].mean() > 40
    assert AXES[1][y].mean() < -40
    left_base = np.nonzero(body.left > 0)[0]
    assert z.max() < np.quantile(left_base, 0.6)


def test_the_windpipe_divides_in_two_that_reach_the_lungs(body: BodyFields) -> None:
    air = body.airway > 0
    heights = AXES[0]
    above, below = air[np.argmin(np.abs(heights - 80))], air[np.argmin(np.abs(heights - 18))]
    assert np.count_nonzero(above[:, AXES[2] < -12] | above[:, AXES[2] > 12][:, :1]) == 0
    assert below[:, AXES[2] < -20].any()
    assert below[:, AXES[2] > 20].any()


def test_the_spinal_canal_is_open_from_top_to_bottom(body: BodyFields) -> None:
    behind = (AXES[1] > 55) & (AXES[1] < 115)
    middle = np.abs(AXES[2]) <= 3
    shown = body.bone[:, behind][:, :, middle].min(axis=(1, 2))
    assert np.all(shown < 0)
