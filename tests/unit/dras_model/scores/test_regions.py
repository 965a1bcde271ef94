import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dras_model.imaging import parallel
from dras_model.imaging.atlas import LEFT, RIGHT
from dras_model.imaging.volume import Grid, LabelMap
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused
from dras_model.results.study import LOBES, Region
from dras_model.scores.regions import LOBE_LABELS, N_CELLS, Cells, find_cells

from .conftest import AFFINE, invented

PARTITIONS = {
    Region.WHOLE: [
        (Region.RIGHT, Region.LEFT),
        (Region.APICAL, Region.MIDDLE, Region.BASAL),
        (Region.CORE, Region.PEEL),
        (Region.VENTRAL, Region.DORSAL),
    ],
    Region.RIGHT: [(Region.RIGHT_APICAL, Region.RIGHT_MIDDLE, Region.RIGHT_BASAL)],
    Region.APICAL: [(Region.RIGHT_APICAL, Region.LEFT_APICAL)],
}


def _mask(cells: Cells, region: Region) -> np.ndarray:
    found = np.zeros(cells.grid.shape, dtype=bool)
    found[cells.box] = np.isin(cells.index, cells.members[region])
    return found


def _turned(shape: tuple[int, int, int], degrees: float) -> Grid:
    """An LAS grid turned about the patient's left-right axis and a little about the sagittal one."""
    a, b = np.radians(degrees), np.radians(degrees / 3.0)
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = about_y @ about_x @ np.array([[0, 0, 0.7], [0, -0.8, 0], [2.5, 0, 0]])
    affine[:3, 3] = (-100.0, 80.0, -300.0)
    return Grid(shape, affine)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_parts_are_disjoint_and_together_the_whole(seed: int) -> None:
    _, lungs = invented(seed)
    cells = find_cells(lungs, peel_mm=1.0)
    for whole, partitions in PARTITIONS.items():
        for parts in partitions:
            total = sum(_mask(cells, part).astype(int) for part in parts)
            np.testing.assert_array_equal(total, _mask(cells, whole))
    np.testing.assert_array_equal(_mask(cells, Region.RIGHT), lungs.labels == RIGHT)
    np.testing.assert_array_equal(_mask(cells, Region.LEFT), lungs.labels == LEFT)


