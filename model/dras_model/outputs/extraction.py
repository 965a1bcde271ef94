"""All that one run knows, and the list of files it is written to."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.atlas import Atlas
from dras_model.imaging.nifti import write_nifti
from dras_model.imaging.patches import Patches
from dras_model.imaging.volume import LabelMap, Volume
from dras_model.outputs.arrays import feature_map, write_features
from dras_model.outputs.qc_picture import draw_qc
from dras_model.outputs.tables import patches_csv, regions_csv
from dras_model.results.study import StudyResult

RESULT = "result.json"
REGIONS = "regions.csv"
PATCHES = "patches.csv"
FEATURES = "features.npz"
FEATURE_MAP = "feature_map.nii.gz"
QC_PICTURE = "qc.png"


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


def write_all(extraction: Extraction, folder: Path) -> None:
    """Write every output but `result.json`, which waits for the timings."""
    patches, atlas = extraction.patches, extraction.atlas
    (folder / REGIONS).write_text(regions_csv(extraction.result), "utf-8")
    (folder / PATCHES).write_text(patches_csv(patches, extraction.densitometry), "utf-8")
    write_features(
        folder / FEATURES,
        patches,
        atlas,
        embeddings=extraction.embeddings,
        densitometry=extraction.densitometry,
    )
    array, grid = feature_map(extraction.embeddings, patches.valid, atlas)
    write_nifti(folder / FEATURE_MAP, array, grid)
    draw_qc(
        folder / QC_PICTURE,
        result=extraction.result,
        volume=extraction.volume,
        lungs=extraction.lungs,
        patches=patches,
    )


def write_result(result: StudyResult, folder: Path) -> None:
    """Write `result.json`."""
    (folder / RESULT).write_text(result.model_dump_json(indent=1) + "\n", "utf-8")
