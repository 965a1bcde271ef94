from pathlib import Path

import numpy as np
import pytest

from dras_model.imaging.atlas import LEFT, RIGHT
from dras_model.imaging.volume import Grid, LabelMap, Volume
from dras_model.outputs.key_images import (
    KeyImages,
    KeyImagesError,
    read_key_images,
    take_key_images,
    write_key_images,
)
from dras_model.outputs.masks import low_attenuation

# World LPS mm: x to the left, y to the back, z to the head.
CENTRES = {RIGHT: np.array([-60.0, 0.0, 0.0]), LEFT: np.array([60.0, 0.0, 0.0])}
SPOT = CENTRES[RIGHT] + (0.0, -20.0, 30.0)  # in the right lung, to the front and the head


def chest(spot: np.ndarray | None = SPOT, orientation: str = "LAS") -> tuple[Volume, LabelMap]:
    """Two ellipsoid lungs as an axial scan of 3 x 2 x 2.5 mm, with a ball of low attenuation, turned."""
    grid = Grid(
        (50, 64, 104), np.array([[0, 0, 2.5, -129], [0, 2.0, 0, -63], [3.0, 0, 0, -74], [0, 0, 0, 1]])
    )
    world = grid.to_world(np.stack(np.indices(grid.shape), axis=-1))
    labels = np.zeros(grid.shape, np.uint8)
    for side, centre in CENTRES.items():
        labels[(((world - centre) / (40.0, 50.0, 60.0)) ** 2).sum(axis=-1) < 1.0] = side
    hu = np.where(labels > 0, -850.0, 40.0).astype(np.float32)
    if spot is not None:
        hu[((world - spot) ** 2).sum(axis=-1) < 12.0**2] = -980.0
    return Volume(hu, grid).oriented(orientation), LabelMap(labels, grid).oriented(orientation)


def taken(spot: np.ndarray | None = SPOT) -> KeyImages:
    volume, lungs = chest(spot)
    return take_key_images(volume, lungs, low_attenuation(volume, lungs))


@pytest.fixture(scope="module")
def images() -> KeyImages:
    return taken()


def _middle_mm(images: KeyImages, plane: str) -> tuple[float, float]:
    """Middle of the low attenuation right of and below the middle of the right lung, as the section shows it."""
    section = images.sections[plane]
    low, lung = np.argwhere(section.low).mean(axis=0), np.argwhere(section.labels == RIGHT).mean(axis=0)
    down, right = (low - lung) * section.pixel_mm
    return float(right), float(down)


def test_the_patients_right_is_the_left_half_of_what_a_viewer_sees(images: KeyImages) -> None:
    for plane in ("coronal", "axial"):
        labels = images.sections[plane].labels
        columns = [np.argwhere(labels == side)[:, 1].mean() for side in (RIGHT, LEFT)]
        assert columns[0] < columns[1]


def test_a_spot_lies_where_it_was_planted_in_each_section(images: KeyImages) -> None:
    _, up = _middle_mm(images, "coronal")
    assert up == pytest.approx(-30.0, abs=3.0)  # towards the head is up
    front, up = _middle_mm(images, "sagittal")
    assert (front, up) == pytest.approx((-20.0, -30.0), abs=3.5)  # to the front is to the left
    _, front = _middle_mm(images, "axial")
    assert front == pytest.approx(-20.0, abs=3.0)  # to the front is up


def test_the_sections_go_through_the_spot(images: KeyImages) -> None:
    assert all(section.low.any() for section in images.sections.values())
    assert (images.sections["sagittal"].labels == RIGHT).any()
    assert not (images.sections["sagittal"].labels == LEFT).any()


def test_without_low_attenuation_a_section_shows_the_most_lung() -> None:
    volume, lungs = chest(None)
    images = take_key_images(volume, lungs, low_attenuation(volume, lungs))
    for plane, axis in (("coronal", 1), ("sagittal", 2), ("axial", 0)):
        others = tuple(each for each in range(3) if each != axis)
        most = np.count_nonzero(lungs.labels, axis=others).max()
        assert np.count_nonzero(images.sections[plane].labels) == most


