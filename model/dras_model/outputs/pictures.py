"""What the pictures share: colours, lettering and the part of a scan; what is drawn each says itself."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dras_model.imaging.atlas import LEFT, ORIENTATION, RIGHT
from dras_model.imaging.box import CORNER, Box, bounding_box
from dras_model.imaging.lungs import AIRWAY
from dras_model.imaging.volume import LabelMap

BACKGROUND, INK, FAINT = "#0e1116", "#e8eaed", "#8b949e"
CONTOURS = {RIGHT: "#4cc2ff", LEFT: "#ffb454", AIRWAY: "#7ee787"}
LOW_ATTENUATION, VALID_PATCH, INVALID_PATCH = "#ff4d6d", "#ffffff", "#b388ff"
WARNING, SEVERE = "#d29922", "#ff7b72"
MARGIN_MM = 25.0  # around the lungs
LAA_HU = -950.0  # what is coloured as low attenuation


def shown_part(lungs: LabelMap) -> Box:
    """Box (z, y, x) of the lungs with a margin; ValueError where the grid is not LAS, on which sides rest."""
    if lungs.grid.orientation != ORIENTATION:
        raise ValueError(f"orient the volume to {ORIENTATION} first, found {lungs.grid.orientation}")
    z, y, x = (round(MARGIN_MM / size_mm) for size_mm in lungs.grid.spacing_mm)
    return bounding_box(np.isin(lungs.labels, (RIGHT, LEFT)), (z, y, x)) or CORNER


def write_text(place: Axes | Figure, x: float, y: float, text: str, **style: Any) -> None:
    """Put a text as it is: tags may hold dollar signs, which are no formula, and control characters."""
    shown = "".join(letter for letter in text if letter.isprintable())
    place.text(x, y, shown, parse_math=False, **style)