@pytest.mark.parametrize("degrees", [0.02, 3.0, -12.0, 30.0])
@pytest.mark.parametrize(
    ("axis", "parts"), [(2, (Region.RIGHT_BASAL, Region.RIGHT_MIDDLE, Region.RIGHT_APICAL))]
)
def test_thirds_of_an_oblique_lung_are_those_of_its_voxels_sorted_by_height(
    degrees: float, axis: int, parts: tuple[Region, ...]
) -> None:
    grid = _turned((30, 24, 22), degrees)
    labels = np.random.default_rng(3).choice(
        np.array([0, RIGHT, LEFT], np.uint8), grid.shape, p=[0.3, 0.5, 0.2]
    )
    cells = find_cells(LabelMap(labels, grid), peel_mm=1.0)
    height_mm = grid.to_world(np.argwhere(np.ones(grid.shape, bool)))[:, axis].reshape(grid.shape)
    own = np.sort(height_mm[labels == RIGHT])
    for number, part in enumerate(parts):
        low, high = own[len(own) * number // 3], own[min(len(own) * (number + 1) // 3, len(own) - 1)]
        found = height_mm[_mask(cells, part)]
        assert low - 0.3 <= found.min()
        assert found.max() <= high + 0.3
        assert len(found) == pytest.approx(len(own) / 3, abs=0.02 * len(own))


def test_halves_of_an_oblique_lung_part_front_from_back() -> None:
    grid = _turned((20, 24, 22), 12.0)
    labels = np.full(grid.shape, RIGHT, np.uint8)
    cells = find_cells(LabelMap(labels, grid), peel_mm=1.0)
    posterior_mm = grid.to_world(np.argwhere(np.ones(grid.shape, bool)))[:, 1].reshape(grid.shape)
    front, back = _mask(cells, Region.VENTRAL), _mask(cells, Region.DORSAL)
    assert posterior_mm[front].max() <= posterior_mm[back].min() + 0.3
    assert front.sum() == pytest.approx(back.sum(), rel=0.02)


def test_apical_is_at_the_head_and_ventral_at_the_front() -> None:
    labels = np.full((12, 10, 6), RIGHT, np.uint8)
    cells = find_cells(
        LabelMap(labels, Grid(labels.shape, AFFINE)), peel_mm=0.5
    )  # LAS: z to the head, y forward
    assert np.nonzero(_mask(cells, Region.APICAL))[0].min() == 8
    assert np.nonzero(_mask(cells, Region.BASAL))[0].max() == 3
    assert np.nonzero(_mask(cells, Region.VENTRAL))[1].min() == 5
    assert np.nonzero(_mask(cells, Region.DORSAL))[1].max() == 4


def test_a_lobe_is_where_its_label_and_its_lung_are() -> None:
    _, lungs = invented(11)
    lobes = np.random.default_rng(1).integers(0, 7, lungs.grid.shape).astype(np.uint8)
    cells = find_cells(lungs, peel_mm=1.0, lobes=LabelMap(lobes, lungs.grid))
    for value, lobe in LOBE_LABELS.items():
        side = RIGHT if lobe.startswith("right") else LEFT
        np.testing.assert_array_equal(_mask(cells, lobe), (lobes == value) & (lungs.labels == side))
    np.testing.assert_array_equal(_mask(cells, Region.RIGHT), lungs.labels == RIGHT)
    assert cells.index.max() < N_CELLS <= 256


def test_without_a_lobe_mask_no_lobe_is_known() -> None:
    _, lungs = invented(2)
    assert not set(find_cells(lungs, peel_mm=1.0).members) & set(LOBES)


def test_a_lobe_mask_of_other_voxels_is_refused_with_both_grids() -> None:
    _, lungs = invented(2)
    other = LabelMap(np.zeros((9, 8, 11), np.uint8), Grid((9, 8, 11), AFFINE))
    with pytest.raises(StudyRefused) as refused:
        find_cells(lungs, peel_mm=1.0, lobes=other)
    assert refused.value.code is Code.MASK_GEOMETRY
    assert "11 x 8 x 9" in str(refused.value)
    assert "10 x 8 x 9" in str(refused.value)


def test_a_mask_without_any_label_of_a_lobe_is_refused_and_says_which_are_known() -> None:
    grid = Grid((4, 8, 8), np.array([[0, 0, 2.0, 0], [0, 2.0, 0, 0], [2.0, 0, 0, 0], [0, 0, 0, 1]]))
    lungs = LabelMap(np.full(grid.shape, LEFT, np.uint8), grid)
    with pytest.raises(
        StudyRefused, match="its labels are 21, those of lobes are 1 left upper lobe"
    ) as refused:
        find_cells(lungs, peel_mm=1.0, lobes=LabelMap(np.full(grid.shape, 21, np.uint8), grid))
    assert refused.value.code is Code.MASK_INVALID


def _peak_bytes(lungs: LabelMap, lobes: LabelMap | None) -> int:
    tracemalloc.start()
    cells = find_cells(lungs, peel_mm=5.0, lobes=lobes)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert cells.index.nbytes == lungs.grid.n_voxels
    return peak


def test_cells_take_the_same_memory_however_many_regions_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "available_cores", lambda: 1)  # what two threads hold at once is chance
    grid = _turned((80, 128, 128), 5.0)
    lungs = LabelMap(np.full(grid.shape, RIGHT, np.uint8), grid)
    without = _peak_bytes(lungs, None)
    assert without < 12 * grid.n_voxels
    assert (
        _peak_bytes(lungs, LabelMap(np.full(grid.shape, 3, np.uint8), grid)) < without + 0.2 * grid.n_voxels
    )


def test_labels_number_the_regions_in_their_order() -> None:
    _, lungs = invented(4)
    cells = find_cells(lungs, peel_mm=1.0)
    np.testing.assert_array_equal(
        cells.labels((Region.LEFT, Region.RIGHT)),
        np.select([lungs.labels[cells.box] == LEFT, lungs.labels[cells.box] == RIGHT], [1, 2]),
    )
