import csv
import io

import numpy as np
import pytest

from dras_model.imaging.deformable import Deformation, Scan
from dras_model.imaging.volume import Grid, LabelMap, Volume
from dras_model.outputs.comparing import distances_csv
from dras_model.outputs.pairing import pair_csv
from dras_model.outputs.prm_picture import COLOURS, NAMES, PairImages, draw_prm
from dras_model.results.pair import ResponseClass
from unit.dras_cli.pair_examples import pair_result


def test_a_score_without_a_value_is_an_empty_cell_beside_its_reason() -> None:
    given, missing = csv.DictReader(io.StringIO(pair_csv(pair_result())))
    assert (given["Score"], given["Value"], given["Reason"]) == ("E/I-volume", "0.61", "")
    assert (missing["Score"], missing["Value"], missing["Reason"]) == ("PRM-fSAD", "", "folded")


def test_patches_without_a_distance_have_no_row() -> None:
    rows = list(csv.reader(io.StringIO(distances_csv([None, np.array([0.5, np.nan, 0.25], np.float32)]))))
    assert rows == [["FollowUp", "Patch", "CosineDistance"], ["2", "0", "0.5"], ["2", "2", "0.25"]]


def test_every_class_inside_the_lungs_has_a_colour_of_its_own_and_a_name() -> None:
    inside = [label for label in ResponseClass if label is not ResponseClass.OUTSIDE]
    assert list(COLOURS) == list(NAMES) == inside
    assert len(set(COLOURS.values())) == len(inside)


def test_a_picture_of_other_axes_is_an_error(tmp_path) -> None:
    grid = Grid((4, 4, 4), np.diag([1.0, 1.0, 1.0, 1.0])[[2, 1, 0, 3]])  # LPS
    scan = Scan(
        Volume(np.zeros(grid.shape, np.float32), grid), LabelMap(np.zeros(grid.shape, np.uint8), grid)
    )
    deformation = Deformation(np.zeros((*grid.shape, 3)), grid, pair_result().deformation)
    with pytest.raises(ValueError, match="orient the volume"):
        draw_prm(tmp_path / "x.png", pair_result(), PairImages(scan, scan, scan.lungs.labels, deformation))
