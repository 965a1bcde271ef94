"""What the pictures share: colours, lettering and the part of a scan; what is drawn each says itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dras_model.imaging.atlas import LEFT, ORIENTATION, RIGHT
from dras_model.imaging.box import CORNER, Box
from dras_model.imaging.lungs import AIRWAY
from dras_model.imaging.volume import Grid, LabelMap

Counts: TypeAlias = NDArray[np.int64]

BACKGROUND, INK, FAINT = "#0e1116", "#e8eaed", "#8b949e"
CONTOURS = {RIGHT: "#4cc2ff", LEFT: "#ffb454", AIRWAY: "#7ee787"}
LOW_ATTENUATION, VALID_PATCH, INVALID_PATCH = "#ff4d6d", "#ffffff", "#b388ff"
WARNING, SEVERE = "#d29922", "#ff7b72"
MARGIN_MM = 25.0  # around the lungs
LAA_HU = -950.0  # what is coloured as low attenuation


@dataclass(frozen=True, slots=True, eq=False)
class LungPlanes:
    """How many voxels of each lung lie in every plane of a scan: by label, along (z, y, x)."""

    grid: Grid
    counts: Mapping[int, tuple[Counts, Counts, Counts]]

    @classmethod
    def of(cls, lungs: LabelMap) -> "LungPlanes":
        """Count them, slice by slice; ValueError where the grid is not LAS, on which sides rest."""
        if lungs.grid.orientation != ORIENTATION:
            raise ValueError(f"orient the volume to {ORIENTATION} first, found {lungs.grid.orientation}")
        n_z, n_y, n_x = lungs.grid.shape
        found = {
            label: (np.zeros(n_z, int), np.zeros(n_y, int), np.zeros(n_x, int)) for label in (RIGHT, LEFT)
        }
        for z, plane in enumerate(lungs.labels):
            if not plane.any():
                continue
            for label, along in found.items():
                lung = (plane == label).view(np.uint8)
                in_rows = lung.sum(axis=1, dtype=np.uint16)
                along[0][z] = in_rows.sum()
                np.add(along[1], in_rows, out=along[1])
                np.add(along[2], lung.sum(axis=0, dtype=np.uint16), out=along[2])
        return cls(lungs.grid, found)

    def along(self, axis: int, *labels: int) -> Counts:
        """Return the voxels (n,) of the lungs that `labels` name, of both by default, in every plane of an axis."""
        counted: Counts = np.sum([self.counts[label][axis] for label in labels or (RIGHT, LEFT)], axis=0)
        return counted

    def fullest(self, axis: int, *labels: int) -> int:
        """Return the plane that holds most of them."""
        return int(self.along(axis, *labels).argmax())

    def ends(self) -> tuple[int, int]:
        """Return the lowest and the highest plane (z) that hold lung; IndexError where there is none."""
        planes = np.nonzero(self.along(0))[0]
        return int(planes[0]), int(planes[-1])

    def box(self) -> Box:
        """Return the part (z, y, x) of the scan that is shown: the lungs with a margin."""
        parts = []
        for axis, (size, spacing_mm) in enumerate(zip(self.grid.shape, self.grid.spacing_mm, strict=True)):
            planes, margin = np.nonzero(self.along(axis))[0], round(MARGIN_MM / spacing_mm)
            if planes.size == 0:
                return CORNER
            parts.append(slice(max(int(planes[0]) - margin, 0), min(int(planes[-1]) + margin + 1, size)))
        return parts[0], parts[1], parts[2]


def write_text(place: Axes | Figure, x: float, y: float, text: str, **style: Any) -> None:
    """Put a text as it is: tags may hold dollar signs, which are no formula, and control characters."""
    shown = "".join(letter for letter in text if letter.isprintable())
    place.text(x, y, shown, parse_math=False, **style)
