"""Names of the scores as columns: those of the Chest Imaging Platform's parenchyma phenotypes where it has one.

What the columns hold is in `docs/scores.md`; shares are percent here, fractions there.
"""

from collections.abc import Mapping
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
