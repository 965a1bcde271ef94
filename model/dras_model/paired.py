"""The way of a pair: two scans of one person, breathed in and breathed out -> one result.

Both are read and segmented as any study is; the inspiration is laid onto the expiration; each is scored, and both
together. No encoder takes part. Nothing here computes.
"""

from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from dras_model import __version__
from dras_model.clock import Clock
from dras_model.imaging import deformable
from dras_model.imaging.atlas import ORIENTATION
from dras_model.imaging.deformable import Deformation, Scan, register
from dras_model.imaging.given_mask import sha256_of
from dras_model.imaging.label_map import read_label_map
from dras_model.imaging.lungs import Lungs, segment_lungs
from dras_model.imaging.parallel import one_blas_thread
from dras_model.imaging.segmenters import load_segmenter
from dras_model.imaging.study import StudyHeader, read_study
from dras_model.imaging.volume import LabelMap, Volume
from dras_model.inspecting import describe_grid
from dras_model.outputs.folder import new_folder
from dras_model.outputs.pairing import write_pair, write_pair_result
from dras_model.outputs.prm_picture import PairImages
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused
from dras_model.results.pair import PairedScan, PairProvenance, PairResult
from dras_model.results.progress import Report, silent
from dras_model.results.study import Score, Stage, StudyWarning
from dras_model.scores import paired as paired_scores
from dras_model.scores.acquisition import Phase, acquisition_warnings, thickness_mm
from dras_model.scores.comparability import acquisition_differences
from dras_model.scores.definitions import DEFINITIONS
from dras_model.scores.densitometry import Conditions, measure
from dras_model.scores.image_quality import measure_image
from dras_model.scores.limits import Limits
from dras_model.scores.paired import PairConditions, ResponseMap, pair_scores, response_map
from dras_model.scores.plausibility import (
    cut_percent,
    domain_warnings,
    image_warnings,
    lung_warnings,
    told_once,
)
from dras_model.scores.regions import Cells, find_cells

INSPIRATION: Phase = "inspiration"
EXPIRATION: Phase = "expiration"
# What is measured of each scan alone; everything else of one scan is what `dras extract` is for.
_OF_SCAN = {
    INSPIRATION: frozenset({"LAA-950insp", "MLD", "volume"}),
    EXPIRATION: frozenset({"LAA-856exp", "MLD", "volume"}),
}
# Of an expiration it is no news that it is none of full inspiration, and small.
_EXPECTED = frozenset({Code.NOT_INSPIRATION, Code.ATYPICAL})
_LIBRARIES = ("numpy", "scipy", "SimpleITK", "pydicom", "nibabel")


@dataclass(frozen=True, slots=True)
class PairChoices:
    """What a caller may choose; `segmenter` names another one than ours, `module:function`.

    `inspiration_lobes` and `expiration_lobes` are label maps on the voxels of the scan they are named after; the
    response map is drawn on the expiration, and so is what it says of lobes.
    """

    inspiration_uid: str | None = None
    expiration_uid: str | None = None
    segmenter: str | None = None
    inspiration_lobes: Path | None = None
    expiration_lobes: Path | None = None
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True, eq=False)
class Breath:
    """One scan, read, segmented and measured; `scores` are those of `_OF_SCAN`."""

    header: StudyHeader
    input_sha256: str
    volume: Volume
    lungs: Lungs
    cells: Cells
    warnings: tuple[StudyWarning, ...]
    scores: tuple[Score, ...]

    @property
    def scan(self) -> Scan:
        """What registration takes."""
        return Scan(self.volume, self.lungs.map)

    @property
    def volume_ml(self) -> float:
        """Volume of both lungs."""
        return self.lungs.quality.right_ml + self.lungs.quality.left_ml

    def told(self) -> PairedScan:
        """Return what the result says of the scan."""
        return PairedScan(
            series_instance_uid=self.header.series_uid,
            input_sha256=self.input_sha256,
            candidates=self.header.candidates,
            acquisition=self.header.acquisition,
            geometry=describe_grid(self.header.grid),
            lungs=self.lungs.quality,
            warnings=self.warnings,
        )


def pair(
    inspiration: Path,
    expiration: Path,
    out: Path,
    *,
    choices: PairChoices | None = None,
    report: Report = silent,
    overwrite: bool = False,
) -> PairResult:
    """Score two scans of one person together; the folder of outputs appears complete or not at all.

    Raises StudyRefused: SAME_STUDY, PHASES_SWAPPED and whatever refuses a study alone; SetupRefused where the
    segmenter or `out` is at fault.
    """
    choices = choices or PairChoices()
    clock = Clock(report)
    with new_folder(out, overwrite=overwrite) as folder, one_blas_thread():
        inhaled, exhaled = _breathe(inspiration, expiration, choices, clock)
        with clock.stage(Stage.REGISTRATION):
            deformation = register(exhaled.scan, inhaled.scan)
        with clock.stage(Stage.SCORES):
            prm = response_map(inhaled.scan, exhaled.volume, exhaled.cells, deformation)
            result = _conclude(inhaled, exhaled, prm, deformation=deformation, choices=choices)
        with clock.stage(Stage.OUTPUTS):
            shown = prm if result.status != "partial" else prm.withheld()
            write_pair(result, PairImages(inhaled.scan, exhaled.scan, shown.whole, deformation), folder)
        result = result.model_copy(update={"timings": clock.summary()})
        write_pair_result(result, folder)
    return result


