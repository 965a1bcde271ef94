"""The few shapes that the pictures of the page are made of, as SVG text in millimetres of paper.

One picture serves both drawings: colours are attributes, which the PDF takes, and classes, by which a page in HTML
may recolour them in the dark.
"""

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

FONT = "Roboto, system-ui, sans-serif"
INK, FAINT, RULE = "#1b1f24", "#57606a", "#c3c9d0"
NORMAL, HARMONISED = "#2f7d4f", "#0b62a8"
_CLASSES = {INK: "ink", FAINT: "faint", RULE: "rule", NORMAL: "normal", HARMONISED: "harmonised"}


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture with its size in mm; `alt` says what it shows to who does not see it."""

    name: str
    svg: str
    width_mm: float
    height_mm: float
    alt: str
    caption: str


def svg(width_mm: float, height_mm: float, shapes: Iterable[str]) -> str:
    """Return a whole picture."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {number(width_mm)} {number(height_mm)}"'
        f' font-family="{FONT}">{"".join(shapes)}</svg>'
    )


def number(value: float) -> str:
    """Return a coordinate: hundredths of a millimetre, without needless digits."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _paint(colour: str, kind: str) -> str:
    known = _CLASSES.get(colour)
    return f'{kind}="{colour}"' + (f' class="{kind}-{known}"' if known else "")


def _place(x: float, y: float, width: float, height: float) -> str:
    return f'x="{number(x)}" y="{number(y)}" width="{number(width)}" height="{number(height)}"'


def rectangle(x: float, y: float, width: float, height: float, fill: str) -> str:
    """Return a filled rectangle."""
    return f"<rect {_place(x, y, width, height)} {_paint(fill, 'fill')}/>"


def outline(x: float, y: float, width: float, height: float, colour: str) -> str:
    """Return an empty rectangle with a dashed line."""
    paint = _paint(colour, "stroke")
    return (
        f'<rect {_place(x, y, width, height)} fill="none" {paint} stroke-width="0.25"'
        ' stroke-dasharray="0.8 0.6"/>'
    )


def line(start: tuple[float, float], end: tuple[float, float], colour: str, width: float = 0.2) -> str:
    """Return a straight line."""
    (x1, y1), (x2, y2) = start, end
    return (
        f'<line x1="{number(x1)}" y1="{number(y1)}" x2="{number(x2)}" y2="{number(y2)}"'
        f' {_paint(colour, "stroke")} stroke-width="{number(width)}"/>'
    )


def circle(x: float, y: float, radius: float, fill: str) -> str:
    """Return a filled circle."""
    return f'<circle cx="{number(x)}" cy="{number(y)}" r="{number(radius)}" {_paint(fill, "fill")}/>'


def diamond(x: float, y: float, radius: float, colour: str) -> str:
    """Return an empty diamond."""
    corners = ((x, y - radius), (x + radius, y), (x, y + radius), (x - radius, y))
    points = " ".join(f"{number(a)},{number(b)}" for a, b in corners)
    return f'<polygon points="{points}" fill="none" {_paint(colour, "stroke")} stroke-width="0.35"/>'


def text(
    x: float, y: float, words: str, *, size: float = 2.4, colour: str = INK, anchor: str = "start",
    bold: bool = False,
) -> str:  # fmt: skip
    """Return a line of text with its baseline at y; `anchor` is start, middle or end."""
    weight = ' font-weight="700"' if bold else ""
    return (
        f'<text x="{number(x)}" y="{number(y)}" font-size="{number(size)}" text-anchor="{anchor}"{weight}'
        f" {_paint(colour, 'fill')}>{escape(words)}</text>"
    )


def image(x: float, y: float, width: float, height: float, png: bytes) -> str:
    """Return a picture of pixels, kept within the SVG; its pixels are not smoothed."""
    content = base64.b64encode(png).decode("ascii")
    return (
        f'<image {_place(x, y, width, height)} preserveAspectRatio="none"'
        f' href="data:image/png;base64,{content}"/>'
    )
