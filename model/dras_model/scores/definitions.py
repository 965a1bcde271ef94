"""Every score once: what it is, where it is given, what bears on it; the documentation is printed from here.

Columns and conventions follow the Chest Imaging Platform where it has the score, but for its strict `<`: the
literature counts voxels at the threshold as low, and so does this table.
"""

from dataclasses import dataclass
from typing import Literal

from dras_model.results.codes import Code
from dras_model.results.study import LOBES, Region
from dras_model.scores import formulas
from dras_model.scores.formulas import Formula
from dras_model.scores.limits import Limits

# What bears on any number taken inside the mask, on a volume, on a mean, and on the thin tail of the histogram.
_MASK = frozenset(
    {
        Code.INCOMPLETE_LUNG,
        Code.SEGMENTATION_SUSPECT,
        Code.ATYPICAL,
        Code.INTERPOLATED_SLICES,
        Code.OUT_OF_DOMAIN,
        Code.ORIENTATION_SUSPECT,
    }
)
_VOLUME = _MASK | {Code.NOT_INSPIRATION, Code.NOT_SUPINE, Code.ACQUISITION_UNKNOWN}
_MEAN = _VOLUME | {
    Code.CONTRAST_ENHANCED, Code.DERIVED_IMAGE, Code.KVP_NOT_120, Code.AIR_CALIBRATION, Code.HU_FLOOR,
    Code.RESCALE_ASSUMED,
}  # fmt: skip
_SHAPE = _MEAN | {
    Code.SHARP_KERNEL, Code.UNKNOWN_KERNEL, Code.THICK_SLICE, Code.LOSSY, Code.TILT, Code.HIGH_NOISE,
    Code.LOW_DOSE, Code.ITERATIVE_RECON, Code.AVERAGED_VOXELS,
}  # fmt: skip
_TAIL = _SHAPE | {Code.HARMONISATION_LIMITED}  # of the scores that are given of the harmonised image, too

