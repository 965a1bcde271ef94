from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dras_model.imaging.atlas import LEFT, RIGHT
from dras_model.imaging.patches import Patches
from dras_model.imaging.volume import Grid, LabelMap, Volume
from dras_model.outputs.qc_picture import draw_qc, qc_figure
from dras_model.results.codes import Code
from dras_model.results.study import StudyResult, StudyWarning

# World LPS mm: x to the left, y to the back, z to the head.
RIGHT_LUNG, LEFT_LUNG = np.array([-60.0, 0.0, 0.0]), np.array([60.0, 0.0, 0.0])
FRONT, BACK = np.array([0.0, -25.0, 0.0]), np.array([0.0, 25.0, 0.0])
UP, DOWN = np.array([0.0, 0.0, 25.0]), np.array([0.0, 0.0, -25.0])
# Row and column of each section in the picture.
CORONAL, SAGITTAL_RIGHT, SAGITTAL_LEFT, AXIAL_MIDDLE = (0, 0), (0, 1), (0, 2), (1, 1)
NO_PATCHES = Patches(
    hu=np.zeros((0, 32, 32, 32), np.int16), inside=np.zeros(0, np.float32),
    lung_fraction=np.zeros(0, np.float32), corner_mm=np.zeros((0, 3)),
)  # fmt: skip

Draw = Callable[[np.ndarray], np.ndarray]


def _chest(marker_mm: np.ndarray | None = None) -> tuple[Volume, LabelMap]:
    """Two ellipsoid lungs as an axial scan, with a bright ball where a marker is planted; turned to LAS."""
    shape = (70, 60, 130)
    affine = np.array([[0, 0, 2.0, -129], [0, 2.0, 0, -59], [2.0, 0, 0, -69], [0, 0, 0, 1]])
    grid = Grid(shape, affine)
    world = grid.to_world(np.stack(np.indices(shape), axis=-1))
    labels = np.zeros(shape, np.uint8)
    for side, centre in ((RIGHT, RIGHT_LUNG), (LEFT, LEFT_LUNG)):
        labels[(((world - centre) / (40.0, 50.0, 60.0)) ** 2).sum(axis=-1) < 1.0] = side
    hu = np.where(labels > 0, -850.0, 40.0).astype(np.float32)
    if marker_mm is not None:
        hu[((world - marker_mm) ** 2).sum(axis=-1) < 9.0**2] = 2000.0
    return Volume(hu, grid).oriented("LAS"), LabelMap(labels, grid).oriented("LAS")


@pytest.fixture(scope="module")
def draw(result: StudyResult, tmp_path_factory: pytest.TempPathFactory) -> Draw:
    """The picture of a chest with a marker, as grey values (rows, columns); each is drawn once."""
    path = tmp_path_factory.mktemp("qc") / "qc.png"
    drawn: dict[bytes, np.ndarray] = {}

    def picture(marker_mm: np.ndarray | None) -> np.ndarray:
        key = b"" if marker_mm is None else marker_mm.tobytes()
        if key not in drawn:
            volume, lungs = _chest(marker_mm)
            draw_qc(path, result=result, volume=volume, lungs=lungs, patches=NO_PATCHES)
            with Image.open(path) as image:
                drawn[key] = np.asarray(image.convert("L")).astype(int)
        return drawn[key]

    return picture


