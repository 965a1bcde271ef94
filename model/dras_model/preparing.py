"""What the CPU makes of a study before any weights are involved: read, segment, align, cut, measure.

Training takes the patches alone, by `cut`; they are those that serving embeds. Leaves out what is told of it.
"""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from dras_model.choices import Choices
from dras_model.clock import Clock
from dras_model.imaging.atlas import Atlas
from dras_model.imaging.given_lungs import given_lungs
from dras_model.imaging.label_map import read_label_map
from dras_model.imaging.lungs import Lungs, Segmenter, segment_lungs
from dras_model.imaging.orientation import orientation_warnings
from dras_model.imaging.parallel import one_blas_thread
from dras_model.imaging.patches import Patches, cut_patches
from dras_model.imaging.registration import Alignment, align
from dras_model.imaging.scope import scope_warnings
from dras_model.imaging.segmenters import load_segmenter
from dras_model.imaging.study import StudyHeader, read_study
from dras_model.imaging.volume import LabelMap, Volume
from dras_model.outputs.dicom.source import require_described
from dras_model.results.study import Score, Stage, StudyWarning
from dras_model.scores.scoring import Scoring, score_scan


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """What the CPU makes of a study before any weights are involved."""

    choices: Choices
    header: StudyHeader
    input_sha256: str
    volume: Volume
    lungs: Lungs
    alignment: Alignment
    patches: Patches
    scoring: Scoring

    @property
    def scores(self) -> tuple[Score, ...]:
        """Every score of the scan."""
        return self.scoring.scores

    @property
    def warnings(self) -> tuple[StudyWarning, ...]:
        """Every warning of the scan."""
        return self.scoring.warnings


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """A study whose patches are cut, and that nothing has been measured in."""

    header: StudyHeader
    input_sha256: str
    volume: Volume
    lungs: Lungs
    lobes: LabelMap | None
    alignment: Alignment
    patches: Patches


def prepare(
    source: Path,
    *,
    atlas: Atlas,
    choices: Choices | None = None,
    clock: Clock | None = None,
) -> Prepared:
    """Read, segment (by `find_lungs` without another), align, cut and measure. Raises StudyRefused.

    Raises SetupRefused where the segmenter is at fault.
    """
    with one_blas_thread():
        return _prepare(source, atlas, choices=choices or Choices(), clock=clock or Clock())


def cut(source: Path, *, atlas: Atlas, choices: Choices | None = None, clock: Clock | None = None) -> Cut:
    """Do what `prepare` does, but for the scores: patches do not depend on them. Raises as `prepare` does."""
    with one_blas_thread():
        return _cut(source, atlas, choices=choices or Choices(), clock=clock or Clock())


def _prepare(source: Path, atlas: Atlas, *, choices: Choices, clock: Clock) -> Prepared:
    found = _cut(source, atlas, choices=choices, clock=clock)
    with clock.stage(Stage.SCORES):
        scoring = score_scan(
            found.volume,
            found.lungs,
            header=found.header,
            registration=found.alignment.quality,
            patches=found.patches,
            lobes=found.lobes,
            choices=choices.scoring,
        )
    return Prepared(
        choices=choices,
        header=found.header,
        input_sha256=found.input_sha256,
        volume=found.volume,
        lungs=found.lungs,
        alignment=found.alignment,
        patches=found.patches,
        scoring=scoring,
    )


def _cut(source: Path, atlas: Atlas, *, choices: Choices, clock: Clock) -> Cut:
    segmenter = _segmenter(choices)
    with clock.stage(Stage.READ):
        study = read_study(
            source,
            series_uid=choices.series_uid,
            described=choices.dicom,
            report=partial(clock.report, Stage.READ),
        )
        if choices.dicom:
            require_described(study.header, source)
        volume = study.volume.oriented(atlas.orientation)
        lobe_mask = choices.scoring.lobes
        lobes = None if lobe_mask is None else read_label_map(lobe_mask, volume.grid)
    header, input_sha256 = study.header, study.input_sha256
    del study  # the native order of the voxels is not needed any more
    with clock.stage(Stage.LUNGS):
        lungs = segment_lungs(volume, segmenter)
        given = choices.lung_mask is not None
        seen = (*scope_warnings(volume, lungs, given=given), *orientation_warnings(volume, lungs))
        header = replace(header, warnings=(*header.warnings, *seen))
    with clock.stage(Stage.REGISTRATION):
        alignment = align(atlas, lungs.map)
    with clock.stage(Stage.PATCHES):
        patches = cut_patches(volume, lungs, atlas, alignment)
    return Cut(header, input_sha256, volume, lungs, lobes, alignment, patches)


def _segmenter(choices: Choices) -> Segmenter | None:
    """Return what finds the lungs: the mask given, the segmenter named, or None for ours."""
    if choices.lung_mask is not None:
        return given_lungs(choices.lung_mask, choices.lung_labels)
    return None if choices.segmenter is None else load_segmenter(choices.segmenter)
