"""Published values of healthy lungs, with source, people and technique; and whether a scan fits them.

Only values whose publication states people and definition are here, and only for both lungs: none was found for
thirds, or for Perc15 with kernel and slices. Leaves out reference equations (Hoffman et al. give them by age, sex,
height and race), as what they need of the patient is not read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from dras_model.results.codes import Code
from dras_model.results.study import Region, StudyResult


@dataclass(frozen=True, slots=True)
class NormalValue:
    """What one publication found in healthy people: `middle` is its median or mean, `low` to `high` its spread.

    In the unit of the score `code`; None where the publication gives no such end. `technique` is None where it was
    not checked: such a value is printed, and no scan is held against it.
    """

    name: str
    code: str
    region: Region
    middle: float
    low: float | None
    high: float | None
    spread: str
    people: str
    technique: str | None
    source: str


_LIMIT = "\N{NO-BREAK SPACE}\N{MINUS SIGN}950\N{NO-BREAK SPACE}HU"
NORMAL_VALUES = (
    NormalValue(
        name="MESA Lung",
        code="LAA-950insp",
        region=Region.WHOLE,
        middle=1.1,
        low=0.5,
        high=2.5,
        spread="median, middle half",
        people="854 healthy never-smokers of four ethnic groups in the USA, 54 to 93 years",
        technique=f"full inspiration by the SPIROMICS protocol: thin slices, standard kernel; <{_LIMIT}",
        source="Hoffman et al., Ann Am Thorac Soc 2014;11:898–907",
    ),
    NormalValue(
        name="COPDGene",
        code="LAA-950insp",
        region=Region.WHOLE,
        middle=2.0,
        low=None,
        high=None,
        spread="mean, standard deviation 2.7",
        people="92 healthy white non-smokers in the USA, mean age 62.7 years",
        technique=f"full inspiration by the COPDGene protocol: thin slices, standard kernel; ≤{_LIMIT}",
        source="Zach et al., Invest Radiol 2012;47:596–602",
    ),
    NormalValue(
        name="Ruijin",
        code="LAA-950insp",
        region=Region.WHOLE,
        middle=0.19,
        low=0.03,
        high=0.43,
        spread="median, middle half",
        people="564 people in Shanghai with normal lung function and CT",
        technique=None,
        source="Cheng et al., Int J COPD 2019;14:1657–1668",
    ),
)

# A convention of cohorts of smokers, no limit of normal: some healthy people lie above it.
QUANTITATIVE_EMPHYSEMA_PERCENT = 5.0
QUANTITATIVE_EMPHYSEMA_SOURCE = "Amaza et al., Int J COPD 2021;16:1231–1242"

# What a scan may be that the people above were not scanned with; each code has its numbers among the warnings.
DEPARTURES: Mapping[Code, str] = MappingProxyType(
    {
        Code.SHARP_KERNEL: "sharp kernel",
        Code.UNKNOWN_KERNEL: "unknown kernel",
        Code.ACQUISITION_UNKNOWN: "unknown acquisition",
        Code.THICK_SLICE: "thick slices",
        Code.AVERAGED_VOXELS: "averaged voxels",
        Code.CONTRAST_ENHANCED: "contrast agent",
        Code.NOT_INSPIRATION: "not at full inspiration",
        Code.KVP_NOT_120: "other tube voltage",
        Code.ITERATIVE_RECON: "iterative reconstruction",
        Code.LOW_DOSE: "low dose",
        Code.HIGH_NOISE: "high noise",
        Code.NOT_SUPINE: "not supine",
        Code.INCOMPLETE_LUNG: "incomplete lungs",
        Code.AIR_CALIBRATION: "air off its calibration",
        Code.LOSSY: "lossy compression",
        Code.DERIVED_IMAGE: "derived images",
        Code.INTERPOLATED_SLICES: "missing slices",
        Code.SEGMENTATION_SUSPECT: "doubtful lung outline",
        Code.RESCALE_ASSUMED: "assumed Hounsfield units",
        Code.OUT_OF_DOMAIN: "outside what was verified",
    }
)


def departures(result: StudyResult) -> tuple[str, ...]:
    """Return in what the scan departs from the conditions of the published values; nothing where it fits them."""
    found = [DEPARTURES[warning.code] for warning in result.warnings if warning.code in DEPARTURES]
    phases = {score.phase for score in result.scores if score.code == "LAA-950insp"}
    if "expiration" in phases:
        found.append("expiration")
    return tuple(dict.fromkeys(found))
