import numpy as np
import pytest
from scipy import ndimage

from dras_model.imaging.atlas import LEFT, RIGHT, Atlas
from dras_model.imaging.phantom import PhantomSpec, make_phantom
from dras_model.imaging.registration import Alignment, align
from dras_model.imaging.volume import Grid, LabelMap
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused


def _subject(atlas: Atlas, matrix: np.ndarray, *, step_mm: float = 3.0) -> LabelMap:
    """The atlas' lungs moved by a known affine, sampled on a grid of the atlas' orientation."""
    native = atlas.lungs.grid
    shape = tuple(int(n / step_mm * 1.15) for n in native.shape)
    affine = native.affine.copy()
    affine[:3, :3] *= step_mm
    centre = native.to_world((np.array(native.shape) - 1) / 2.0)
    moved = matrix[:3, :3] @ centre + matrix[:3, 3]
    affine[:3, 3] = moved - affine[:3, :3] @ ((np.array(shape) - 1) / 2.0)
    grid = Grid(shape, affine)
    to_atlas = np.linalg.inv(native.affine) @ np.linalg.inv(matrix) @ grid.affine
    labels = ndimage.affine_transform(
        atlas.lungs.labels, to_atlas[:3, :3], to_atlas[:3, 3], output_shape=shape, order=0
    )
    return LabelMap(labels.astype(np.uint8), grid)


def _affine(
    scale: tuple[float, float, float], degrees: float, shift: tuple[float, float, float]
) -> np.ndarray:
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    tilt = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ tilt @ np.diag(scale)
    matrix[:3, 3] = shift
    return matrix


@pytest.mark.parametrize(
    "truth",
    [
        _affine((1.0, 1.0, 1.0), 0.0, (0.0, 0.0, 0.0)),
        _affine((0.9, 0.95, 1.1), 8.0, (40.0, -120.0, 300.0)),
        _affine((1.15, 1.1, 0.8), -6.0, (-25.0, 60.0, -800.0)),
    ],
)
def test_a_known_affine_is_recovered_to_two_millimetres(atlas: Atlas, truth: np.ndarray) -> None:
    alignment = align(atlas, _subject(atlas, truth))
    corners = atlas.lungs.grid.to_world(atlas.corners[:, ::-1])
    expected = corners @ truth[:3, :3].T + truth[:3, 3]
    distance_mm = np.linalg.norm(alignment.to_subject(corners) - expected, axis=1)
    assert distance_mm.mean() <= 1.0
    assert distance_mm.max() <= 2.0
    assert min(alignment.quality.dice_right, alignment.quality.dice_left) >= 0.97


def test_a_half_covered_thorax_does_not_stretch_to_the_whole_atlas(atlas: Atlas) -> None:
    truth = _affine((0.95, 1.0, 1.05), 4.0, (10.0, 20.0, 30.0))
    whole = _subject(atlas, truth)
    kept = whole.labels.shape[0] * 6 // 10
    cut = LabelMap(
        np.ascontiguousarray(whole.labels[:kept]), Grid((kept, *whole.grid.shape[1:]), whole.grid.affine)
    )
    alignment = align(atlas, cut)
    corners = atlas.lungs.grid.to_world(atlas.corners[:, ::-1])
    expected = corners @ truth[:3, :3].T + truth[:3, 3]
    assert np.linalg.norm(alignment.to_subject(corners) - expected, axis=1).mean() <= 5.0
    assert alignment.quality.coverage < 0.9


# The mean over the patches inside the scan; the upper half alone hardly tells how tall the lungs are.
MOST_MOVED_MM = {"lower 60 %": 4.0, "lower half": 4.0, "upper half": 9.0, "middle": 4.0}
CUTS = {"lower 60 %": (0.0, 0.6), "lower half": (0.0, 0.5), "upper half": (0.5, 1.0), "middle": (0.2, 0.8)}


def _cut(lungs: LabelMap, part: tuple[float, float]) -> LabelMap:
    """The scan that shows only this part of the lungs' height; an end at 0 or 1 is not cut."""
    heights = np.nonzero(lungs.labels)[0]
    low, span = heights.min(), np.ptp(heights)
    first = round(low + span * part[0]) if part[0] > 0 else 0
    last = round(low + span * part[1]) if part[1] < 1 else len(lungs.labels)
    affine = lungs.grid.affine.copy()
    affine[:3, 3] = lungs.grid.to_world(np.array([first, 0, 0]))
    labels = np.ascontiguousarray(lungs.labels[first:last])
    return LabelMap(labels, Grid(labels.shape, affine))


