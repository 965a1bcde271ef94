"""The way of a study: prepare (CPU) -> encode (device) -> finish (CPU), each callable alone.

`extract` runs all three and leaves a folder of outputs, complete or not at all. Nothing here computes;
it says what follows what, how long it took and what is told about it.
"""

import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dras_model import __version__
from dras_model.choices import Choices
from dras_model.clock import Clock
from dras_model.encoder.bundle import Bundle
from dras_model.encoder.runtime import Encoder
from dras_model.encoding import Encoding, weights_warnings
from dras_model.imaging.atlas import Atlas
from dras_model.imaging.patches import LEAST_INSIDE, LEAST_LUNG
from dras_model.inspecting import describe_grid
from dras_model.outputs.extraction import Extraction, write_all, write_result
from dras_model.outputs.folder import new_folder
from dras_model.outputs.report.page import DEFAULT_PAGE, Page
from dras_model.preparing import Prepared, prepare
from dras_model.results.progress import Report, silent
from dras_model.results.region_codes import REGION_CODES
from dras_model.results.study import (
    REGION_DEFINITIONS,
    Provenance,
    Quality,
    Stage,
    StudyResult,
)

COMPLETE = 0.9  # of the patches are valid in a result that is not called partial
_LIBRARIES = ("numpy", "scipy", "SimpleITK", "pydicom", "nibabel")


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
    warnings = [*prepared.warnings, *weights_warnings(bundle)]
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
