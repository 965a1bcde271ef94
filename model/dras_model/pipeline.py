"""The way of a study: prepare (CPU) -> encode (device) -> finish (CPU), each callable alone.

`extract` runs all three and leaves a folder of outputs, complete or not at all. Nothing here computes;
it says what follows what, how long it took and what is told about it.
"""

import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dras_model import __version__
from dras_model.choices import Choices
from dras_model.encoder.bundle import Bundle
from dras_model.encoder.manifest import Untrained
from dras_model.encoder.runtime import Encoder
from dras_model.encoding import Encoding
from dras_model.imaging.atlas import Atlas
from dras_model.imaging.given_lungs import given_lungs
from dras_model.imaging.label_map import read_label_map
from dras_model.imaging.lungs import Lungs, Segmenter, segment_lungs
from dras_model.imaging.orientation import orientation_warnings
from dras_model.imaging.parallel import one_blas_thread
from dras_model.imaging.patches import LEAST_INSIDE, LEAST_LUNG, Patches, cut_patches
from dras_model.imaging.registration import Alignment, align
from dras_model.imaging.scope import scope_warnings
from dras_model.imaging.segmenters import load_segmenter
from dras_model.imaging.study import StudyHeader, read_header, read_study
from dras_model.imaging.volume import Grid, LabelMap, Volume
from dras_model.outputs.dicom.source import require_described
from dras_model.outputs.extraction import Extraction, write_all, write_result
from dras_model.outputs.folder import new_folder
from dras_model.outputs.report.page import DEFAULT_PAGE, Page
from dras_model.peak_memory import forget_peak, peak_rss_mb
from dras_model.results.codes import Code
from dras_model.results.progress import Report, silent
from dras_model.results.region_codes import REGION_CODES
from dras_model.results.study import (
    REGION_DEFINITIONS,
    Geometry,
    Inspection,
    Provenance,
    Quality,
    Score,
    Stage,
    StudyResult,
    StudyWarning,
)
from dras_model.scores.acquisition import acquisition_warnings
from dras_model.scores.scoring import Scoring, score_scan

COMPLETE = 0.9  # of the patches are valid in a result that is not called partial
_LIBRARIES = ("numpy", "scipy", "SimpleITK", "pydicom", "nibabel")


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


@dataclass(slots=True)
class Clock:
    """Seconds per stage, and the stage's start and end told to whoever listens; one for each study."""

    report: Report = silent
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        forget_peak()

    @contextmanager
    def stage(self, stage: Stage) -> Iterator[None]:
        """Time one stage and report 0 and 1 around it."""
        self.report(stage, 0.0)
        started = time.perf_counter()
        yield
        self.seconds[stage.value] = time.perf_counter() - started
        self.report(stage, 1.0)

    def summary(self) -> dict[str, float]:
        """Seconds per stage so far, their total, and the peak memory in MB since this clock was made."""
        return {**self.seconds, "total": sum(self.seconds.values()), "peak_rss_mb": peak_rss_mb()}


def inspect(source: Path, *, series_uid: str | None = None) -> Inspection:
    """Say which series would be used and what would be warned, without computing. Raises StudyRefused."""
    header = read_header(source, series_uid=series_uid)
    return Inspection(
        series_instance_uid=header.series_uid,
        candidates=header.candidates,
        acquisition=header.acquisition,
        geometry=describe_grid(header.grid),
        warnings=(*header.warnings, *acquisition_warnings(header.acquisition, header.grid)),
    )


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


def encode(
    prepared: Prepared, *, atlas: Atlas, encoder: Encoder, clock: Clock | None = None
) -> NDArray[np.float32]:
    """Embed every patch at its location: (n, width) float32, in the atlas' order."""
    clock = clock or Clock()
    with clock.stage(Stage.ENCODE):
        return encoder.encode(prepared.patches.hu, atlas.locations, report=clock.report)