LUNGS = frozenset({Region.WHOLE, Region.RIGHT, Region.LEFT})
LUNGS_AND_LOBES = LUNGS | frozenset(LOBES)
_FLAT = ("it has fewer than four voxels, or all of one value",)
_CIP = "Chest Imaging Platform, parenchyma phenotypes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One score. `definition` may name fields of `Limits`; `sensitive_to` are the warnings that bear on it.

    `regions` are those it is given in, None for all. `phase` is the breath it is defined at. A score of the
    `thin_tail` is withheld where slices are too thick for it to mean anything.
    """

    code: str
    unit: str
    definition: str
    reference: str
    formula: Formula
    sensitive_to: frozenset[Code]
    threshold: float | None = None
    comparator: Literal["<=", "<", ">=", ">"] | None = None
    regions: frozenset[Region] | None = None
    phase: Literal["inspiration", "expiration"] | None = None
    thin_tail: bool = False
    also_null: tuple[str, ...] = ()  # what else its formula withholds it for, in words

    def given_in(self, region: Region) -> bool:
        """Whether the score is given in a region at all."""
        return self.regions is None or region in self.regions

    def text(self, limits: Limits) -> str:
        """Return the definition with the limits that it rests on."""
        return self.definition.format_map(limits.model_dump())


def _laa(threshold: int, *, at_expiration: bool = False) -> Definition:
    breath = "at expiration: gas trapping" if at_expiration else "at full inspiration"
    return Definition(
        code=f"LAA{threshold}{'exp' if at_expiration else 'insp'}",
        unit="%",
        definition=f"voxels at or below {threshold} HU over all lung voxels, {breath}",
        reference="Schroeder et al., AJR 2013",
        formula=formulas.low_attenuation(float(threshold)),
        sensitive_to=_TAIL - {Code.NOT_INSPIRATION} if at_expiration else _TAIL,
        threshold=float(threshold),
        comparator="<=",
        phase="expiration" if at_expiration else "inspiration",
        thin_tail=True,
    )


def _of_distribution(
    code: str, formula: Formula, unit: str, definition: str, *, also_null: tuple[str, ...] = ()
) -> Definition:
    return Definition(
        code=code, unit=unit, definition=definition, reference=_CIP, formula=formula, sensitive_to=_SHAPE,
        also_null=also_null,
    )  # fmt: skip


DEFINITIONS: tuple[Definition, ...] = (
    _laa(-950),
    _laa(-925),
    _laa(-910),
    _laa(-856),
    _laa(-856, at_expiration=True),
    Definition(
        code="Perc15",
        unit="HU",
        definition="HU below which 15 % of the lung voxels lie (linear interpolation between ranks)",
        reference="Parr et al., Thorax 2006",
        formula=formulas.percentile_15,
        sensitive_to=_TAIL,
        thin_tail=True,
    ),
    Definition(
        code="Perc15-density",
        unit="g/L",
        definition="Perc15 as a density: Perc15 in HU + 1000",
        reference="Parr et al., Thorax 2006",
        formula=formulas.density_15,
        sensitive_to=_TAIL,
        thin_tail=True,
    ),
    Definition(
        code="Perc15-adjusted",
        unit="g/L",
        definition="Perc15 as a density times the lungs' volume over the reference volume (sponge model)",
        reference="Shaker et al., ERJ 2012; Parr et al., Respir Res 2008",
        formula=formulas.adjusted_density_15,
        sensitive_to=_TAIL,
        # A reference volume is one of both lungs; how much of it a part should have is not known.
        regions=frozenset({Region.WHOLE}),
        thin_tail=True,
        also_null=("no reference volume is given (`--reference-volume-ml`)",),
    ),
    Definition(
        code="MLD",
        unit="HU",
        definition="mean HU of the lung voxels",
        reference=_CIP,
        formula=formulas.mean,
        sensitive_to=_MEAN,
    ),
    _of_distribution(
        "SD",
        formulas.standard_deviation,
        "HU",
        "standard deviation of the lung voxels (population, not sample)",
    ),
    _of_distribution(
        "skewness",
        formulas.skewness,
        "1",
        "third standardised moment, corrected for bias (Fisher-Pearson G1)",
        also_null=_FLAT,
    ),
    _of_distribution(
        "kurtosis",
        formulas.kurtosis,
        "1",
        "fourth standardised moment less 3, corrected for bias (Fisher's G2: 0 for a normal distribution)",
        also_null=_FLAT,
    ),
    _of_distribution(
        "mode",
        formulas.mode,
        "HU",
        "most frequent HU in bins of 1 HU, the lowest where several are as frequent",
    ),
    _of_distribution("median", formulas.median, "HU", "HU below which half of the lung voxels lie"),
    Definition(
        code="volume",
        unit="mL",
        definition="number of lung voxels times the volume of one, vessels included, airways not",
        reference=_CIP,
        formula=formulas.volume,
        sensitive_to=_VOLUME,
    ),
    Definition(
        code="air",
        unit="mL",
        definition="sum of -HU / 1000 times the voxel volume, HU below -1000 taken as -1000: what tissue of 1 g/mL"
        " leaves of the volume",
        reference="linear density model: air of -1000 HU has 0 g/mL, 0 HU is 1 g/mL",
        formula=formulas.air,
        sensitive_to=_MEAN,
    ),
    Definition(
        code="mass",
        unit="g",
        definition="sum of (HU + 1000) / 1000 g/mL times the voxel volume, HU below -1000 taken as -1000",
        reference="linear density model: air of -1000 HU has 0 g/mL, 0 HU is 1 g/mL",
        formula=formulas.mass,
        sensitive_to=_MEAN,
    ),
    Definition(
        code="HAA",
        unit="%",
        definition="voxels from -600 to -250 HU, both included, over all lung voxels; healthy median 4.3 % (2.7 to"
        " 17.8)",
        reference="MESA lung study",
        formula=formulas.high_attenuation,
        sensitive_to=_MEAN | {Code.THICK_SLICE},
    ),
    Definition(
        code="LAC-D",
        unit="1",
        definition="exponent D of N(>= S) = K S^-D for low-attenuation clusters: voxels at or below -950 HU,"
        " joined by faces in three dimensions, within one lung or lobe, of at least {smallest_cluster_mm3:g} mm³"
        " and 4 voxels; least squares of log N over log S at each distinct size, weighted by N; null below"
        " {least_clusters} clusters",
        reference="Mishima et al., PNAS 1999",
        formula=formulas.cluster_exponent,
        sensitive_to=_TAIL,
        threshold=-950.0,
        comparator="<=",
        regions=LUNGS_AND_LOBES,
        phase="inspiration",
        thin_tail=True,
        also_null=("there are fewer clusters, or fewer than three sizes of them",),
    ),
    Definition(
        code="heterogeneity",
        unit="%",
        definition="100 (apical - basal) / (apical + basal) of LAA-950 in the apical and the basal third: 100 where"
        " all is apical, -100 where all is basal",
        reference="upper against lower zone, as in lung-volume-reduction trials (Fishman et al., NEJM 2003)",
        formula=formulas.heterogeneity,
        sensitive_to=_TAIL,
        threshold=-950.0,
        comparator="<=",
        regions=LUNGS,
        phase="inspiration",
        thin_tail=True,
        also_null=("neither third has a voxel at or below -950 HU", "the scan cuts the thirds"),
    ),
)