def _inside(grid: Grid, world_mm: np.ndarray) -> np.ndarray:
    index = grid.to_index(world_mm)
    return np.all((index >= 0) & (index <= np.array(grid.shape) - 1), axis=1)


@pytest.fixture(scope="module", params=[1, 2])
def whole(request: pytest.FixtureRequest, atlas: Atlas) -> tuple[LabelMap, Alignment]:
    """The lungs of a whole phantom, and how they lie in the atlas."""
    spec = PhantomSpec(seed=request.param, n_slices=75, matrix=96, noise_hu=0.0)
    lungs = make_phantom(spec).truth.lungs.oriented("LAS")
    return lungs, align(atlas, lungs)


@pytest.mark.parametrize("cut", CUTS)
def test_a_cut_scan_is_aligned_as_the_whole_one_and_knows_what_it_covers(
    whole: tuple[LabelMap, Alignment], cut: str, atlas: Atlas
) -> None:
    lungs, expected = whole
    part = _cut(lungs, CUTS[cut])
    found = align(atlas, part)
    middles = expected.to_subject(atlas.corners_lps_mm + np.array([16.0, -16.0, 16.0]))
    moved_mm = np.linalg.norm(
        found.to_subject(atlas.corners_lps_mm) - expected.to_subject(atlas.corners_lps_mm), axis=1
    )[_inside(part.grid, middles)]
    lung_mm = atlas.lungs.grid.to_world(np.argwhere(atlas.lungs.labels[::6, ::6, ::6]) * 6)
    covered = float(_inside(part.grid, expected.to_subject(lung_mm)).mean())
    assert moved_mm.mean() <= MOST_MOVED_MM[cut], moved_mm.mean()
    assert abs(found.quality.coverage - covered) <= 0.08, (found.quality.coverage, covered)


def test_aligning_twice_gives_the_same_bits(atlas: Atlas) -> None:
    subject = _subject(atlas, _affine((0.9, 1.0, 1.0), 5.0, (0, 0, 0)))
    np.testing.assert_array_equal(align(atlas, subject).matrix, align(atlas, subject).matrix)


def test_one_lung_is_enough_and_is_not_mirrored(atlas: Atlas) -> None:
    truth = _affine((0.95, 0.95, 1.0), 3.0, (5.0, 5.0, 5.0))
    whole = _subject(atlas, truth)
    one = LabelMap(np.where(whole.labels == LEFT, LEFT, 0).astype(np.uint8), whole.grid)
    alignment = align(atlas, one)
    assert alignment.quality.determinant > 0
    assert alignment.quality.dice_left >= 0.95
    assert alignment.quality.dice_right == 0.0


def test_no_lung_is_refused(atlas: Atlas) -> None:
    empty = LabelMap(np.zeros((50, 50, 50), np.uint8), Grid((50, 50, 50), atlas.lungs.grid.affine))
    with pytest.raises(StudyRefused, match="neither lung") as refused:
        align(atlas, empty)
    assert refused.value.code is Code.REGISTRATION_FAILED


def test_right_is_never_matched_with_left(atlas: Atlas) -> None:
    whole = _subject(atlas, np.eye(4))
    swapped = np.array([0, LEFT, RIGHT, 3], dtype=np.uint8)[whole.labels]
    with pytest.raises(StudyRefused, match="would have to be scaled"):
        align(atlas, LabelMap(swapped, whole.grid))


def test_lungs_that_hardly_overlap_the_atlas_are_refused(atlas: Atlas) -> None:
    whole = _subject(atlas, np.eye(4))
    rind = np.where(ndimage.binary_erosion(whole.labels > 0, iterations=2), 0, whole.labels)
    with pytest.raises(StudyRefused, match=r"with a Dice of 0\.3"):
        align(atlas, LabelMap(rind.astype(np.uint8), whole.grid))


def test_one_doubtful_lung_beside_a_good_one_is_delivered(atlas: Atlas) -> None:
    whole = _subject(atlas, np.eye(4))
    rind = ndimage.binary_erosion(whole.labels == LEFT, iterations=2)
    quality = align(atlas, LabelMap(np.where(rind, 0, whole.labels).astype(np.uint8), whole.grid)).quality
    assert quality.dice_left < 0.5 < quality.dice_right
