"""What both files are, whatever they say: valid, accessible, self-contained, with their fonts, and looked at."""

import io
import itertools
import re
from importlib.resources import files

import numpy as np
import pypdf
import pypdfium2
import pytest
from fontTools.ttLib import TTFont

from dras_model.outputs.report.page import DRAWABLE, drawable
from dras_model.outputs.stored import StoredResult
from unit.dras_model.outputs.report.printing import Printed, printed

PACKAGE = files("dras_model.outputs.report")
ORANGE, BLUE = np.array([230, 159, 0]), np.array([86, 180, 233])
PIXELS_PER_MM = 6
# Foreground and background of the style sheet that letters are set in.
PAIRS = [
    ("ink", "paper"), ("faint", "paper"), ("faint", "soft"), ("ink", "soft"), ("severe", "severe-soft"),
    ("warn", "warn-soft"), ("ink", "severe-soft"), ("ink", "warn-soft"), ("band-ink", "band"),
    ("severe", "soft"), ("warn", "soft"), ("normal", "paper"),
]  # fmt: skip


@pytest.fixture
def made(ready: StoredResult) -> Printed:
    return printed(ready)


def _picture(made: Printed) -> np.ndarray:
    """The page as red, green and blue (rows, columns, 3), PIXELS_PER_MM."""
    document = pypdfium2.PdfDocument(made.pdf)
    try:
        bitmap = document[0].render(scale=PIXELS_PER_MM * 25.4 / 72)
        return np.asarray(bitmap.to_pil().convert("RGB")).astype(int)
    finally:
        document.close()


