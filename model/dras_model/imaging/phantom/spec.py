"""What a phantom is asked to be: person, breath, disease, scanner. Every field has a plain default."""

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from dras_model.imaging.anatomy.subject import Build
from dras_model.imaging.phantom.findings import Findings
from dras_model.imaging.volume import Grid
from dras_model.results.study import Region

# Where emphysema is put and truth is counted: lungs and thirds.
PLACES = tuple(
    region for region in Region
    if region in {Region.WHOLE, Region.RIGHT, Region.LEFT} or region.value.endswith(("basal", "middle", "apical"))
)  # fmt: skip
FIELD_OF_VIEW_MM, COVERAGE_MM = 384.0, 300.0
SUB_SLICE_MM = 1.25  # a thicker slice is averaged from slices no farther apart


class EmphysemaKind(StrEnum):
    """The patterns of emphysema that pathology tells apart."""

    NONE = "none"
    CENTRILOBULAR = "centrilobular"  # round holes at the centres of lobules
    PARASEPTAL = "paraseptal"  # cysts in a row under the pleura
    PANLOBULAR = "panlobular"  # whole tracts of lung, vessels spared


class Kernel(StrEnum):
    """How the scanner reconstructs: noise is smooth or sharp, and a sharp kernel overshoots at edges."""

    SOFT = "soft"
    SHARP = "sharp"


@dataclass(frozen=True, slots=True)
class Emphysema:
    """How much of which pattern and where; `fraction` is of all lung voxels, vessels included."""

    kind: EmphysemaKind = EmphysemaKind.NONE
    fraction: float = 0.0
    place: Region = Region.WHOLE

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", EmphysemaKind(self.kind))
        object.__setattr__(self, "place", Region(self.place))
        if self.place not in PLACES:
            raise ValueError(f"emphysema is placed in a lung or a third, not in {self.place}")
        if not 0.0 <= self.fraction <= 0.8:
            raise ValueError(f"the fraction of emphysema lies between 0 and 0.8, found {self.fraction}")
        if (self.fraction > 0) != (self.kind is not EmphysemaKind.NONE):
            raise ValueError("emphysema has a kind and a fraction above 0, or neither")


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomSpec:
    """One scan of one invented person.

    Without `pixel_mm` and `slice_mm`, `matrix` and `n_slices` divide a field of view of 384 mm and a
    coverage of 300 mm, the whole thorax, whatever their number. `thickness_mm` is independent of the distance
    between slices; above 1.25 mm, slices are averages. `inflation` is 1 at full inspiration and about 0.5 after
    breathing out. `noise_hu` is the standard deviation in water; 0 makes the scan exact. `repeat` counts further
    scans of the same person, who is the same in all; the noise is not.
    """

    seed: int = 0
    n_slices: int = 300
    matrix: int = 512
    pixel_mm: float | None = None
    slice_mm: float | None = None
    thickness_mm: float = 1.0
    emphysema: Emphysema = field(default_factory=Emphysema)
    findings: Findings = field(default_factory=Findings)
    build: Build = field(default_factory=Build)
    inflation: float = 1.0
    noise_hu: float = 15.0
    kernel: Kernel = Kernel.SOFT
    repeat: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "kernel", Kernel(self.kernel))
        if self.n_slices < 2 or self.matrix < 16:
            raise ValueError("a phantom has at least 2 slices and a matrix of 16")
        if not 0.3 <= self.inflation <= 1.2:
            raise ValueError(f"inflation lies between 0.3 and 1.2, found {self.inflation}")
        sizes = (self.pixel_mm, self.slice_mm, self.thickness_mm)
        if (
            any(size is not None and size <= 0 for size in sizes)
            or min(self.noise_hu, self.seed, self.repeat) < 0
        ):
            raise ValueError("sizes are positive; noise, seed and repeat are not negative")

    @property
    def grid(self) -> Grid:
        """The axial grid (LPS) of the scan, centred on the thorax; its origin is the thorax' own."""
        pixel_mm = self.pixel_mm or FIELD_OF_VIEW_MM / self.matrix
        slice_mm = self.slice_mm or COVERAGE_MM / self.n_slices
        first = -pixel_mm * (self.matrix - 1) / 2
        bottom = -slice_mm * (self.n_slices - 1) / 2
        affine = np.array(
            [
                [0, 0, pixel_mm, first],
                [0, pixel_mm, 0, first + 12.0],
                [slice_mm, 0, 0, bottom],
                [0, 0, 0, 1.0],
            ]
        )
        return Grid((self.n_slices, self.matrix, self.matrix), affine)

    @property
    def sub_slices_mm(self) -> tuple[float, ...]:
        """Offsets along z of the thin slices that one slice averages."""
        n = max(1, int(np.ceil(self.thickness_mm / SUB_SLICE_MM)))
        return tuple(float(o) for o in (np.arange(n) - (n - 1) / 2) * self.thickness_mm / n)
