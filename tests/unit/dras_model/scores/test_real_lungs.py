"""Low-attenuation lungs of public collections in the masks supplied with them."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from dras_model.imaging.atlas import RIGHT
from dras_model.imaging.volume import Grid, LabelMap, Volume
from dras_model.results.study import Region
from dras_model.scores.densitometry import Conditions, measure
from dras_model.scores.histogram import count_cells
from dras_model.scores.regions import find_cells

LUNGS = {
    # image, mask; percent at or below -950 and -910 HU, percent below -950 HU, Perc15
    "whole": ("ct-64.nrrd", "wholeLung-64.nrrd", 20.81, 55.99, 19.66, -955.0),
    "severe": ("Baselines_3DCT_lung.mha", "3DCT_lung_baseline_mask.mha", 46.18, 68.41, 45.46, -993.0),
}


def _read(folder: Path, image: str, mask: str) -> tuple[Volume, LabelMap]:
    read = sitk.ReadImage(str(folder / image))
    affine = np.diag([*read.GetSpacing()[::-1], 1.0])[[2, 1, 0, 3]]
    hu = sitk.GetArrayFromImage(read).astype(np.float32)
    grid = Grid(hu.shape, affine)
    inside = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / mask))) > 0
    return Volume(hu, grid), LabelMap(np.where(inside, RIGHT, 0).astype(np.uint8), grid)


@pytest.mark.parametrize("name", LUNGS)
def test_lungs_with_known_figures_give_them(name: str, shared: Path) -> None:
    image, mask, laa950, laa910, strict, perc15 = LUNGS[name]
    volume, lungs = _read(shared / "ct" / "small_volumes", image, mask)
    scores = {
        (score.code, score.region): score
        for score in measure(volume, find_cells(lungs, peel_mm=10.0), conditions=Conditions())
    }
    assert scores["LAA-950insp", Region.WHOLE].value == pytest.approx(laa950, abs=0.01)
    assert scores["LAA-910insp", Region.WHOLE].value == pytest.approx(laa910, abs=0.01)
    assert scores["Perc15", Region.WHOLE].value == perc15
    # The collections' figures count strictly below: a point less on whole HU.
    histogram = count_cells(volume.hu, lungs.labels, 2).of(np.array([1]))
    assert 100.0 * histogram.count_up_to(-950.0, itself=False) / histogram.n == pytest.approx(
        strict, abs=0.01
    )
    exponent = scores["LAC-D", Region.WHOLE]
    assert 0.5 < exponent.value < 2.0
    assert exponent.details["r_squared"] > 0.85
