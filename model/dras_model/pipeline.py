"""The way of a study: prepare (CPU) -> encode (device) -> finish (CPU), each callable alone.

`extract` runs all three and leaves a folder of outputs, complete or not at all. Nothing here computes;
it says what follows what, how long it took and what is told about it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dras_model import __version__
from dras_model.encoder.manifest import Untrained
from dras_model.encoder.runtime import Encoder
from dras_model.imaging.atlas import Atlas
from dras_model.imaging.lungs import Lungs, Segmenter, segment_lungs
from dras_model.imaging.parallel import one_blas_thread
from dras_model.imaging.patches import LEAST_INSIDE, LEAST_LUNG, Patches, cut_patches
from dras_model.imaging.registration import Alignment, align
from dras_model.imaging.segmenters import load_segmenter
from dras_model.imaging.study import StudyHeader, read_header, read_study
from dras_model.imaging.volume import Grid, Volume
from dras_model.outputs.extraction import Extraction, write_all, write_result
from dras_model.outputs.folder import new_folder
from dras_model.peak_memory import forget_peak, peak_rss_mb
from dras_model.results.codes import Code
from dras_model.results.progress import Report, silent
from dras_model.results.study import (
    Geometry,
    Inspection,
    Provenance,
    Quality,
    Score,
    Stage,
    StudyResult,
    StudyWarning,
)
from dras_model.scores.acquisition import (
    acquisition_warnings,
    lung_warnings,
    registration_warnings,
    thickness_mm,
)
from dras_model.scores.densitometry import measure

COMPLETE = 0.9  # of the patches are valid in a result that is not called partial
_LIBRARIES = ("numpy", "scipy", "SimpleITK", "pydicom", "nibabel")


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """What the CPU makes of a study before any weights are involved."""

    header: StudyHeader
    input_sha256: str
    volume: Volume
    lungs: Lungs
    alignment: Alignment
    patches: Patches
    scores: tuple[Score, ...]
    warnings: tuple[StudyWarning, ...]


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
        geometry=_geometry(header.grid),
        warnings=(*header.warnings, *acquisition_warnings(header.acquisition, header.grid)),
    )


def prepare(
    source: Path,
    *,
    atlas: Atlas,
    series_uid: str | None = None,
    segmenter: Segmenter | None = None,
    clock: Clock | None = None,
) -> Prepared:
    """Read, segment (by `find_lungs` without another), align, cut and measure. Raises StudyRefused."""
    with one_blas_thread():
        return _prepare(source, atlas, series_uid, segmenter, clock or Clock())


def _prepare(
    source: Path, atlas: Atlas, series_uid: str | None, segmenter: Segmenter | None, clock: Clock
) -> Prepared:
    with clock.stage(Stage.READ):
        study = read_study(source, series_uid=series_uid)
        volume = study.volume.oriented(atlas.orientation)
    header, input_sha256 = study.header, study.input_sha256
    del study  # the native order of the voxels is not needed any more
    with clock.stage(Stage.LUNGS):
        lungs = segment_lungs(volume, segmenter)
    with clock.stage(Stage.REGISTRATION):
        alignment = align(atlas, lungs.map)
    with clock.stage(Stage.PATCHES):
        patches = cut_patches(volume, lungs, atlas, alignment)
    with clock.stage(Stage.SCORES):
        warnings = (
            *header.warnings,
            *acquisition_warnings(header.acquisition, header.grid),
            *lung_warnings(lungs.quality),
            *registration_warnings(alignment.quality),
        )
        scores = measure(
            volume,
            lungs,
            warnings=[warning.code for warning in warnings],
            thickness_mm=thickness_mm(header.acquisition, header.grid),
        )
    return Prepared(header, input_sha256, volume, lungs, alignment, patches, scores, warnings)


def encode(
    prepared: Prepared, *, atlas: Atlas, encoder: Encoder, clock: Clock | None = None
) -> NDArray[np.float32]:
    """Embed every patch at its location: (n, width) float32, in the atlas' order."""
    clock = clock or Clock()
    with clock.stage(Stage.ENCODE):
        return encoder.encode(prepared.patches.hu, atlas.locations, report=clock.report)


