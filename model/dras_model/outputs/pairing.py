"""What a pair of scans is written as: `pair.json`, a table, the response map as NIfTI, and a picture."""

from pathlib import Path

from dras_model.imaging.nifti import write_nifti
from dras_model.outputs.prm_picture import PairImages, draw_prm
from dras_model.outputs.tables import csv_text
from dras_model.results.pair import PairResult

PAIR_RESULT = "pair.json"
PAIR_TABLE = "pair.csv"
PRM_MAP = "prm_map.nii.gz"
PRM_PICTURE = "prm.png"


def write_pair(result: PairResult, images: PairImages, folder: Path) -> None:
    """Write every output but `pair.json`, which waits for the timings."""
    (folder / PAIR_TABLE).write_text(pair_csv(result), "utf-8")
    write_nifti(folder / PRM_MAP, images.classes, images.expiration.volume.grid)
    draw_prm(folder / PRM_PICTURE, result, images)


def write_pair_result(result: PairResult, folder: Path) -> None:
    """Write `pair.json`."""
    (folder / PAIR_RESULT).write_text(result.model_dump_json(indent=1) + "\n", "utf-8")


def pair_csv(result: PairResult) -> str:
    """Return one row a score and region; what could not be given is an empty cell beside its reason."""
    rows = [
        (
            score.region.value, score.code, score.phase, "" if score.value is None else repr(score.value),
            score.unit, score.n_voxels, " ".join(code.value for code in score.warnings), score.reason or "",
        )
        for score in result.scores
    ]  # fmt: skip
    return csv_text(("Region", "Score", "Phase", "Value", "Unit", "NVoxels", "Warnings", "Reason"), rows)
