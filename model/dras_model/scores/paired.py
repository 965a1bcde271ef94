"""Scores of two breaths together: ratios of what each scan measures, and the parametric response map.

The map is drawn on the voxels of the expiration, onto which its authors laid the inspiration, too.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from dras_model.imaging.deformable import Deformation, Scan, cropped, lung_part
from dras_model.imaging.volume import Volume
from dras_model.results.codes import Code
from dras_model.results.pair import DeformationQuality, ResponseClass
from dras_model.results.study import Region, Score, StudyWarning
from dras_model.scores.densitometry import SHARES
from dras_model.scores.paired_definitions import (
    EMPHYSEMA_HU,
    EXCLUDED_ABOVE_HU,
    PAIR_DEFINITIONS,
    TRAPPING_HU,
    PairDefinition,
)
from dras_model.scores.regions import N_CELLS, Cells

# On phantoms, breaths of one person have a similarity of 0.67 (4 mm voxels, 30 HU of noise) to 0.90, an inspiration
# laid onto somebody else's expiration 0.21 to 0.54, at the same Dice of 0.98: any outline fits another.
LEAST_DICE = 0.95
LEAST_SIMILARITY = 0.6
MOST_FOLDED_PERCENT = 0.1
LITTLE_BREATH = 0.9  # of the volume is left: expiration to residual volume leaves 0.3 to 0.7
BEYOND_HU = 3071.0  # where the inspiration was not imaged: never parenchyma


@dataclass(frozen=True, slots=True)
class PairConditions:
    """What decides about the scores of a pair: the codes that bear on it, and what the ends of its scans cut.

    `withheld` says why no response map is to be trusted, if so.
    """

    warnings: tuple[Code, ...] = ()
    cut_percent: float = 0.0
    most_cut_percent: float = 25.0
    withheld: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ResponseMap:
    """`classes` (z, y, x) uint8 of the box of `cells`: 0 outside the lungs, else a `ResponseClass`."""

    classes: NDArray[np.uint8]
    cells: Cells

    @property
    def whole(self) -> NDArray[np.uint8]:
        """The classes on the whole grid of the expiration."""
        labels = np.zeros(self.cells.grid.shape, dtype=np.uint8)
        labels[self.cells.box] = self.classes
        return labels

    def withheld(self) -> "ResponseMap":
        """Return the map with every lung voxel unclassified: what is shown where the registration is in doubt."""
        unclassified = np.where(self.classes > 0, ResponseClass.UNCLASSIFIED, 0).astype(np.uint8)
        return replace(self, classes=unclassified)


def response_map(
    inspiration: Scan, expiration: Volume, cells: Cells, deformation: Deformation
) -> ResponseMap:
    """Classify every lung voxel of the expiration, whose `cells` are given, by its density in both breaths."""
    part = lung_part(inspiration)
    inhaled = deformation.warp(
        Volume(median_filtered(part.hu), part.grid), cropped(cells.grid, cells.box), beyond=BEYOND_HU
    )
    exhaled = median_filtered(expiration.hu[cells.box])
    return ResponseMap(classify(inhaled, exhaled, cells.index > 0), cells)


def classify(
    inhaled: NDArray[np.float32], exhaled: NDArray[np.float32], lung: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Return the class of each voxel (z, y, x) from its HU in both breaths (Galbán et al., Nat Med 2012)."""
    low, trapped = inhaled < EMPHYSEMA_HU, exhaled < TRAPPING_HU
    classes = np.full(lung.shape, ResponseClass.NORMAL, dtype=np.uint8)
    classes[trapped & ~low] = ResponseClass.SMALL_AIRWAYS
    classes[trapped & low] = ResponseClass.EMPHYSEMA
    classes[low & ~trapped] = ResponseClass.EMPTYING
    classes[(inhaled > EXCLUDED_ABOVE_HU) | (exhaled > EXCLUDED_ABOVE_HU)] = ResponseClass.UNCLASSIFIED
    classes[~lung] = ResponseClass.OUTSIDE
    return classes


