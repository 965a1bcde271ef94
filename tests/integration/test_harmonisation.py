"""One acquisition under two kernels, and scans of other vendors: what harmonisation does to real lungs."""

from collections.abc import Callable

import numpy as np
import pytest

from dras_model.imaging.lungs import Lungs
from dras_model.imaging.volume import Volume
from dras_model.results.study import Region, Score
from dras_model.scores.densitometry import Conditions, measure
from dras_model.scores.harmonisation import harmonise
from dras_model.scores.harmonised import HARMONISED, harmonised_scores
from dras_model.scores.regions import find_cells

Scores = dict[tuple[str, Region], Score]
Found = Callable[[str], tuple[Volume, Lungs]]


def _both(volume: Volume, lungs: Lungs) -> tuple[Scores, Scores]:
    """Raw and harmonised scores, in the scan's own mask as the pipeline finds it."""
    cells, conditions = find_cells(lungs.map, peel_mm=15.0), Conditions(phase="inspiration")
    raw = measure(volume, cells, conditions=conditions, definitions=HARMONISED)
    harmonised, _, _ = harmonised_scores(volume, harmonise(volume, lungs.map), cells, conditions=conditions)
    return tuple({(s.code, s.region): s for s in scores} for scores in (raw, harmonised))


@pytest.fixture(scope="module")
def pair(real_lungs: Found) -> list[tuple[Scores, Scores]]:
    return [_both(*real_lungs(f"{kernel}_kernel_philips_5mm")) for kernel in ("soft", "sharp")]


def _differences(pair: list[tuple[Scores, Scores]], which: int, code: str) -> dict[Region, float]:
    soft, sharp = (scores[which] for scores in pair)
    return {
        region: abs(soft[code, region].value - sharp[code, region].value) for c, region in soft if c == code
    }


def test_the_kernels_of_one_acquisition_agree_once_harmonised(pair: list[tuple[Scores, Scores]]) -> None:
    assert _differences(pair, 0, "LAA-950insp")[Region.WHOLE] > 10.0
    assert _differences(pair, 1, "LAA-950insp")[Region.WHOLE] <= 1.0
    assert _differences(pair, 0, "Perc15")[Region.WHOLE] > 50.0
    assert _differences(pair, 1, "Perc15")[Region.WHOLE] <= 5.0


def test_they_agree_in_every_region(pair: list[tuple[Scores, Scores]]) -> None:
    assert max(_differences(pair, 0, "LAA-950insp").values()) > 10.0
    assert max(_differences(pair, 1, "LAA-950insp").values()) <= 2.0


def test_the_soft_scan_is_hardly_changed(pair: list[tuple[Scores, Scores]]) -> None:
    raw, harmonised = pair[0]
    assert harmonised["Perc15", Region.WHOLE].value == pytest.approx(
        raw["Perc15", Region.WHOLE].value, abs=4.0
    )
    assert harmonised["LAA-950insp", Region.WHOLE].value <= 0.5


def test_a_lung_kernel_of_another_vendor_shows_its_noise_as_noise(real_lungs: Found) -> None:
    raw, harmonised = _both(*real_lungs("sharp_kernel_ge_feet_first_2.5mm"))
    assert raw["LAA-950insp", Region.WHOLE].value > 6.0
    assert harmonised["LAA-950insp", Region.WHOLE].value <= 1.0


def test_coarse_voxels_of_real_emphysema_are_left_alone_with_the_reason(real_lungs: Found) -> None:
    volume, lungs = real_lungs("small_volumes/ct-64Dicom")
    found = harmonise(volume, lungs.map)
    assert found.lungs is None
    assert "do not resolve" in str(found.limit)


def test_emphysema_planted_into_a_real_scan_is_still_there(real_lungs: Found) -> None:
    volume, lungs = real_lungs("soft_kernel_philips_5mm")
    z, y, x = np.meshgrid(*map(np.arange, volume.hu.shape), indexing="ij", sparse=True)
    holes = (np.hypot(y % 24 - 12.0, x % 24 - 12.0) < 7.0) & (z % 2 == 0)  # 12 mm across
    planted = holes & (lungs.map.labels > 0) & (lungs.map.labels < 3) & (volume.hu < -700)
    hu = np.where(planted, volume.hu - 110.0, volume.hu).astype(np.float32)
    found = harmonise(Volume(hu, volume.grid), lungs.map)
    assert found.lungs is not None
    inside = (lungs.map.labels > 0) & (lungs.map.labels < 3)
    raw, kept = (float(np.mean(values <= -950.0)) for values in (hu[inside], found.lungs.hu))
    assert raw > 0.05
    assert kept == pytest.approx(raw, rel=0.1)
