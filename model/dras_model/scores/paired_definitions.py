"""Every score of a pair of scans once: what it is, where it is given, what bears on it.

Comparators of the parametric response map are those of its authors, strict, unlike those of LAA.
"""

from dataclasses import dataclass
from typing import Literal

from dras_model.results.codes import Code
from dras_model.results.pair import ResponseClass
from dras_model.results.study import Region
from dras_model.scores.definitions import LUNGS

EMPHYSEMA_HU, TRAPPING_HU = -950.0, -856.0
EXCLUDED_ABOVE_HU = -500.0  # vessels and airway walls are no parenchyma

_SCAN = frozenset(
    {
        Code.INCOMPLETE_LUNG, Code.SEGMENTATION_SUSPECT, Code.ATYPICAL, Code.INTERPOLATED_SLICES,
        Code.NOT_INSPIRATION, Code.NOT_EXPIRATION, Code.NOT_SUPINE, Code.OUT_OF_DOMAIN, Code.ACQUISITION_UNKNOWN,
    }
)  # fmt: skip
_DENSITY = _SCAN | {
    Code.CONTRAST_ENHANCED, Code.DERIVED_IMAGE, Code.KVP_NOT_120, Code.AIR_CALIBRATION, Code.HU_FLOOR,
    Code.MIXED_SCANNER, Code.KVP_DIFFERS, Code.CONTRAST_DIFFERS,
}  # fmt: skip
_VOXELS = _DENSITY | {
    Code.SHARP_KERNEL, Code.UNKNOWN_KERNEL, Code.THICK_SLICE, Code.LOSSY, Code.TILT, Code.HIGH_NOISE, Code.LOW_DOSE,
    Code.ITERATIVE_RECON, Code.KERNEL_DIFFERS, Code.THICKNESS_DIFFERS, Code.RECONSTRUCTION_DIFFERS,
    Code.COMPARABILITY_UNKNOWN, Code.DEFORMATION_SUSPECT,
}  # fmt: skip
_METS = "Mets et al., Lung 2012"
_GALBAN = "Galbán et al., Nat Med 2012"


@dataclass(frozen=True, slots=True, kw_only=True)
class PairDefinition:
    """One score of a pair. `regions` are those it is given in, None for all; `label` is its value in the map."""

    code: str
    unit: str
    definition: str
    reference: str
    sensitive_to: frozenset[Code]
    threshold: float | None = None
    comparator: Literal["<=", "<", ">=", ">"] | None = None
    regions: frozenset[Region] | None = LUNGS
    label: ResponseClass | None = None


def _prm(code: str, label: ResponseClass, definition: str, reference: str = _GALBAN) -> PairDefinition:
    return PairDefinition(
        code=code,
        unit="%",
        definition=f"{definition}, over the expiration's lung voxels at or below {EXCLUDED_ABOVE_HU:.0f} HU in both"
        " scans; each scan filtered by the median of 3 x 3 voxels within its axial planes, the inspiration"
        " laid onto the expiration by its nearest voxels",
        reference=reference,
        sensitive_to=_VOXELS,
        threshold=TRAPPING_HU,
        comparator=">=" if label in (ResponseClass.NORMAL, ResponseClass.EMPTYING) else "<",
        regions=None,
        label=label,
    )


PAIR_DEFINITIONS: tuple[PairDefinition, ...] = (
    PairDefinition(
        code="E/I-MLD",
        unit="1",
        definition="mean lung density in HU at expiration over that at inspiration; towards 1 where air stays",
        reference=_METS,
        sensitive_to=_DENSITY,
    ),
    PairDefinition(
        code="E-I-MLD",
        unit="HU",
        definition="mean lung density at expiration less that at inspiration; towards 0 where air stays",
        reference="difference of the two scans' MLD",
        sensitive_to=_DENSITY,
    ),
    PairDefinition(
        code="E/I-volume",
        unit="1",
        definition="lung volume at expiration over that at inspiration",
        reference="ratio of the two scans' volumes",
        sensitive_to=_SCAN,
    ),
    _prm(
        "PRM-normal",
        ResponseClass.NORMAL,
        "voxels at or above -950 HU at inspiration and at or above -856 HU at expiration",
    ),
    _prm(
        "PRM-fSAD",
        ResponseClass.SMALL_AIRWAYS,
        "functional small airway disease: voxels at or above -950 HU at inspiration and below -856 HU at"
        " expiration",
    ),
    _prm(
        "PRM-emphysema",
        ResponseClass.EMPHYSEMA,
        "voxels below -950 HU at inspiration and below -856 HU at expiration",
    ),
    _prm(
        "PRM-emptying",
        ResponseClass.EMPTYING,
        "emptying emphysema: voxels below -950 HU at inspiration and at or above -856 HU at expiration, the"
        " class that the three above leave over; misregistration fills it, too",
        "the fourth quadrant of Galbán et al., Nat Med 2012",
    ),
)


def definitions_table() -> str:
    """Return the rows of PAIR_DEFINITIONS as Markdown, for `docs/paired.md`."""
    return "".join(
        f"| {d.code} | {d.unit} | {d.definition} | {'all' if d.regions is None else ', '.join(sorted(d.regions))}"
        f" | {d.reference} |\n"
        for d in PAIR_DEFINITIONS
    )