@pytest.mark.parametrize(("plane", "axis"), [("coronal", 1), ("sagittal", 2), ("axial", 0)])
def test_the_number_of_a_section_finds_it_in_the_scan(images: KeyImages, plane: str, axis: int) -> None:
    _, lungs = chest()
    number, of = images.sections[plane].place
    assert of == lungs.labels.shape[axis]
    # In LAS, x grows from the right, which sections are counted from; y to the front and z to the head.
    index = number - 1 if plane == "sagittal" else of - number
    labels = images.sections[plane].labels
    assert np.count_nonzero(np.take(lungs.labels, index, axis=axis)) == np.count_nonzero(labels)


def test_the_map_counts_every_lung_voxel_once_and_the_low_ones_where_they_are(images: KeyImages) -> None:
    volume, lungs = chest()
    assert images.map_lung.sum() == np.count_nonzero(lungs.labels)
    assert images.map_low.sum() == np.count_nonzero((volume.hu <= -950) & (lungs.labels > 0))
    row, column = np.average(
        np.indices(images.map_low.shape).reshape(2, -1), axis=1, weights=images.map_low.ravel()
    )
    seen_mm = (column + 0.5) * images.map_mm[1], (row + 0.5) * images.map_mm[0]
    assert images.on_map(SPOT[None])[0] == pytest.approx(seen_mm, abs=2.5)


def test_a_lung_window_is_shown(images: KeyImages) -> None:
    section = images.sections["axial"]
    inside = section.grey[(section.labels > 0) & ~section.low]
    assert set(inside.tolist()) == {round((-850 + 1350) * 255 / 1500)}


def test_another_orientation_is_not_shown_with_the_sides_exchanged() -> None:
    volume, lungs = chest(orientation="LPS")
    with pytest.raises(ValueError, match="orient the volume to LAS"):
        take_key_images(volume, lungs, low_attenuation(volume, lungs))


def test_a_scan_without_lungs_makes_no_fault() -> None:
    volume, lungs = chest()
    empty = LabelMap(np.zeros_like(lungs.labels), lungs.grid)
    assert take_key_images(volume, empty, empty).map_lung.sum() == 0


def test_key_images_come_back_from_their_file_as_they_were(images: KeyImages, tmp_path: Path) -> None:
    write_key_images(tmp_path / "k.npz", images)
    back = read_key_images(tmp_path / "k.npz")
    for plane, section in images.sections.items():
        found = back.sections[plane]
        for name in ("grey", "labels", "low"):
            np.testing.assert_array_equal(getattr(found, name), getattr(section, name))
        assert (found.pixel_mm, found.place) == (section.pixel_mm, section.place)
    np.testing.assert_array_equal(back.map_low, images.map_low)
    np.testing.assert_array_equal(back.map_lung, images.map_lung)
    assert (back.map_mm, back.map_start) == (images.map_mm, images.map_start)
    assert back.grid.same_as(images.grid)


def test_equal_images_give_equal_bytes(images: KeyImages, tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        write_key_images(tmp_path / name, images)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def _truncate(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _flip(content: bytes) -> bytes:
    return content[:200] + bytes(255 - byte for byte in content[200:260]) + content[260:]


@pytest.mark.parametrize("damage", [_truncate, _flip, lambda _: b"", lambda _: b"no archive at all"])
def test_a_damaged_file_is_told_not_shown(images: KeyImages, tmp_path: Path, damage) -> None:
    path = tmp_path / "k.npz"
    write_key_images(path, images)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(KeyImagesError):
        read_key_images(path)


@pytest.mark.parametrize(
    "change",
    [
        {"map_low": np.full((2, 2), 9)},
        {"axial_grey": np.zeros((3, 3), np.uint8)},
        {"axial_pixel_mm": np.array([0.0, 1.0])},
        {"grid_affine": np.zeros((4, 4))},
        {"coronal_low": np.zeros((2, 2), np.uint8)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_arrays_that_do_not_belong_together_are_told(images: KeyImages, tmp_path: Path, change) -> None:
    path = tmp_path / "k.npz"
    write_key_images(path, images)
    with np.load(path) as stored:
        arrays = dict(stored)
    np.savez(path, **{**arrays, **change})
    with pytest.raises(KeyImagesError, match="do not belong together"):
        read_key_images(path)


def test_a_file_that_lacks_a_section_is_told(images: KeyImages, tmp_path: Path) -> None:
    path = tmp_path / "k.npz"
    write_key_images(path, images)
    with np.load(path) as stored:
        arrays = {name: array for name, array in stored.items() if name != "sagittal_low"}
    np.savez(path, **arrays)
    with pytest.raises(KeyImagesError):
        read_key_images(path)