def _places(picture: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Rows and columns of the pixels of a colour, between the headline numbers and the table."""
    return np.argwhere(np.abs(picture - colour).max(axis=2) < 25)


def test_emphysema_of_the_right_lung_is_on_the_left_of_coronal_and_axial_and_in_front_of_sagittal(
    made: Printed,
) -> None:
    # The spot was planted in the right lung, to the front and the head.
    picture = _picture(made)
    blue, orange = _places(picture, BLUE), _places(picture, ORANGE)
    columns = np.unique(blue[:, 1])
    panels = np.split(columns, np.nonzero(np.diff(columns) > 12)[0] + 1)
    # Coronal and axial show two lungs, whose outlines lie apart; sagittal shows one.
    assert len(panels) == 5
    right_coronal, left_coronal, sagittal, right_axial, left_axial = panels

    def inside(panel: np.ndarray) -> np.ndarray:
        return orange[(orange[:, 1] >= panel[0]) & (orange[:, 1] <= panel[-1])]

    assert inside(right_coronal).size
    assert inside(right_axial).size
    assert not inside(left_coronal).size
    assert not inside(left_axial).size
    assert inside(sagittal)[:, 1].mean() < sagittal.mean() - 5  # the front is on the left
    assert inside(sagittal)[:, 0].mean() < blue[np.isin(blue[:, 1], sagittal), 0].mean() - 5  # the head is up


@pytest.mark.parametrize(("plane", "letters"), [("coronal", "RLHF"), ("sagittal", "APHF"), ("axial", "RLAP")])
def test_the_letters_stand_at_the_sides_they_name(made: Printed, plane: str, letters: str) -> None:
    figure = re.search(rf'aria-label="{plane.capitalize()} CT.*?</svg>', made.html, re.DOTALL)
    assert figure is not None
    width, height = map(float, re.search(r'viewBox="0 0 (\S+) (\S+)"', figure[0]).groups())
    found = {
        letter: (float(x) / width, float(y) / height)
        for x, y, letter in re.findall(r'<text[^>]* x="(\S+)" y="(\S+)"[^>]*>([RLHFAP])</text>', figure[0])
    }
    left, right, top, bottom = (found[letter] for letter in letters)
    assert left[0] < 0.1 < 0.9 < right[0]
    assert top[1] < 0.15 < 0.85 < bottom[1]


def test_the_bar_is_five_centimetres_at_the_scale_of_the_section(made: Printed, ready: StoredResult) -> None:
    figure = re.search(r'aria-label="Axial CT.*?</svg>', made.html, re.DOTALL)
    assert figure is not None
    width = float(re.search(r'viewBox="0 0 (\S+) ', figure[0]).group(1))
    bar = float(re.search(r'<rect [^>]*width="(\S+)"[^>]*fill="#ffffff"', figure[0]).group(1))
    with np.load(ready.path("key_images.npz")) as stored:
        patient_mm = stored["axial_grey"].shape[1] * float(stored["axial_pixel_mm"][1])
    assert bar / width == pytest.approx(50.0 / patient_mm, rel=2e-3)


def test_the_pdf_is_tagged_titled_in_a_language_and_holds_its_fonts(made: Printed) -> None:
    reader = pypdf.PdfReader(io.BytesIO(made.pdf))
    root = reader.trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"]
    assert root["/Lang"] == "en"
    assert reader.metadata is not None
    assert reader.metadata.title == "Lung density report"
    assert reader.metadata.creation_date is None  # or the bytes would change by the day
    assert b"pdfuaid" in root["/Metadata"].get_data()
    fonts = reader.pages[0]["/Resources"]["/Font"]
    for font in fonts.values():
        descriptor = font.get_object()["/DescendantFonts"][0]["/FontDescriptor"]
        assert descriptor.keys() & {"/FontFile2", "/FontFile3"}


def test_every_picture_of_the_pdf_says_what_it_shows(made: Printed) -> None:
    told = []

    def walk(node: object) -> None:
        node = node.get_object() if hasattr(node, "get_object") else node
        if isinstance(node, list):
            for each in node:
                walk(each)
        elif isinstance(node, dict):
            if node.get("/S") == "/Figure":
                told.append(str(node.get("/Alt", "")))
            walk(node.get("/K", []))

    walk(pypdf.PdfReader(io.BytesIO(made.pdf)).trailer["/Root"]["/StructTreeRoot"])
    assert len(told) == 6  # three sections, map, chart, patches
    assert all(len(words) > 20 for words in told)


def test_the_page_is_well_formed_and_every_picture_and_head_has_its_role(made: Printed) -> None:
    elements = made.page.elements
    assert made.html.startswith("<!DOCTYPE html>")
    assert ("html", {"lang": "en"}) in elements
    pictures = [attributes for tag, attributes in elements if tag == "svg"]
    assert len(pictures) == 6
    assert all(each["role"] == "img" and len(each["aria-label"] or "") > 20 for each in pictures)
    heads = [attributes.get("scope") for tag, attributes in elements if tag == "th"]
    assert set(heads) == {"col", "row"}
    assert [tag for tag, _ in elements if tag in {"h1", "h2"}] == ["h1", "h2", "h2", "h2"]


def test_the_page_runs_nothing_and_asks_no_network(made: Printed) -> None:
    elements = made.page.elements
    assert not {tag for tag, _ in elements} & {"script", "link", "iframe", "img", "object", "embed", "form"}
    asked = [
        value
        for _, attributes in elements
        for name, value in attributes.items()
        if name in {"href", "src", "srcset", "action", "data"} or name.startswith("on")
    ]
    assert asked
    assert all((value or "").startswith("data:image/png;base64,") for value in asked)
    assert "url(" not in made.html
    assert "@import" not in made.html


def _luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.2."""
    channels = np.array([int(colour[n : n + 2], 16) for n in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("front", "back"), PAIRS)
def test_letters_have_the_contrast_of_wcag_aa(scheme: int, front: str, back: str) -> None:
    style = (PACKAGE / "report.css").read_text("utf-8")
    colours = dict(
        re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", style.split(":root {")[1 + scheme].split("}")[0])
    )
    light, dark = sorted((_luminance(colours[front]), _luminance(colours[back])), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_paper_is_printed_in_the_colours_of_light(made: Printed) -> None:
    light, dark, paper = (part.split("}")[0] for part in made.html.split(":root {")[1:])
    read = [dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", part)) for part in (light, dark, paper)]
    assert read[2] == read[0] != read[1]


@pytest.mark.parametrize("weight", ["Regular", "Bold"])
def test_the_fonts_hold_every_letter_that_the_page_may_show(weight: str) -> None:
    font = TTFont(io.BytesIO((PACKAGE / "fonts" / f"Roboto-{weight}.ttf").read_bytes()))
    assert {ord(letter) for letter in DRAWABLE} <= set(font.getBestCmap())
    assert set("≤−×·–—…²µ°±") <= DRAWABLE


def test_letters_that_no_font_of_the_page_holds_are_replaced_not_dropped() -> None:
    assert drawable("肺 B31f\x00\u202e\nµ") == "? B31f?? µ"
    letters = "".join(map(chr, itertools.chain(range(0x20, 0x3000), range(0x1F600, 0x1F610))))
    assert set(drawable(letters)) <= DRAWABLE