def _found(draw: Draw, marker_mm: np.ndarray, section: tuple[int, int]) -> tuple[float, float]:
    """Row and column of the marker in one section of the picture, as the middle of what it changed."""
    changed = np.abs(draw(marker_mm) - draw(None)) > 60
    height, width = changed.shape
    row, column = section
    left, right = (round(width * 0.738 * n / 3) for n in (column, column + 1))  # the last quarter is text
    part = changed[row * height // 2 : (row + 1) * height // 2, left:right]
    assert part.any(), "the marker is not seen"
    rows, columns = np.nonzero(part)
    return float(rows.mean()), float(columns.mean())


@pytest.mark.parametrize("section", [CORONAL, AXIAL_MIDDLE])
def test_the_patients_right_is_on_the_viewers_left(draw: Draw, section: tuple[int, int]) -> None:
    assert _found(draw, RIGHT_LUNG, section)[1] < _found(draw, LEFT_LUNG, section)[1] - 50


def test_the_front_is_at_the_top_of_an_axial_section(draw: Draw) -> None:
    front, back = (_found(draw, RIGHT_LUNG + place, AXIAL_MIDDLE) for place in (FRONT, BACK))
    assert front[0] < back[0] - 50
    assert front[1] == pytest.approx(back[1], abs=5)


@pytest.mark.parametrize(("lung", "section"), [(RIGHT_LUNG, SAGITTAL_RIGHT), (LEFT_LUNG, SAGITTAL_LEFT)])
def test_the_front_is_on_the_viewers_left_of_a_sagittal_section(
    draw: Draw, lung: np.ndarray, section: tuple[int, int]
) -> None:
    front, back = (_found(draw, lung + place, section) for place in (FRONT, BACK))
    assert front[1] < back[1] - 50
    assert front[0] == pytest.approx(back[0], abs=5)


@pytest.mark.parametrize("section", [CORONAL, SAGITTAL_RIGHT])
def test_the_head_is_at_the_top(draw: Draw, section: tuple[int, int]) -> None:
    assert _found(draw, RIGHT_LUNG + UP, section)[0] < _found(draw, RIGHT_LUNG + DOWN, section)[0] - 50


def test_the_letters_name_the_sides_that_the_sections_show(result: StudyResult) -> None:
    volume, lungs = _chest()
    figure = qc_figure(result=result, volume=volume, lungs=lungs, patches=NO_PATCHES)
    for axes in figure.axes[:6]:
        left, right, top = (text.get_text() for text in axes.texts)
        expected = ("A", "P", "H") if "sagittal" in axes.get_title("left") else ("R", "L", "H")
        if "axial" in axes.get_title("left"):
            expected = ("R", "L", "A")
        assert (left, right, top) == expected


@pytest.mark.parametrize("orientation", ["LPS", "RAS"])
def test_another_orientation_is_not_drawn_with_the_wrong_letters(
    result: StudyResult, orientation: str, tmp_path: Path
) -> None:
    volume, lungs = (part.oriented(orientation) for part in _chest())
    with pytest.raises(ValueError, match="orient the volume to LAS"):
        draw_qc(tmp_path / "qc.png", result=result, volume=volume, lungs=lungs, patches=NO_PATCHES)


@pytest.mark.parametrize("text", ["$^$", "$\\frac{$", "B31f\x00\x1b[31m\n", "a\ud800b", "$B$"])
def test_a_tag_that_looks_like_a_formula_or_holds_control_characters_is_drawn(
    result: StudyResult, text: str, tmp_path: Path
) -> None:
    volume, lungs = _chest()
    warned = StudyWarning.of(Code.UNKNOWN_KERNEL, kernel="K").model_copy(update={"message": f"kernel {text}"})
    strange = result.model_copy(
        update={
            "acquisition": result.acquisition.model_copy(update={"kernel": text, "manufacturer": text}),
            "warnings": (warned,),
        }
    )
    draw_qc(tmp_path / "qc.png", result=strange, volume=volume, lungs=lungs, patches=NO_PATCHES)
    assert (tmp_path / "qc.png").read_bytes().startswith(b"\x89PNG")


def test_a_dollar_sign_of_a_tag_is_shown_as_it_is(result: StudyResult) -> None:
    volume, lungs = _chest()
    acquisition = result.acquisition.model_copy(update={"kernel": "$B$\x07 70"})
    figure = qc_figure(
        result=result.model_copy(update={"acquisition": acquisition}), volume=volume, lungs=lungs,
        patches=NO_PATCHES,
    )  # fmt: skip
    texts = [text.get_text() for text in figure.texts]
    assert any("kernel $B$ 70" in text for text in texts)
    everything = [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]
    assert not any(text.get_parse_math() for text in everything)


def test_the_harmonised_numbers_stand_beside_the_raw_ones_and_nothing_where_there_are_none(
    result: StudyResult,
) -> None:
    volume, lungs = _chest()
    whole = result.score("LAA-950insp")
    harmonised = whole.model_copy(update={"image": "harmonised", "value": 3.21})
    both = result.model_copy(update={"scores": (*result.scores, harmonised)})
    told = []
    for shown in (result, both):
        figure = qc_figure(result=shown, volume=volume, lungs=lungs, patches=NO_PATCHES)
        told.append([text.get_text() for text in figure.axes[-1].texts if "harmonised" in text.get_text()])
    assert told == [[], ["harmonised over kernel and noise: LAA-950 3.21 %"]]
