"""The three sections of the page: grey lung window, low attenuation in orange, the lungs' outline in blue.

Orange on grey and blue beside it keep apart for every common colour vision (Okabe and Ito, Color Universal Design
2008). Radiological convention: the patient's right is on the viewer's left. Leaves out which sections are shown
(`outputs.key_images`).
"""

import io
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dras_model.imaging.atlas import LEFT, RIGHT
from dras_model.outputs.key_images import WINDOW_HU, KeyImages, Section
from dras_model.outputs.report import svg
from dras_model.outputs.report.svg import Picture

LOW_COLOUR, OUTLINE_COLOUR = (230, 159, 0), (86, 180, 233)  # orange and sky blue of Okabe and Ito
_LOW, _OUTLINE = 254, 255  # places in the palette; the greys have the 254 below
PIXELS_PER_MM = 1.8  # of the patient: fine enough that pixels are not seen on paper, and small as a file
BAR_MM = 50.0
# Letters left, right, top and bottom as the viewer sees them.
LETTERS: Mapping[str, tuple[str, str, str, str]] = MappingProxyType(
    {"coronal": ("R", "L", "H", "F"), "sagittal": ("A", "P", "H", "F"), "axial": ("R", "L", "A", "P")}
)
_COUNTED_FROM = MappingProxyType({"coronal": "front", "sagittal": "right", "axial": "head"})


def draw_sections(images: KeyImages, *, height_mm: float) -> tuple[Picture, ...]:
    """Draw all sections to one scale, the tallest `height_mm` high on paper."""
    sizes = {plane: _size_mm(section) for plane, section in images.sections.items()}
    scale = height_mm / max(height for _, height in sizes.values())
    return tuple(_draw(plane, images.sections[plane], scale) for plane in ("coronal", "sagittal", "axial"))


def _size_mm(section: Section) -> tuple[float, float]:
    """Width and height in the patient."""
    rows, columns = section.grey.shape
    return columns * section.pixel_mm[1], rows * section.pixel_mm[0]


def _draw(plane: str, section: Section, scale: float) -> Picture:
    width_mm, height_mm = _size_mm(section)
    width, height = width_mm * scale, height_mm * scale
    number, of = section.place
    shapes = [svg.image(0, 0, width, height, _png(section))]
    shapes += _letters(LETTERS[plane], width, height)
    bar = BAR_MM * scale
    shapes += [
        svg.rectangle(width - bar - 1.85, height - 1.95, bar + 0.5, 1.0, "#000000"),
        svg.rectangle(width - bar - 1.6, height - 1.7, bar, 0.5, "#ffffff"),
        _white(width - bar / 2 - 1.6, height - 2.4, f"{BAR_MM / 10:g} cm"),
    ]
    low = 100.0 * float(section.low.sum()) / max(1, int((section.labels > 0).sum()))
    place = f"{number} of {of} from the {_COUNTED_FROM[plane]}"
    if plane == "sagittal":
        place = f"{_side(section)} lung, {place}"
    return Picture(
        name=plane,
        svg=svg.svg(width, height, shapes),
        width_mm=width,
        height_mm=height,
        alt=f"{plane.capitalize()} CT section of the lungs in a lung window, {place}, seen from the"
        f" {'left' if plane == 'sagittal' else 'feet' if plane == 'axial' else 'front'}: about {low:.0f} % of the"
        " lung in it is marked as low attenuation.",
        caption=f"{plane.capitalize()}, {place}",
    )


def _side(section: Section) -> str:
    """Return which lung a sagittal section shows."""
    right, left = (np.count_nonzero(section.labels == label) for label in (RIGHT, LEFT))
    return "right" if right >= left else "left"


def window() -> str:
    """Return what the greys mean."""
    low, high = WINDOW_HU
    return f"lung window {low:.0f} to {high:.0f} HU".replace("-", "−")


def _letters(letters: tuple[str, str, str, str], width: float, height: float) -> list[str]:
    left, right, top, bottom = letters
    middle = height / 2 + 0.9
    return [
        _white(1.8, middle, left, bold=True),
        _white(width - 1.8, middle, right, bold=True),
        _white(width / 2, 2.9, top, bold=True),
        _white(width / 2, height - 0.9, bottom, bold=True),
    ]


def _white(x: float, y: float, words: str, *, bold: bool = False) -> str:
    """Return white letters over a dark rim, as the image below may be bright."""
    shape = svg.text(x, y, words, size=2.5 if bold else 2.0, colour="#ffffff", anchor="middle", bold=bold)
    return shape.replace("<text ", '<text stroke="#000000" stroke-width="0.5" paint-order="stroke" ', 1)


def _png(section: Section) -> bytes:
    """Return the section with its marks as a PNG of a palette, on square pixels."""
    width_mm, height_mm = _size_mm(section)
    size = max(1, round(width_mm * PIXELS_PER_MM)), max(1, round(height_mm * PIXELS_PER_MM))
    grey = np.asarray(Image.fromarray(section.grey).resize(size, Image.Resampling.BICUBIC))
    pixels = (grey.astype(np.uint16) * 253 // 255).astype(np.uint8)
    pixels[_resized(section.low, size) > 127] = _LOW
    for label in np.unique(section.labels[section.labels > 0]):
        pixels[_edge(_resized(section.labels == label, size) > 127)] = _OUTLINE
    picture = Image.fromarray(pixels)
    picture.putpalette([value for level in range(254) for value in 3 * (level * 255 // 253,)]
                       + [*LOW_COLOUR, *OUTLINE_COLOUR])  # fmt: skip
    content = io.BytesIO()
    picture.save(content, "PNG", compress_level=6)
    return content.getvalue()


def _resized(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.uint8]:
    scaled = Image.fromarray(mask.astype(np.uint8) * 255).resize(size, Image.Resampling.BILINEAR)
    return np.asarray(scaled)


def _edge(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the two outermost layers of a mask; the picture's own rim is no border."""
    inner = mask
    for _ in range(2):
        padded = np.pad(inner, 1, mode="edge")
        inner = inner & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    edge: NDArray[np.bool_] = mask & ~inner
    return edge