def _breathe(
    inspiration: Path, expiration: Path, choices: PairChoices, clock: Clock
) -> tuple[Breath, Breath]:
    """Read, segment and measure both scans; they must be two, and the first the larger."""
    segmenter = None if choices.segmenter is None else load_segmenter(choices.segmenter)
    with clock.stage(Stage.READ):
        studies = [
            read_study(inspiration, series_uid=choices.inspiration_uid),
            read_study(expiration, series_uid=choices.expiration_uid),
        ]
        if studies[0].input_sha256 == studies[1].input_sha256:
            raise StudyRefused(Code.SAME_STUDY)
        found = [(s.header, s.input_sha256, s.volume.oriented(ORIENTATION)) for s in studies]
        masks = (choices.inspiration_lobes, choices.expiration_lobes)
        lobes = [
            None if mask is None else read_label_map(mask, volume.grid)
            for mask, (_, _, volume) in zip(masks, found, strict=True)
        ]
        del studies
    with clock.stage(Stage.LUNGS):
        lungs = [segment_lungs(volume, segmenter) for _, _, volume in found]
        inhaled_ml, exhaled_ml = (each.quality.right_ml + each.quality.left_ml for each in lungs)
        if exhaled_ml > inhaled_ml:
            raise StudyRefused(Code.PHASES_SWAPPED, inspiration_ml=inhaled_ml, expiration_ml=exhaled_ml)
        inhaled, exhaled = (
            _measured(*scan, own, phase=phase, lobes=of_lobes, limits=choices.limits)
            for scan, own, phase, of_lobes in zip(found, lungs, (INSPIRATION, EXPIRATION), lobes, strict=True)
        )
    return inhaled, exhaled


def _measured(
    header: StudyHeader,
    input_sha256: str,
    volume: Volume,
    lungs: Lungs,
    *,
    phase: Phase,
    lobes: LabelMap | None,
    limits: Limits,
) -> Breath:
    image = measure_image(volume, lungs.map, limits)
    thick_mm = thickness_mm(header.acquisition, header.grid)
    warnings = told_once(
        [
            *header.warnings,
            *acquisition_warnings(header.acquisition, header.grid, limits=limits, phase=phase),
            *image_warnings(image, limits),
            *lung_warnings(lungs.quality, limits),
            *domain_warnings(header.grid, thick_mm, lungs=lungs.quality, image=image, limits=limits),
        ]
    )
    if phase == EXPIRATION:
        warnings = tuple(warning for warning in warnings if warning.code not in _EXPECTED)
    cells = find_cells(lungs.map, peel_mm=limits.peel_mm, lobes=lobes)
    conditions = Conditions(
        warnings=tuple(warning.code for warning in warnings),
        thickness_mm=thick_mm,
        phase=phase,
        cut_percent=cut_percent(lungs.quality),
        limits=limits,
    )
    wanted = [definition for definition in DEFINITIONS if definition.code in _OF_SCAN[phase]]
    scores = measure(volume, cells, conditions=conditions, definitions=wanted)
    return Breath(header, input_sha256, volume, lungs, cells, warnings, scores)


def _conclude(
    inhaled: Breath, exhaled: Breath, prm: ResponseMap, *, deformation: Deformation, choices: PairChoices
) -> PairResult:
    """Put everything together; the timings are added when the outputs have been written."""
    suspect = paired_scores.deformation_warnings(deformation.quality)
    one, other = inhaled.header, exhaled.header
    warnings = (
        *paired_scores.breath_warnings(
            inhaled.volume_ml, exhaled.volume_ml, stated=other.acquisition.phase_stated
        ),
        *acquisition_differences(
            one.acquisition, other.acquisition,
            thickness_mm=(thickness_mm(one.acquisition, one.grid), thickness_mm(other.acquisition, other.grid)),
        ),
        *suspect,
    )  # fmt: skip
    told = (*inhaled.warnings, *exhaled.warnings, *warnings)
    conditions = PairConditions(
        warnings=tuple(warning.code for warning in told),
        cut_percent=max(cut_percent(breath.lungs.quality) for breath in (inhaled, exhaled)),
        most_cut_percent=choices.limits.most_cut_percent,
        withheld=suspect[0].message if suspect else None,
    )
    both = pair_scores(inhaled.scores, exhaled.scores, prm, conditions=conditions)
    return PairResult(
        status="partial" if suspect else "succeeded_with_warnings" if told else "succeeded",
        inspiration=inhaled.told(),
        expiration=exhaled.told(),
        scores=(*inhaled.scores, *exhaled.scores, *both),
        warnings=warnings,
        deformation=deformation.quality,
        timings={},
        provenance=_provenance(choices),
    )


def _provenance(choices: PairChoices) -> PairProvenance:
    return PairProvenance(
        dras_version=__version__,
        libraries={name: version(name) for name in _LIBRARIES},
        parameters={
            "segmenter": choices.segmenter or "builtin",
            "registration": "diffeomorphic demons, inspiration onto expiration",
            "registration_step_mm": deformable.STEP_MM,
            "registration_levels": " ".join(f"{k}x{n}" for k, n in deformable.LEVELS),
            "registration_smoothing_steps": deformable.SMOOTHING_STEPS,
            "least_dice": paired_scores.LEAST_DICE,
            "least_similarity": paired_scores.LEAST_SIMILARITY,
            "most_folded_percent": paired_scores.MOST_FOLDED_PERCENT,
            **{
                f"{name}_lobes_sha256": sha256_of(mask)
                for name, mask in (
                    (INSPIRATION, choices.inspiration_lobes),
                    (EXPIRATION, choices.expiration_lobes),
                )
                if mask is not None
            },
            **choices.limits.parameters(),
        },
    )
