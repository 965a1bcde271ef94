"""Names of the scores as columns: those of the Chest Imaging Platform's parenchyma phenotypes where it has one.

What the columns hold is in `docs/scores.md`; shares are percent here, fractions there. The columns of a patch are
defined here, as tables and arrays of several packages share them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

COLUMNS: Mapping[str, str] = MappingProxyType(
    {
        "LAA-950insp": "LAA950",
        "LAA-925insp": "LAA925",
        "LAA-910insp": "LAA910",
        "LAA-856insp": "LAA856",
        "LAA-856exp": "LAA856exp",
        "Perc15": "Perc15",
        "Perc15-density": "Perc15Density",
        "Perc15-adjusted": "Perc15Adjusted",
        "MLD": "HUMean",
        "SD": "HUStd",
        "skewness": "HUSkewness",
        "kurtosis": "HUKurtosis",
        "mode": "HUMode",
        "median": "HUMedian",
        "volume": "Volume",
        "air": "Air",
        "mass": "Mass",
        "HAA": "HAA",
        "LAC-D": "LACD",
        "heterogeneity": "Heterogeneity",
    }
)
# Those that are also given of the harmonised image: the ones that hang on the thin tail of the histogram.
HARMONISED_COLUMNS = (
    "LAA950", "LAA925", "LAA910", "LAA856", "LAA856exp", "Perc15", "Perc15Density", "Perc15Adjusted", "LACD",
    "Heterogeneity",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Quantity:
    """What a column or an array holds, and in which unit ("1" for a pure number)."""

    definition: str
    unit: str


# What is measured in each patch; all but the first are NaN where no lung is.
PATCH_COLUMNS: Mapping[str, Quantity] = MappingProxyType(
    {
        "n_lung_voxels": Quantity("native lung voxels in the cube", "1"),
        "laa950": Quantity("voxels at or below -950 HU over the lung voxels, %", "%"),
        "laa910": Quantity("voxels at or below -910 HU over the lung voxels, %", "%"),
        "perc15_hu": Quantity("HU below which 15 % of the lung voxels lie", "HU"),
        "mean_hu": Quantity("mean HU of the lung voxels", "HU"),
    }
)

# What fits the width of a terminal or a notebook; result.json and regions.csv hold all.
HEADLINE = frozenset(
    {"LAA-950insp", "LAA-910insp", "LAA-856exp", "Perc15", "MLD", "volume", "mass", "LAC-D", "heterogeneity"}
)
HARMONISED_HEADLINE = frozenset({"LAA-950insp", "LAA-856exp", "Perc15"})
