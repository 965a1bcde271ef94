import numpy as np
import pytest
from numpy.typing import NDArray

from dras_model.imaging.atlas import LEFT, RIGHT
from dras_model.imaging.lungs import AIRWAY, segment_lungs
from dras_model.imaging.phantom import (
    Emphysema,
    Phantom,
    PhantomSpec,
    head_ct,
    make_phantom,
    noise_ct,
    water_cylinder,
)
from dras_model.imaging.phantom.spec import EmphysemaKind
from dras_model.imaging.volume import Volume
from dras_model.results.errors import StudyRefused


def _dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return 2.0 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


def _truth(phantom: Phantom) -> NDArray[np.uint8]:
    return phantom.truth.lungs.oriented("LAS").labels


@pytest.mark.parametrize("side", [RIGHT, LEFT])
def test_each_lung_of_a_phantom_is_found(phantom: Phantom, side: int) -> None:
    found = segment_lungs(phantom.volume.oriented("LAS")).map.labels
    assert _dice(found == side, _truth(phantom) == side) >= 0.98


def test_severe_emphysema_stays_in_the_lungs() -> None:
    severe = make_phantom(
        PhantomSpec(
            seed=2, n_slices=60, matrix=112, noise_hu=0.0, emphysema=Emphysema(EmphysemaKind.PANLOBULAR, 0.45)
        )
    )
    found = segment_lungs(severe.volume.oriented("LAS")).map.labels
    truth = _truth(severe)
    assert _dice((found == RIGHT) | (found == LEFT), truth > 0) >= 0.98


def test_the_trachea_is_no_lung(phantom: Phantom) -> None:
    found = segment_lungs(phantom.volume.oriented("LAS")).map.labels
    hu = phantom.volume.oriented("LAS").hu
    # The upper half of the airway is trachea and main bronchi; its lumen must not count as lung.
    lumen = (phantom.truth.airway.oriented("LAS").labels > 0) & (hu < -900.0)
    lumen[: found.shape[0] * 6 // 10] = False
    as_lung = np.count_nonzero(lumen & ((found == RIGHT) | (found == LEFT)))
    assert as_lung <= 0.05 * np.count_nonzero(lumen)
    assert np.count_nonzero(found == AIRWAY) > 0


def test_thick_slices_change_the_volume_by_less_than_three_percent() -> None:
    volumes_ml = []
    for n_slices, thickness_mm in ((120, 2.5), (40, 7.5)):
        scan = make_phantom(PhantomSpec(seed=3, n_slices=n_slices, matrix=112, thickness_mm=thickness_mm))
        quality = segment_lungs(scan.volume.oriented("LAS")).quality
        volumes_ml.append(quality.right_ml + quality.left_ml)
    assert volumes_ml[0] == pytest.approx(volumes_ml[1], rel=0.03)


def test_segmenting_twice_gives_the_same_bits(phantom: Phantom) -> None:
    volume = phantom.volume.oriented("LAS")
    one, other = segment_lungs(volume), segment_lungs(volume)
    np.testing.assert_array_equal(one.map.labels, other.map.labels)
    assert one.quality == other.quality


@pytest.mark.parametrize("make", [head_ct, noise_ct, water_cylinder])
def test_what_is_no_chest_is_out_of_scope(make) -> None:
    volume: Volume = make(0)
    with pytest.raises(StudyRefused, match="no CT of the lungs"):
        segment_lungs(volume.oriented("LAS"))


def test_a_cut_thorax_says_where_it_is_cut(phantom: Phantom) -> None:
    whole = phantom.volume.oriented("LAS")
    cut = Volume(
        np.ascontiguousarray(whole.hu[:50]), type(whole.grid)((50, *whole.grid.shape[1:]), whole.grid.affine)
    )
    quality = segment_lungs(cut).quality
    assert quality.touches_top_percent > 50.0
    assert quality.touches_bottom_percent < 1.0


@pytest.mark.parametrize("orientation", ["RPI", "LPS"])
def test_a_volume_in_another_orientation_is_not_taken(phantom: Phantom, orientation: str) -> None:
    with pytest.raises(ValueError, match="orient the volume to LAS"):
        segment_lungs(phantom.volume.oriented(orientation))