def finish(
    prepared: Prepared,
    embeddings: NDArray[np.float32],
    *,
    atlas: Atlas,
    encoder: Encoder,
    segmenter: str = "builtin",
) -> Extraction:
    """Put everything together; the timings are added when the outputs have been written."""
    warnings = [*prepared.warnings, *_weights_warnings(encoder)]
    n_valid = prepared.patches.quality.n_valid
    complete = n_valid >= COMPLETE * len(atlas.corners)
    result = StudyResult(
        status="partial" if not complete else "succeeded_with_warnings" if warnings else "succeeded",
        series_instance_uid=prepared.header.series_uid,
        candidates=prepared.header.candidates,
        acquisition=prepared.header.acquisition,
        geometry=_geometry(prepared.header.grid),
        scores=prepared.scores,
        warnings=tuple(warnings),
        qc=Quality(
            lungs=prepared.lungs.quality,
            registration=prepared.alignment.quality,
            patches=prepared.patches.quality,
        ),
        timings={},
        provenance=_provenance(prepared, encoder, segmenter),
    )
    return Extraction(
        result=result,
        volume=prepared.volume,
        lungs=prepared.lungs.map,
        patches=prepared.patches,
        atlas=atlas,
        embeddings=embeddings,
    )


def extract(
    source: Path,
    out: Path,
    *,
    atlas: Atlas,
    encoder: Encoder,
    series_uid: str | None = None,
    segmenter: str | None = None,
    report: Report = silent,
    overwrite: bool = False,
) -> StudyResult:
    """Run a study from its files to a folder of outputs, which appears complete or not at all.

    `segmenter` names another one than ours, as `module:function`. Raises StudyRefused, and SetupRefused
    where atlas, encoder, segmenter or `out` are at fault.
    """
    encoder.bundle.require_atlas(atlas)
    segment = None if segmenter is None else load_segmenter(segmenter)
    clock = Clock(report)
    with new_folder(out, overwrite=overwrite) as folder:
        prepared = prepare(source, atlas=atlas, series_uid=series_uid, segmenter=segment, clock=clock)
        embeddings = encode(prepared, atlas=atlas, encoder=encoder, clock=clock)
        extraction = finish(
            prepared, embeddings, atlas=atlas, encoder=encoder, segmenter=segmenter or "builtin"
        )
        with clock.stage(Stage.OUTPUTS):
            write_all(extraction, folder)
        result = extraction.result.model_copy(update={"timings": clock.summary()})
        write_result(result, folder)
    return result


def _geometry(grid: Grid) -> Geometry:
    z, y, x = grid.shape
    dz, dy, dx = grid.spacing_mm
    rows = grid.affine[:, [2, 1, 0, 3]]
    return Geometry(
        size_xyz=(x, y, z),
        spacing_xyz_mm=(dx, dy, dz),
        orientation=grid.orientation,
        affine_lps_mm=tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in rows),
    )


def _provenance(prepared: Prepared, encoder: Encoder, segmenter: str) -> Provenance:
    runtime, runtime_version = encoder.runtime
    return Provenance(
        dras_version=__version__,
        libraries={**{name: version(name) for name in _LIBRARIES}, runtime: runtime_version},
        device=encoder.device,
        input_sha256=prepared.input_sha256,
        weights=encoder.bundle.provenance,
        parameters={
            "segmenter": segmenter,
            "patch_least_inside": LEAST_INSIDE,
            "patch_least_lung_fraction": LEAST_LUNG,
        },
    )


def _weights_warnings(encoder: Encoder) -> list[StudyWarning]:
    training = encoder.bundle.manifest.training
    if isinstance(training, Untrained):
        return [StudyWarning.of(Code.UNTRAINED_WEIGHTS, seed=training.seed)]
    return []
