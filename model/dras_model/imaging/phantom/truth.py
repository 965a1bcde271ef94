"""What is known of a phantom, voxel by voxel, and the figures that plain counting gives.

Figures are taken from the whole lung: vessels count, trachea and main bronchi do not. They are counted twice: in
the noise-free voxels, which is what was planted, and in the scan, which is what a perfect mask would find in it.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.atlas import LEFT, RIGHT
from dras_model.imaging.phantom.scan import LOWEST_HU
from dras_model.imaging.phantom.spec import PLACES, PhantomSpec
from dras_model.imaging.volume import LabelMap
from dras_model.results.study import Region


@dataclass(frozen=True, slots=True)
class RegionTruth:
    """The counted figures of one region; `perc15_hu` is the lowest HU with 15 % of the voxels at or below."""

    region: Region
    n_voxels: int
    volume_ml: float
    mean_hu: float
    laa950_percent: float
    laa910_percent: float
    laa856_percent: float
    perc15_hu: float
    emphysema_percent: float


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """`lungs` holds RIGHT and LEFT; `hu` (z, y, x) int16 is the scan without noise and kernel.

    `airway` is 1 in the lumen and the wall of trachea, main and lobar bronchi. `vessels`, with the walls of
    segmental airways, and `emphysema` (z, y, x) lie within the lungs.
    """

    spec: PhantomSpec
    lungs: LabelMap
    airway: LabelMap
    vessels: NDArray[np.bool_]
    emphysema: NDArray[np.bool_]
    hu: NDArray[np.int16]

    def measure(
        self, region: Region | str = Region.WHOLE, *, scanned: NDArray[np.float32] | None = None
    ) -> RegionTruth:
        """Count one region, in the noise-free voxels or in `scanned`, whole HU (z, y, x).

        Thirds are of equal volume within each lung, by whole slices.
        """
        hu = self.hu if scanned is None else np.rint(scanned).astype(np.int16)
        region = Region(region)
        mask = region_mask(self.lungs.labels, region)
        n = int(np.count_nonzero(mask))
        if n == 0:
            raise ValueError(f"the phantom shows nothing of {region}")
        counts = np.bincount(
            np.maximum(hu[mask], LOWEST_HU) - LOWEST_HU
        )  # voxels of each HU from the lowest on
        up_to = np.cumsum(counts)
        laa = {hu: 100.0 * float(up_to[min(hu - LOWEST_HU, len(up_to) - 1)]) / n for hu in (-950, -910, -856)}
        return RegionTruth(
            region=region,
            n_voxels=n,
            volume_ml=n * self.lungs.grid.voxel_ml,
            mean_hu=float(counts @ np.arange(len(counts))) / n + LOWEST_HU,
            laa950_percent=laa[-950],
            laa910_percent=laa[-910],
            laa856_percent=laa[-856],
            perc15_hu=float(np.argmax(up_to >= 0.15 * n) + LOWEST_HU),
            emphysema_percent=100.0 * float(np.count_nonzero(self.emphysema & mask)) / n,
        )

    def write_json(self, path: Path, *, scanned: NDArray[np.float32]) -> None:
        """Write the spec and, for every region that is shown, the figures of the scan and without noise."""
        shown = [r for r in PLACES if region_mask(self.lungs.labels, r).any()]
        content = {
            "spec": asdict(self.spec),
            "scanned": [asdict(self.measure(r, scanned=scanned)) for r in shown],
            "noise_free": [asdict(self.measure(r)) for r in shown],
        }
        path.write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def region_mask(labels: NDArray[np.uint8], region: Region) -> NDArray[np.bool_]:
    """Return where one of PLACES is in lung labels (z, y, x) whose z grows upwards; ValueError for another."""
    if region not in PLACES:
        raise ValueError(f"the truth of {region} is not kept")
    mask = np.zeros(labels.shape, dtype=np.bool_)
    for side, label in (("right", RIGHT), ("left", LEFT)):
        if region.value.startswith("left" if side == "right" else "right"):
            continue
        low, high = third_bounds((labels == label).sum(axis=(1, 2)), region)
        mask[low:high] |= labels[low:high] == label
    return mask


def third_bounds(area: NDArray[np.integer], region: Region) -> tuple[int, int]:
    """Return the slices [low, high) of a region's third, from the lung's area per slice upwards."""
    thirds = np.searchsorted(np.cumsum(area), np.array([1, 2]) / 3.0 * area.sum()) + 1
    bounds = {"basal": (0, thirds[0]), "middle": (thirds[0], thirds[1]), "apical": (thirds[1], len(area))}
    low, high = bounds.get(region.value.split("_")[-1], (0, len(area)))
    return int(low), int(high)
