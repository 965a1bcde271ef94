"""Colours and lettering that the pictures share; what is drawn is said by each picture itself."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dras_model.imaging.atlas import LEFT, RIGHT
from dras_model.imaging.lungs import AIRWAY

BACKGROUND, INK, FAINT = "#0e1116", "#e8eaed", "#8b949e"
CONTOURS = {RIGHT: "#4cc2ff", LEFT: "#ffb454", AIRWAY: "#7ee787"}
LOW_ATTENUATION, VALID_PATCH, INVALID_PATCH = "#ff4d6d", "#ffffff", "#b388ff"
WARNING, SEVERE = "#d29922", "#ff7b72"
LAA_HU = -950.0  # what is coloured as low attenuation


def write_text(place: Axes | Figure, x: float, y: float, text: str, **style: Any) -> None:
    """Put a text as it is: tags may hold dollar signs, which are no formula, and control characters."""
    shown = "".join(letter for letter in text if letter.isprintable())
    place.text(x, y, shown, parse_math=False, **style)