def finish(
    prepared: Prepared, embeddings: NDArray[np.float32], *, atlas: Atlas, encoder: Encoder
) -> Extraction:
    """Put everything together; the timings are added when the outputs have been written."""
    return Extraction(
        result=Encoding.of(encoder, embeddings, prepared.patches.valid).told_in(
            describe(prepared, encoder.bundle)
        ),
        volume=prepared.volume,
        lungs=prepared.lungs.map,
        patches=prepared.patches,
        atlas=atlas,
        embeddings=embeddings,
        densitometry=prepared.scoring.patches,
    )


def describe(prepared: Prepared, bundle: Bundle) -> StudyResult:
    """Return the result as far as it is known before any patch is encoded; `Encoding` adds what is missing."""
    warnings = [*prepared.warnings, *_weights_warnings(bundle)]
    quality = prepared.patches.quality
    complete = quality.n_valid >= COMPLETE * quality.n_patches
    return StudyResult(
        status="partial" if not complete else "succeeded_with_warnings" if warnings else "succeeded",
        series_instance_uid=prepared.header.series_uid,
        candidates=prepared.header.candidates,
        acquisition=prepared.header.acquisition,
        geometry=describe_grid(prepared.header.grid),
        scores=prepared.scores,
        region_codes={r: code for r, code in REGION_CODES.items() if r in prepared.scoring.cells.members},
        regions={r: text for r, text in REGION_DEFINITIONS.items() if r in prepared.scoring.cells.members},
        warnings=tuple(warnings),
        qc=Quality(
            lungs=prepared.lungs.quality,
            registration=prepared.alignment.quality,
            patches=quality,
            image=prepared.scoring.image,
            harmonisation=prepared.scoring.harmonisation,
        ),
        timings={},
        provenance=_provenance(prepared, bundle),
    )


def extract(
    source: Path,
    out: Path,
    *,
    atlas: Atlas,
    encoder: Encoder,
    choices: Choices | None = None,
    report: Report = silent,
    overwrite: bool = False,
    page: Page = DEFAULT_PAGE,
) -> StudyResult:
    """Run a study from its files to a folder of outputs, which appears complete or not at all.

    `page` is what the report carries beside the result.

    Raises StudyRefused, and SetupRefused where atlas, encoder, segmenter or `out` are at fault.
    """
    encoder.bundle.require_atlas(atlas)
    clock = Clock(report)
    with new_folder(out, overwrite=overwrite) as folder:
        prepared = prepare(source, atlas=atlas, choices=choices, clock=clock)
        embeddings = encode(prepared, atlas=atlas, encoder=encoder, clock=clock)
        extraction = finish(prepared, embeddings, atlas=atlas, encoder=encoder)
        with clock.stage(Stage.OUTPUTS):
            write_all(
                extraction, folder, page=page, series=prepared.header.source, view=prepared.choices.view
            )
        result = extraction.result.model_copy(update={"timings": clock.summary()})
        write_result(result, folder)
    return result


def describe_grid(grid: Grid) -> Geometry:
    """Return a grid as a result tells it."""
    z, y, x = grid.shape
    dz, dy, dx = grid.spacing_mm
    rows = grid.affine[:, [2, 1, 0, 3]]
    return Geometry(
        size_xyz=(x, y, z),
        spacing_xyz_mm=(dx, dy, dz),
        orientation=grid.orientation,
        affine_lps_mm=tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in rows),
    )


def _provenance(prepared: Prepared, bundle: Bundle) -> Provenance:
    choices = prepared.choices
    return Provenance(
        dras_version=__version__,
        libraries={name: version(name) for name in _LIBRARIES},
        device="",
        input_sha256=prepared.input_sha256,
        weights=bundle.provenance,
        parameters={
            **choices.parameters(),
            "patch_least_inside": LEAST_INSIDE,
            "patch_least_lung_fraction": LEAST_LUNG,
        },
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        options=choices.options(),
    )


def _weights_warnings(bundle: Bundle) -> list[StudyWarning]:
    training = bundle.manifest.training
    if isinstance(training, Untrained):
        return [StudyWarning.of(Code.UNTRAINED_WEIGHTS, seed=training.seed)]
    return []
