"""From anatomy to Hounsfield units: which tissue a voxel is, and how dense.

Later tissues are painted over earlier ones; an edge voxel is mixed by how far the edge cuts into it. Only the
emphysema has hard edges, so that the asked fraction of voxels is met exactly.
"""

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.atlas import LEFT, RIGHT
from dras_model.imaging.phantom.drawing import Drawing, Planes
from dras_model.imaging.phantom.emphysema import hole_hu, levels_of
from dras_model.imaging.phantom.findings import BULLA, DENSE, FLUID

AIR, FAT, SKIN, SOFT, LIVER, BLOOD, WALL = -1000.0, -100.0, 10.0, 48.0, 62.0, 42.0, 30.0
CORTEX, MARROW, CARTILAGE = 600.0, 170.0, 95.0
CORTEX_MM, SKIN_MM, AIRWAY_WALL_MM = 1.6, 2.0, 1.5
LUNG_TISSUE_HU = 119.0  # above air, without vessels, at full inspiration
TEXTURE_HU, GRAVITY_HU_PER_MM = 9.0, 0.25
NORMAL_FLOOR_HU = -930.0  # nothing but emphysema lies lower
CLOTH, CLOTH_GAP_MM = -850.0, 9.0
EFFUSION, CONSOLIDATED = 12.0, 42.0  # fluid, and lung that is full of it
TABLE_FOAM, TABLE_SHELL, TABLE_TOP_MM, TABLE_MM = -860.0, -250.0, 158.0, 30.0
TABLE_RADIUS_MM = 800.0


