import re
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from dras_model.outputs.features import Features
from dras_model.outputs.key_images import KeyImages
from dras_model.outputs.report.maps import (
    INVALID,
    LEAST_DEPTH_MM,
    PLAIN,
    draw_laa_map,
    draw_patches,
    embedding_colours,
    shares,
)
from unit.dras_model.outputs.invented import features
from unit.dras_model.outputs.test_key_images import CENTRES, chest, taken


@pytest.fixture(scope="module")
def images() -> KeyImages:
    return taken()


def test_a_cell_holds_the_share_of_its_own_lung(images: KeyImages) -> None:
    volume, lungs = chest()
    dz, dy, dx = lungs.grid.spacing_mm
    first_z, first_x = images.map_start
    rows, columns = images.map_lung.shape
    steps = round(images.map_mm[0] / dz), round(images.map_mm[1] / dx)
    found = shares(images)
    for row, column in np.ndindex(rows, columns):
        z = first_z + (rows - 1 - row) * steps[0]
        x = first_x + column * steps[1]
        part = np.s_[z : z + steps[0], :, x : x + steps[1]]
        lung = lungs.labels[part] > 0
        low = lung & (volume.hu[part] <= -950)
        depth_mm = lung.sum() * dz * dy * dx / (images.map_mm[0] * images.map_mm[1])
        if depth_mm < LEAST_DEPTH_MM:
            assert np.isnan(found[row, column])
        else:
            assert found[row, column] == pytest.approx(100.0 * low.sum() / lung.sum())


def test_the_map_tells_its_highest_share_and_its_classes(images: KeyImages) -> None:
    picture = draw_laa_map(images, height_mm=50)
    assert f"at most {np.nanmax(shares(images)):.0f} %" in picture.alt
    assert re.findall(r">(\d+)</text>", picture.svg) == ["1", "5", "10", "25", "50"]


def _placed() -> Features:
    """Patches whose cubes have the middles of the right lung, the left lung and a place far away."""
    some = features()
    middles = [CENTRES[1], CENTRES[2], np.array([900.0, 0.0, 0.0])] + [CENTRES[1]] * (len(some.valid) - 3)
    corners = np.array(middles) - 16.0 * np.array([1.0, -1.0, 1.0])
    return replace(some, corner_mm=corners, valid=np.array([True, False] + [True] * (len(some.valid) - 2)))


def test_patches_lie_on_the_side_of_their_lung_and_those_outside_are_left_out(images: KeyImages) -> None:
    placed = _placed()
    picture = draw_patches(images, placed, training="untrained", height_mm=24)
    dots = re.findall(r'<circle cx="(\S+)" cy="(\S+)" r="\S+" fill="(\S+)"/>', picture.svg)
    right = {float(x) for x, _, colour in dots if colour == PLAIN}
    left = {float(x) for x, _, colour in dots if colour == INVALID}
    assert len(dots) == len(placed.valid) - 1
    assert len(right) == len(left) == 1
    middle = picture.width_mm / 2
    assert right.pop() < middle - 2 < middle + 2 < left.pop()
    assert [float(y) for _, y, _ in dots] == pytest.approx([12.0] * len(dots), abs=1.0)


@pytest.mark.parametrize(
    ("training", "shown"),
    [
        ("untrained", False),
        ("trained on phantoms, 3 epochs", False),
        ("trained on COPDGene, 3 epochs", True),
        ("imported from a DrasCLR checkpoint, epoch 19", True),
    ],
)
def test_embeddings_are_shown_only_of_weights_that_are_trained_on_people(
    images: KeyImages, training: str, shown: bool
) -> None:
    picture = draw_patches(images, _placed(), training=training, height_mm=24)
    assert ("not coloured by embedding" in picture.caption) is not shown
    assert (len(set(re.findall(r'fill="(#\w{6})"/>', picture.svg)) - {PLAIN, INVALID}) > 1) is shown


def test_equal_embeddings_have_equal_colours_and_far_ones_other_colours() -> None:
    some = features()
    near, far = np.zeros(some.embeddings.shape[1]), np.full(some.embeddings.shape[1], 9.0)
    rows = np.array([near, near, near, far, far, near, near + 0.1], np.float32)
    colours = embedding_colours(replace(some, embeddings=rows))
    assert colours[0] == colours[1]
    assert colours[3] == colours[4]
    apart = [
        sum(abs(int(a[n : n + 2], 16) - int(b[n : n + 2], 16)) for n in (1, 3, 5))
        for a, b in combinations((colours[0], colours[3]), 2)
    ]
    assert apart[0] > 100
