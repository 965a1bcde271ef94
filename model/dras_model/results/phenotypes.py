"""Names of the scores as columns: those of the Chest Imaging Platform's parenchyma phenotypes."""

from collections.abc import Mapping
from types import MappingProxyType

COLUMNS: Mapping[str, str] = MappingProxyType(
    {
        "LAA-950insp": "LAA950",
        "LAA-910insp": "LAA910",
        "Perc15": "Perc15",
        "MLD": "HUMean",
        "volume": "Volume",
        "mass": "Mass",
    }
)
