"""All that one run knows, and the files it is written to, in two groups.

What needs the scan is written by `write_images`, on the machine that holds the volume, and needs no embedding.
Everything else is made of a `StoredResult` (`exports`), on that machine or another, in the run or later,
and needs no volume.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.atlas import Atlas
from dras_model.imaging.patches import Patches
from dras_model.imaging.source_series import SourceSeries
from dras_model.imaging.volume import LabelMap, Volume
from dras_model.outputs.exports import DEFAULTS, write_exports
from dras_model.outputs.features import Features
from dras_model.outputs.key_images import take_key_images, write_key_images
from dras_model.outputs.masks import Masks, write_masks
from dras_model.outputs.names import KEY_IMAGES, QC_PICTURE, RESULT
from dras_model.outputs.qc_picture import draw_qc
from dras_model.outputs.report.page import DEFAULT_PAGE, Page
from dras_model.outputs.stored import Parts, StoredResult
from dras_model.outputs.view import take_view, write_view
from dras_model.results.study import StudyResult


@dataclass(frozen=True, slots=True, eq=False)
class Extraction:
    """A result with its arrays. `volume` and `lungs` share one native grid in the atlas' orientation.

    `densitometry` holds a column (n,) a name, in the order of the patches.
    """

    result: StudyResult
    volume: Volume
    lungs: LabelMap
    patches: Patches
    atlas: Atlas
    embeddings: NDArray[np.float32]
    densitometry: Mapping[str, NDArray[np.float32]]

    def stored(self, folder: Path | None = None, *, page: Page = DEFAULT_PAGE) -> StoredResult:
        """Return what is kept of this run, from memory; `folder` is where its files lie, `page` for a report."""
        features = Features.of(
            self.patches, self.atlas, embeddings=self.embeddings, densitometry=self.densitometry
        )
        masks = Masks.of(self.volume, self.lungs, self.result.geometry)
        return StoredResult(self.result, folder, Parts(masks.lungs, masks.low_attenuation, features), page)


def write_all(
    extraction: Extraction,
    folder: Path,
    *,
    page: Page = DEFAULT_PAGE,
    series: SourceSeries | None = None,
    view: bool = False,
) -> None:
    """Write every default output but `result.json`, which waits for the timings; `page` is for the report.

    The DICOM objects are written where the `series` they belong to is given, a copy to look at with `view`.
    """
    stored = extraction.stored(folder, page=page)
    write_images(
        folder,
        told=extraction.result,
        volume=extraction.volume,
        lungs=extraction.lungs,
        patches=extraction.patches,
        masks=Masks(stored.lungs, stored.low_attenuation),
        view=view,
    )
    write_exports(DEFAULTS, stored, folder)
    if series is not None:
        from dras_model.outputs.dicom.forms import write_all_objects  # noqa: PLC0415 - takes 0.2 s, only where wanted

        write_all_objects(stored, series, folder)


def write_images(
    folder: Path,
    *,
    told: StudyResult,
    volume: Volume,
    lungs: LabelMap,
    patches: Patches,
    masks: Masks,
    view: bool = False,
) -> None:
    """Write what is made of the scan itself: its label maps and pictures. No later output needs the volume.

    `told` may be what is known before any patch is encoded: no embedding and no timing of it is shown. `volume`
    and `lungs` are in the atlas' orientation. Label maps are compressed, outside the interpreter, while a picture
    is drawn. `view` adds a small copy of the scan to look at (`outputs.view`).
    """
    with ThreadPoolExecutor(max_workers=1) as beside:
        written = beside.submit(write_masks, folder, masks)
        low = masks.low_attenuation.oriented(lungs.grid.orientation)
        write_key_images(folder / KEY_IMAGES, take_key_images(volume, lungs, low))
        shown = beside.submit(write_view, folder, take_view(volume, lungs, low)) if view else None
        draw_qc(folder / QC_PICTURE, result=told, volume=volume, lungs=lungs, patches=patches)
        written.result()
        if shown is not None:
            shown.result()


def write_result(result: StudyResult, folder: Path) -> None:
    """Write `result.json`."""
    (folder / RESULT).write_text(result.model_dump_json(indent=1) + "\n", "utf-8")
