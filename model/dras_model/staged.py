"""A study in three steps that may lie hours and machines apart: prepare (CPU), encode (device), finish (CPU).

What one step leaves for the next is a folder, a draft: the patches, the arrays and the result as far as they are
known, and the files that are made of the scan itself. It names nobody, and holds JSON, arrays and pictures, nothing
that runs when it is read. The files of the result are those of `pipeline.extract`, byte for byte but for timings.
DICOM objects need the headers' patient, who is in no draft: the last step reads them of the scan again.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dras_model.choices import Choices
from dras_model.clock import Clock
from dras_model.encoder.batches import Study
from dras_model.encoder.bundle import Bundle, bundle_refused
from dras_model.encoder.runtime import Encoder
from dras_model.encoding import Encoding
from dras_model.imaging.atlas import Atlas
from dras_model.outputs.exports import DEFAULTS, write_exports
from dras_model.outputs.extraction import write_images, write_result
from dras_model.outputs.features import Features, FeaturesError, read_features, write_features
from dras_model.outputs.masks import Masks
from dras_model.outputs.report.page import DEFAULT_PAGE, Page
from dras_model.outputs.stored import Parts, StoredResult
from dras_model.peak_memory import forget_peak, peak_rss_mb
from dras_model.pipeline import describe
from dras_model.preparing import prepare
from dras_model.results.progress import Report, silent
from dras_model.results.study import Record, Stage, StudyResult

RESULT, ARRAYS, PATCHES = "draft.json", "arrays.npz", "patches.npy"
EMBEDDINGS, ENCODED = "embeddings.npy", "encoding.json"
IMAGES = "files"  # of the scan, as they go into the result

_Document = TypeVar("_Document", bound=Record)


class DraftDamaged(ValueError):
    """A draft is not what the step before has written."""


class _Encoded(Record):
    """What the second step knows beside the embeddings."""

    encoding: Encoding
    seconds: float
    peak_rss_mb: float


def prepare_draft(
    source: Path,
    draft: Path,
    *,
    atlas: Atlas,
    bundle: Bundle,
    choices: Choices | None = None,
    report: Report = silent,
) -> None:
    """Do all that needs the scan, and write the new folder `draft`. Raises StudyRefused, SetupRefused."""
    bundle.require_atlas(atlas)
    choices = choices or Choices()
    clock = Clock(report)
    prepared = prepare(source, atlas=atlas, choices=choices, clock=clock)
    started = time.perf_counter()
    told = describe(prepared, bundle)
    images = draft / IMAGES
    images.mkdir(parents=True)
    write_images(
        images,
        told=told,
        volume=prepared.volume,
        lungs=prepared.lungs.map,
        patches=prepared.patches,
        masks=Masks.of(prepared.volume, prepared.lungs.map, told.geometry),
        view=choices.view,
    )
    report(Stage.SCORES, 1.0)  # the last sign of life came before the pictures
    np.save(draft / PATCHES, prepared.patches.hu, allow_pickle=False)
    nothing_yet = np.empty((len(prepared.patches.hu), 0), dtype=np.float32)
    arrays = Features.of(
        prepared.patches, atlas, embeddings=nothing_yet, densitometry=prepared.scoring.patches
    )
    write_features(draft / ARRAYS, arrays)
    clock.seconds[Stage.OUTPUTS] = time.perf_counter() - started
    (draft / RESULT).write_text(
        told.model_copy(update={"timings": clock.summary()}).model_dump_json(), "utf-8"
    )


def patches_of(draft: Path, bundle: Bundle) -> Study:
    """Return what of a draft goes through the encoder; the patches stay on the disk until they are needed.

    Raises DraftDamaged, and SetupRefused BUNDLE_INVALID where it was prepared for other weights of the same name.
    """
    weights = _read(draft / RESULT, StudyResult).provenance.weights
    if weights.bundle_sha256 != bundle.sha256:
        raise bundle_refused(bundle.path, "the study was prepared for another bundle of this name")
    try:
        return Study(np.load(draft / PATCHES, mmap_mode="r", allow_pickle=False), _arrays(draft).locations)
    except ValueError as fault:
        raise DraftDamaged("the patches are not what they were") from fault


def encode_drafts(
    drafts: Sequence[Path], encoded: Sequence[Path], *, encoder: Encoder, report: Report = silent
) -> None:
    """Encode the patches of all drafts together; each becomes a new folder of `encoded`, without its patches.

    Raises DraftDamaged, SetupRefused, and what the runtime raises.
    """
    forget_peak()
    report(Stage.ENCODE, 0.0)
    started = time.perf_counter()
    studies = [patches_of(draft, encoder.bundle) for draft in drafts]
    embeddings = encoder.encode_many(studies, report=report)
    seconds = time.perf_counter() - started
    n_patches = sum(len(study.patches) for study in studies)
    for draft, folder, rows in zip(drafts, encoded, embeddings, strict=True):
        told = _Encoded(
            encoding=Encoding.of(encoder, rows, _arrays(draft).valid),
            seconds=seconds * len(rows) / n_patches,
            peak_rss_mb=peak_rss_mb(),
        )
        _take_over(draft, folder)
        np.save(folder / EMBEDDINGS, rows, allow_pickle=False)
        (folder / ENCODED).write_text(told.model_dump_json(), "utf-8")


def finish_draft(
    draft: Path,
    out: Path,
    *,
    page: Page = DEFAULT_PAGE,
    source: Path | None = None,
    report: Report = silent,
) -> StudyResult:
    """Write all outputs of an encoded draft to the new folder `out`, DICOM objects where `source` is given.

    Raises DraftDamaged; StudyRefused where `source` is not the scan of the draft.
    """
    clock = Clock(report)
    encoded = _read(draft / ENCODED, _Encoded)
    told = _read(draft / RESULT, StudyResult)
    result = encoded.encoding.told_in(told)
    with clock.stage(Stage.OUTPUTS):
        out.mkdir()
        _link_all(draft / IMAGES, out)
        kept = StoredResult(result, out)
        parts = Parts(
            kept.lungs, kept.low_attenuation, replace(_arrays(draft), embeddings=_embeddings(draft))
        )
        write_exports(DEFAULTS, StoredResult(result, out, parts, page), out)
        if source is not None:
            write_exports(("dicom",), StoredResult(result, out, parts, page), out, source=source)
    result = result.model_copy(update={"timings": _timings(told.timings, encoded, clock.summary())})
    write_result(result, out)
    return result


def _timings(prepared: dict[str, float], encoded: _Encoded, finished: dict[str, float]) -> dict[str, float]:
    """Return seconds by stage, in their order, and what they come to; the peak is that of the largest process."""
    told = {name: prepared[name] for name in prepared if name not in (Stage.OUTPUTS, "total", "peak_rss_mb")}
    told[Stage.ENCODE.value] = encoded.seconds
    told[Stage.OUTPUTS.value] = prepared[Stage.OUTPUTS] + finished[Stage.OUTPUTS]
    peak = max(prepared["peak_rss_mb"], encoded.peak_rss_mb, finished["peak_rss_mb"])
    return {**told, "total": sum(told.values()), "peak_rss_mb": peak}


def _take_over(draft: Path, folder: Path) -> None:
    (folder / IMAGES).mkdir(parents=True)
    _link_all(draft / IMAGES, folder / IMAGES)
    for name in (RESULT, ARRAYS):
        os.link(draft / name, folder / name)


def _link_all(source: Path, target: Path) -> None:
    """Give every file of a folder a second name: nothing is written to it any more."""
    for path in source.iterdir():
        os.link(path, target / path.name)


def _arrays(draft: Path) -> Features:
    try:
        return read_features(draft / ARRAYS)
    except FeaturesError as fault:
        raise DraftDamaged(f"{ARRAYS}: {fault}") from fault


def _embeddings(draft: Path) -> NDArray[np.float32]:
    try:
        found: NDArray[np.float32] = np.load(draft / EMBEDDINGS, allow_pickle=False)
    except ValueError as fault:
        raise DraftDamaged(f"{EMBEDDINGS}: it cannot be read") from fault
    return found


def _read(path: Path, kind: type[_Document]) -> _Document:
    try:
        return kind.model_validate_json(path.read_bytes())
    except ValueError as fault:
        raise DraftDamaged(f"{path.name}: it cannot be read") from fault