class Painter:
    """Paints the slices of one drawing; any slice, in any order, by any thread."""

    def __init__(self, drawing: Drawing) -> None:
        self._drawing = drawing
        _, y, x = drawing.axes_mm
        self._gravity_hu = (GRAVITY_HU_PER_MM * y[:, None]).astype(np.float32)
        self._tissue = np.float32(1.0 / drawing.inflation)  # density against full inspiration
        self._below_table_mm = y[:, None] - (TABLE_TOP_MM - x[None, :] ** 2 / (2 * TABLE_RADIUS_MM))

    def labels(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return the lungs and the airway (y, x) of one slice."""
        p = self._drawing.planes(index, ("right", "left", "airway"))
        airway = p["airway"] > -AIRWAY_WALL_MM
        lungs = np.zeros(airway.shape, dtype=np.uint8)
        lungs[(p["right"] > 0) & ~airway] = RIGHT
        lungs[(p["left"] > 0) & (p["left"] > p["right"]) & ~airway] = LEFT
        return lungs, airway.astype(np.uint8)

    def eligible(self, index: int) -> tuple[NDArray[np.bool_], NDArray[np.uint16]]:
        """Return which voxels (y, x) of a slice may be lost, and the level at which each is."""
        findings = (name for name in (DENSE, BULLA) if name in self._drawing.names)
        p = self._drawing.planes(index, ("right", "left", "airway", "pattern", *findings))
        return self._may_be_lost(index, p), levels_of(p["pattern"])

    def slice(
        self, index: int, *, place: NDArray[np.bool_], level: int
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the noise-free HU of one slice and its emphysema, from `level` of the pattern on."""
        n_layers = self._drawing.n_layers
        layers = [self._layer(index, layer, place=place, level=level) for layer in range(n_layers)]
        mean = sum(hu for hu, _ in layers) / np.float32(n_layers)
        return np.asarray(mean, dtype=np.float32), layers[n_layers // 2][1]

    def _layer(
        self, index: int, layer: int, *, place: NDArray[np.bool_], level: int
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        p = self._drawing.planes(index, layer=layer)
        hu = self._around()
        self._paint_body(hu, p)
        if FLUID in p:
            _paint(hu, EFFUSION, self._cover(p[FLUID]))
        self._paint_lungs(hu, p, index)
        self._paint_findings(hu, p, index)
        levels = levels_of(p["pattern"])
        lost = self._may_be_lost(index, p) & place & (levels >= level)
        hu[lost] = hole_hu(levels[lost], level)
        return hu, lost

    def _around(self) -> NDArray[np.float32]:
        """Air and the table."""
        below = self._below_table_mm
        hu = np.full(below.shape, AIR, dtype=np.float32)
        hu[(below > 0) & (below < TABLE_MM)] = TABLE_FOAM
        hu[np.minimum(np.abs(below), np.abs(below - TABLE_MM)) < 1.2] = TABLE_SHELL
        return hu

    def _paint_body(self, hu: NDArray[np.float32], p: Planes) -> None:
        """Clothes, fat, muscle, organs, cartilage, bone, and the gas in the stomach."""
        hu[np.abs(p["skin"] + CLOTH_GAP_MM) < 1.0] = CLOTH
        soft = np.full_like(hu, FAT)
        _paint(soft, SOFT + (LIVER - SOFT) * self._cover(p["liver"]), self._cover(p["lean"]))
        _paint(soft, SKIN, self._cover(SKIN_MM - p["skin"]))
        _paint(hu, soft, self._cover(p["skin"]))
        _paint(hu, CARTILAGE, self._cover(p["cartilage"]))
        cortex = np.clip(1.5 - p["bone"] / CORTEX_MM, 0.0, 1.0)
        _paint(hu, MARROW + (CORTEX - MARROW) * cortex, self._cover(p["bone"]))
        _paint(hu, AIR, self._cover(p["gas"]))

    def _paint_lungs(self, hu: NDArray[np.float32], p: Planes, index: int) -> None:
        """Parenchyma, denser behind; vessels; airways, whose lumen outside the lungs is air."""
        lung = np.maximum(p["right"], p["left"])
        tissue = self._tissue * (LUNG_TISSUE_HU + self._gravity_hu + TEXTURE_HU * p["texture"])
        _paint(hu, AIR + tissue, self._cover(lung))
        vessel = self._drawing.vessels[index].astype(np.float32) / 255.0
        _paint(hu, BLOOD, vessel * (lung > -8.0))  # the mediastinum has its own, near the hila they meet
        _paint(hu, WALL, self._cover(p["airway"] + AIRWAY_WALL_MM))
        _paint(hu, AIR, self._cover(p["airway"]))
        inside = (lung > 0) & (p["airway"] <= -AIRWAY_WALL_MM)
        np.maximum(hu, NORMAL_FLOOR_HU, out=hu, where=inside)

    def _paint_findings(self, hu: NDArray[np.float32], p: Planes, index: int) -> None:
        """Consolidation, in which the bronchi stay open, and bullae."""
        lung = np.maximum(p["right"], p["left"])
        if DENSE in p:
            where = self._cover(np.minimum(p[DENSE], lung)) * (p["airway"] <= -AIRWAY_WALL_MM)
            _paint(hu, CONSOLIDATED + TEXTURE_HU * p["texture"], where)
            if self._drawing.bronchi is not None:
                _paint(hu, AIR, where * self._drawing.bronchi[index].astype(np.float32) / 255.0)
        if BULLA in p:
            _paint(hu, AIR, self._cover(np.minimum(p[BULLA], lung)))

    def _may_be_lost(self, index: int, p: Planes) -> NDArray[np.bool_]:
        """Whether a voxel is nothing but parenchyma."""
        pixel_mm = self._drawing.pixel_mm
        clear = np.maximum(p["right"], p["left"]) > pixel_mm / 2
        clear = clear & (p["airway"] < -AIRWAY_WALL_MM - pixel_mm)
        for finding in (DENSE, BULLA):
            if finding in p:
                clear = clear & (p[finding] < 0)
        return np.asarray(clear & (self._drawing.vessels[index] == 0))

    def _cover(self, field: NDArray[np.float32]) -> NDArray[np.float32]:
        """How much of a voxel lies inside, from the distance of its centre to the surface."""
        return np.asarray(np.clip(0.5 + field / np.float32(self._drawing.pixel_mm), 0.0, 1.0))


def _paint(hu: NDArray[np.float32], value: NDArray[np.float32] | float, cover: NDArray[np.float32]) -> None:
    hu += (value - hu) * cover
