"""The concepts that the DICOM objects speak in: public codes where there are, scheme 99DRAS where there is none.

Public codes are those of SNOMED CT, DCM and UCUM that DICOM itself uses (PS3.16); the context group is named
beside them. What is private is listed in PRIVATE and printed in `docs/dicom-conformance.md`, held against
this table by a test; a code that has been published keeps its meaning. Leaves out the regions' sites:
`results.region_codes`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pydicom.sr.coding import Code

from dras_model.results.region_codes import REGION_CODES
from dras_model.results.study import Region

SCHEME = "99DRAS"
SCHEME_NAME = "Codes of dras for lung densitometry"
SCHEME_VERSION = "1"
MOST_MEANING = 64  # characters of a Code Meaning (PS3.5 6.2, LO)

# What a private code says; scores have the code of `result.json`.
PRIVATE: Mapping[str, str] = MappingProxyType(
    {
        "LAA-950insp": "Lung at or below -950 HU at inspiration",
        "LAA-925insp": "Lung at or below -925 HU at inspiration",
        "LAA-910insp": "Lung at or below -910 HU at inspiration",
        "LAA-856insp": "Lung at or below -856 HU at inspiration",
        "LAA-856exp": "Lung at or below -856 HU at expiration (gas trapping)",
        "Perc15": "15th percentile of lung attenuation",
        "Perc15-density": "15th percentile of lung density",
        "Perc15-adjusted": "15th percentile of lung density, adjusted to a lung volume",
        "air": "Volume of gas in the lung",
        "HAA": "Lung from -600 to -250 HU (high attenuation)",
        "LAC-D": "Exponent of the sizes of low attenuation clusters",
        "heterogeneity": "Upper against lower third of LAA-950",
        "n_voxels": "Number of voxels measured",
        "image-raw": "Image as reconstructed",
        "image-harmonised": "Image harmonised over kernel and noise",
        "phase": "Breath of the scan",
        "inspiration": "Inspiration",
        "expiration": "Expiration",
        "paired": "Inspiration and expiration",
        "unknown": "Unknown",
        "warning": "Warning",
        "definition": "Definition of a measurement",
        "provenance": "Provenance",
        "notice": "Notice",
        "laa-950": "Low attenuation area (lung at or below -950 HU)",
        "laa950": "Lung at or below -950 HU in a 32 mm cube, share",
        "laa910": "Lung at or below -910 HU in a 32 mm cube, share",
        "perc15_hu": "15th percentile of lung attenuation in a 32 mm cube",
        "mean_hu": "Mean lung attenuation in a 32 mm cube",
        "lung_fraction": "Lung in a 32 mm cube, fraction",
        "component": "Component of the embedding of a 32 mm cube",
    }
)

PERCENT = Code("%", "UCUM", "Percent")
ONE = Code("1", "UCUM", "no units")
HOUNSFIELD = Code("[hnsf'U]", "UCUM", "Hounsfield unit")
UNITS: Mapping[str, Code] = MappingProxyType(
    {
        "%": PERCENT,
        "HU": HOUNSFIELD,
        "1": ONE,
        "": ONE,
        "mL": Code("mL", "UCUM", "milliliter"),
        "g": Code("g", "UCUM", "gram"),
        "g/L": Code("g/L", "UCUM", "gram per liter"),
    }
)

ANATOMY = Code("91723000", "SCT", "Anatomical Structure")  # CID 7150
ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")  # CID 7150
LUNG = Code("39607008", "SCT", "Lung")  # CID 4031
AIRWAY = Code("110726009", "SCT", "Trachea and bronchus")  # CID 4031
RIGHT_SIDE = Code("24028007", "SCT", "Right")  # CID 244
LEFT_SIDE = Code("7771000", "SCT", "Left")  # CID 244
BOTH_SIDES = Code("51440002", "SCT", "Bilateral")  # CID 244
CT = Code("25045-6", "LN", "CT unspecified body region")  # CID 100; of the chest it has none
ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")  # CID 7162
COMMENT = Code("121106", "DCM", "Comment")
NOT_MEASURED = Code("114007", "DCM", "Measurement not attempted")  # CID 42
SEGMENTATION = Code("113076", "DCM", "Segmentation")  # CID 7203
SOURCE_IMAGE = Code("121322", "DCM", "Source image for image processing operation")  # CID 7202
EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")  # TID 1500 row 12
ATTENUATION = Code("112031", "DCM", "Attenuation Coefficient")  # CID 7469


@dataclass(frozen=True, slots=True)
class ScoreConcept:
    """What a score is called: a concept, and how it is derived of it where the concept is more general."""

    name: Code
    derivation: Code | None = None


# Of the moments of the histogram CID 6141 names three; the others are derivations of the attenuation
# coefficient (TID 1419, CID 7464), which is what all six are to a reader that overlooks the derivation.
_PUBLIC: Mapping[str, ScoreConcept] = MappingProxyType(
    {
        "MLD": ScoreConcept(Code("112181", "DCM", "Mean Attenuation Coefficient")),
        "SD": ScoreConcept(Code("112183", "DCM", "Standard Deviation of Attenuation Coefficient")),
        "skewness": ScoreConcept(ATTENUATION, Code("126051", "DCM", "Skewness")),
        "kurtosis": ScoreConcept(ATTENUATION, Code("126052", "DCM", "Kurtosis")),
        "mode": ScoreConcept(ATTENUATION, Code("373100007", "SCT", "Mode")),
        "median": ScoreConcept(Code("112182", "DCM", "Median Attenuation Coefficient")),
        "volume": ScoreConcept(Code("118565006", "SCT", "Volume")),  # CID 7469
        "mass": ScoreConcept(Code("118538004", "SCT", "Mass")),
    }
)
# Where in the lung a region lies that SNOMED CT has no site for (CID 2 Anatomic Modifier).
_PARTS: Mapping[Region, Code] = MappingProxyType(
    {
        Region.CORE: Code("26216008", "SCT", "Central"),
        Region.PEEL: Code("14414005", "SCT", "Peripheral"),
        Region.VENTRAL: Code("255549009", "SCT", "Anterior"),
        Region.DORSAL: Code("255551008", "SCT", "Posterior"),
    }
)


@dataclass(frozen=True, slots=True)
class Site:
    """Where a region lies: a site of the body, its side, and which part of it."""

    location: Code
    laterality: Code | None
    part: Code | None


def private(value: str) -> Code:
    """Return a code of PRIVATE; KeyError where there is none."""
    return Code(value, SCHEME, PRIVATE[value])


def score_concept(code: str) -> ScoreConcept:
    """Return what a score of `result.json` is called; one that this table lacks is called by its own code."""
    found = _PUBLIC.get(code)
    return found or ScoreConcept(Code(code, SCHEME, PRIVATE.get(code, code)[:MOST_MEANING]))


def unit(text: str) -> Code:
    """Return the unit of a score; one that this table lacks by its own name (UCUM is case sensitive text)."""
    return UNITS.get(text) or Code(text, "UCUM", text)


def site(region: Region) -> Site:
    """Return where a region lies."""
    code = REGION_CODES.get(region)
    if code is None:
        return Site(LUNG, BOTH_SIDES, _PARTS.get(region))
    side = None if code.laterality is None else code.laterality.value
    laterality = {each.value: each for each in (RIGHT_SIDE, LEFT_SIDE, BOTH_SIDES)}.get(side or "")
    return Site(Code(code.site.value, code.site.scheme, code.site.meaning), laterality, None)