def median_filtered(hu: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the median of 3 x 3 voxels within each axial plane of (z, y, x), edges repeated."""
    filtered: NDArray[np.float32] = sitk.GetArrayFromImage(sitk.Median(sitk.GetImageFromArray(hu), (1, 1, 0)))
    return filtered


def pair_scores(
    inspiration: Iterable[Score], expiration: Iterable[Score], prm: ResponseMap, *, conditions: PairConditions
) -> tuple[Score, ...]:
    """Every score of PAIR_DEFINITIONS in every region that it is given in; of the PRM, where it can be trusted."""
    values = [{(s.code, s.region): s.value for s in scores} for scores in (inspiration, expiration)]
    counts = _count(prm)
    voxel_ml = prm.cells.grid.voxel_ml
    scores = []
    for definition in PAIR_DEFINITIONS:
        for region in prm.cells.members if definition.regions is None else sorted(definition.regions):
            of_class = counts[prm.cells.members[region]].sum(axis=0)
            if definition.label is None:
                outcome = _ratio(definition.code, region, values)
            else:
                outcome = _share(definition.label, region, of_class, conditions)
            n_voxels = int(of_class[1:].sum())
            scores.append(_score(definition, region, outcome, n_voxels, voxel_ml, conditions.warnings))
    return tuple(scores)


@dataclass(frozen=True, slots=True)
class _Outcome:
    value: float | None
    reason: str | None = None
    details: Mapping[str, float] = field(default_factory=dict)


def _count(prm: ResponseMap) -> NDArray[np.int64]:
    """Count the voxels of each class in each cell: (cells, classes)."""
    n_classes = len(ResponseClass)
    both = prm.cells.index.astype(np.uint16) * np.uint16(n_classes) + prm.classes
    counts = np.zeros(N_CELLS * n_classes, dtype=np.int64)
    for plane in both:  # bincount makes 64 bits of every voxel
        counts += np.bincount(plane.ravel(), minlength=N_CELLS * n_classes)
    return counts.reshape(N_CELLS, n_classes)


def _share(label: int, region: Region, of_class: NDArray[np.int64], conditions: PairConditions) -> _Outcome:
    if conditions.withheld is not None:
        return _Outcome(None, conditions.withheld)
    if region in SHARES and conditions.cut_percent > conditions.most_cut_percent:
        return _Outcome(
            None, f"a scan ends within the lungs ({conditions.cut_percent:.0f} % of their widest section)"
        )
    n_lung, n_classified = int(of_class[1:].sum()), int(of_class[1 : ResponseClass.UNCLASSIFIED].sum())
    if n_classified == 0:
        return _Outcome(None, "the region holds no voxel that can be classified")
    return _Outcome(
        100.0 * int(of_class[label]) / n_classified,
        details={"classified_percent": 100.0 * n_classified / n_lung},
    )


def _ratio(
    code: str, region: Region, values: Sequence[Mapping[tuple[str, Region], float | None]]
) -> _Outcome:
    name = code.rpartition("-")[2] if code != "E/I-volume" else "volume"
    inhaled, exhaled = (of_scan.get((name, region)) for of_scan in values)
    if inhaled is None or exhaled is None:
        return _Outcome(None, f"{name} is not given of both scans")
    if code == "E-I-MLD":
        return _Outcome(exhaled - inhaled)
    return _Outcome(exhaled / inhaled) if inhaled else _Outcome(None, f"{name} at inspiration is 0")


def _score(
    definition: PairDefinition, region: Region, outcome: _Outcome, n_voxels: int, voxel_ml: float,
    codes: Iterable[Code],
) -> Score:  # fmt: skip
    return Score(
        code=definition.code,
        value=outcome.value,
        unit=definition.unit,
        threshold=definition.threshold,
        comparator=definition.comparator,
        region=region,
        n_voxels=n_voxels,
        volume_ml=n_voxels * voxel_ml,
        phase="paired",
        definition=definition.definition,
        reference=definition.reference,
        warnings=tuple(code for code in dict.fromkeys(codes) if code in definition.sensitive_to),
        details=dict(outcome.details),
        reason=outcome.reason,
    )


def deformation_warnings(quality: DeformationQuality) -> list[StudyWarning]:
    """Say what speaks against the deformation, with the numbers."""
    doubts = [
        f"Dice of the {side} lung {dice:.3f}"
        for side, dice in (("right", quality.dice_right), ("left", quality.dice_left))
        if dice < LEAST_DICE
    ]
    if quality.folded_percent > MOST_FOLDED_PERCENT:
        doubts.append(f"{quality.folded_percent:.2f} % of the lungs are folded")
    if quality.similarity < LEAST_SIMILARITY:
        doubts.append(f"similarity of the two breaths {quality.similarity:.2f}")
    return (
        [StudyWarning.of(Code.DEFORMATION_SUSPECT, severe=True, evidence=", ".join(doubts))] if doubts else []
    )


def breath_warnings(inspiration_ml: float, expiration_ml: float, *, stated: str | None) -> list[StudyWarning]:
    """Say whether the second scan is one at expiration; `stated` is the breath that its header names."""
    doubts = []
    if expiration_ml > LITTLE_BREATH * inspiration_ml:
        doubts.append(f"it holds {100 * expiration_ml / inspiration_ml:.0f} % of the inspiration's volume")
    if stated == "inspiration":
        doubts.append("its description names inspiration")
    return [StudyWarning.of(Code.NOT_EXPIRATION, evidence=", ".join(doubts))] if doubts else []
