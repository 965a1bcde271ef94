"""The quality numbers of a mask: damage of every kind is told, the truth itself is not."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from dras_model.imaging.atlas import LEFT, RIGHT
from dras_model.imaging.coarse import coarsen
from dras_model.imaging.lung_quality import AIRWAY, measure_lungs
from dras_model.imaging.phantom import Phantom
from dras_model.imaging.volume import Spacing, Volume
from dras_model.results.codes import Code
from dras_model.scores.plausibility import lung_warnings

Labels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def volume(phantom: Phantom) -> Volume:
    return phantom.volume.oriented("LAS")


@pytest.fixture(scope="module")
def truth(phantom: Phantom) -> Labels:
    lungs, airway = (m.oriented("LAS").labels for m in (phantom.truth.lungs, phantom.truth.airway))
    return np.where(airway > 0, AIRWAY, lungs).astype(np.uint8)


def _doubts(volume: Volume, labels: Labels) -> str:
    warnings = lung_warnings(measure_lungs(volume, labels, coarsen(volume)))
    return " ".join(w.message for w in warnings if w.code is Code.SEGMENTATION_SUSPECT)


def _third_gone(labels: Labels, spacing_mm: Spacing) -> Labels:
    height = int(np.percentile(np.nonzero(labels == LEFT)[0], 33))
    return np.where((labels == LEFT) & (np.arange(len(labels))[:, None, None] < height), 0, labels)


def _shifted(labels: Labels, spacing_mm: Spacing) -> Labels:
    return np.roll(labels, round(20.0 / spacing_mm[1]), axis=1)


def _eroded(labels: Labels, spacing_mm: Spacing) -> Labels:
    depth = ndimage.distance_transform_edt((labels == RIGHT) | (labels == LEFT), sampling=spacing_mm)
    return np.where(depth > 8.0, labels, 0)


def _grown(labels: Labels, spacing_mm: Spacing) -> Labels:
    away = ndimage.distance_transform_edt(labels == 0, sampling=spacing_mm)
    return np.where((away > 0) & (away < 8.0), RIGHT, labels)


def _leaked(labels: Labels, spacing_mm: Spacing) -> Labels:
    z, y, x = np.nonzero(labels == RIGHT)
    centre = (np.percentile(z, 8), y.mean(), x.mean())
    offsets = np.ix_(
        *((np.arange(n) - c) * s for n, c, s in zip(labels.shape, centre, spacing_mm, strict=True))
    )
    ball = sum(offset**2 for offset in offsets) < 70.0**2
    return np.where(ball & (labels == 0), RIGHT, labels)


def _riddled(labels: Labels, spacing_mm: Spacing) -> Labels:
    size = [max(1, round(12.0 / s)) for s in spacing_mm]
    cells = np.random.default_rng(0).random([-(-n // s) for n, s in zip(labels.shape, size, strict=True)])
    for axis, s in enumerate(size):
        cells = cells.repeat(s, axis)
    z, y, x = labels.shape
    return np.where(cells[:z, :y, :x] < 0.25, 0, labels)


def _one_lung(labels: Labels, spacing_mm: Spacing) -> Labels:
    return np.where(labels == RIGHT, 0, labels)


def test_the_true_mask_is_not_doubted(volume: Volume, truth: Labels) -> None:
    assert _doubts(volume, truth) == ""


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (_third_gone, "looks like lung"),
        (_shifted, "looks like lung"),
        (_eroded, "looks like lung"),
        (_grown, "as dense as soft tissue"),
        (_leaked, "as dense as soft tissue"),
        (_riddled, "spikes, holes or leaks"),
        (_one_lung, "holds 0 % of the volume"),
    ],
)
def test_a_damaged_mask_is_doubted_for_its_damage(
    damage: Callable[[Labels, Spacing], Labels], told: str, volume: Volume, truth: Labels
) -> None:
    damaged = damage(truth, volume.grid.spacing_mm).astype(np.uint8)
    assert told in _doubts(volume, damaged)
