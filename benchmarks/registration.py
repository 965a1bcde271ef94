"""Registration against ANTs with the authors' settings, on the same masks in the same run: seconds, Dice, distance.

ANTs comes from `antspyx`, which pins an older NumPy than ours: give the interpreter of an environment that
holds it as `--ants-python`. Its run takes a quarter of an hour; `--skip-ants` compares with the figure kept in
`shared/golden` instead. Without `shared/`, the pair is the built-in atlas and a phantom.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from report import RESULTS, keep

from dras_model.imaging.atlas import LEFT, RIGHT, Atlas
from dras_model.imaging.atlas_bundle import PUBLISHED_LEFT, PUBLISHED_RIGHT, import_published
from dras_model.imaging.nifti import load_array, write_nifti
from dras_model.imaging.parallel import one_blas_thread
from dras_model.imaging.phantom import PhantomSpec, make_phantom
from dras_model.imaging.registration import align
from dras_model.imaging.registration_quality import judge
from dras_model.imaging.volume import LabelMap
from dras_model.library import open_atlas

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("DRAS_SHARED", ROOT.parent / "shared"))
KEPT_SECONDS = 818.0  # shared/golden/README.md, 2 cores
# Yu et al. 2024: affine, mutual information, 500 x 250 x 100 iterations, shrink 4 x 2 x 1, sigma 2 x 1 x 0.
ANTS = """
import json, sys, time
import ants
fixed, moving, prefix = sys.argv[1:4]
started = time.perf_counter()
ants.registration([
    "--dimensionality", "3", "--float", "0", "--output", prefix, "--random-seed", "1",
    "--initial-moving-transform", f"[{fixed},{moving},1]", "--transform", "Affine[0.1]",
    "--metric", f"MI[{fixed},{moving},1,32]", "--convergence", "[500x250x100,1e-6,10]",
    "--shrink-factors", "4x2x1", "--smoothing-sigmas", "2x1x0vox",
], None)
seconds = time.perf_counter() - started
transform = ants.read_transform(prefix + "0GenericAffine.mat")
with open(sys.argv[4], "w") as file:
    json.dump({
        "seconds": seconds, "version": ants.__version__, "transform": transform.transform_type,
        "parameters": list(transform.parameters), "fixed_parameters": list(transform.fixed_parameters),
    }, file)
"""


@dataclass(frozen=True)
class Pair:
    """An atlas, a subject's lungs, and ANTs' kept answer where there is one."""

    name: str
    atlas: Atlas
    lungs: LabelMap
    kept: np.ndarray | None


def main() -> None:
    options = _options()
    pair = _golden_pair() if SHARED.is_dir() else _phantom_pair()
    report: dict[str, object] = {
        "pair": pair.name,
    }
    with one_blas_thread():
        ours_s, matrix = _ours(pair, options.runs)
        report["ours"] = {**ours_s, **_figures(pair, matrix)}
        report["phantom_300_slices_of_512"] = _ours(_phantom_pair(), options.runs)[0]
    ants_s = None
    if not options.skip_ants:
        ants_s, version, theirs = _ants(pair, options.ants_python)
        report["ants"] = {**ants_s, "version": version, **_figures(pair, theirs)}
        report["times_less_processor_time"] = ants_s["processor_seconds"] / ours_s["processor_seconds"]
        report["ours"]["corners_from_ants_mm"] = _apart(pair, matrix, theirs)
        if pair.kept is not None:
            report["ants"]["corners_from_kept_mm"] = _apart(pair, theirs, pair.kept)
    if pair.kept is not None:
        report["ants_kept"] = {"seconds": KEPT_SECONDS, **_figures(pair, pair.kept)}
        report["ours"]["corners_from_kept_ants_mm"] = _apart(pair, matrix, pair.kept)
    theirs_s = KEPT_SECONDS if ants_s is None else ants_s["seconds"]
    report["times_faster"] = theirs_s / ours_s["seconds"]
    report["measured_in_this_run"] = ants_s is not None
    print(json.dumps(report, indent=1))
    keep(report, options.out)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=7, help="counted runs of ours, after one that warms up")
    parser.add_argument("--skip-ants", action="store_true", help="compare with the kept figure")
    parser.add_argument(
        "--ants-python", default=sys.executable, help="interpreter with antspyx; this one by default"
    )
    parser.add_argument("--out", type=Path, default=RESULTS / "registration.json")
    return parser.parse_args()


def _golden_pair() -> Pair:
    folder = SHARED / "atlas"
    atlas = import_published(
        folder / "atlas_lung_mask.nii.gz", folder / "atlas_patch_loc.npy", name="copdgene"
    )
    array, grid = load_array(SHARED / "golden" / "lungs_right50_left100.nii.gz")
    labels = np.select([array == PUBLISHED_RIGHT, array == PUBLISHED_LEFT], [RIGHT, LEFT], 0)
    with np.load(SHARED / "golden" / "patches.npz") as kept:
        matrix = _matrix(kept["affine_matrix"], kept["affine_translation"], kept["affine_center"])
    return Pair("copdgene atlas, soft kernel scan", atlas, LabelMap(labels.astype(np.uint8), grid), matrix)


def _phantom_pair() -> Pair:
    lungs = make_phantom(PhantomSpec(seed=1, noise_hu=0.0)).truth.lungs.oriented("LAS")
    return Pair("built-in atlas, phantom 1", open_atlas(), lungs, None)


def _ours(pair: Pair, runs: int) -> tuple[dict[str, float], np.ndarray]:
    """Median seconds on the wall and of the processors, after one run that warms up; a loaded machine
    stretches the first and hardly the second."""
    wall, busy = [], []
    for _ in range(runs + 1):
        started = time.perf_counter(), time.process_time()
        found = align(pair.atlas, pair.lungs)
        wall.append(time.perf_counter() - started[0])
        busy.append(time.process_time() - started[1])
    medians = {"seconds": statistics.median(wall[1:]), "processor_seconds": statistics.median(busy[1:])}
    return medians, found.matrix


def _ants(pair: Pair, interpreter: str) -> tuple[dict[str, float], str, np.ndarray]:
    with tempfile.TemporaryDirectory() as scratch:
        fixed, moving, found = (
            Path(scratch) / name for name in ("atlas.nii.gz", "lungs.nii.gz", "ants.json")
        )
        values = np.array([0, PUBLISHED_RIGHT, PUBLISHED_LEFT, 0], dtype=np.float32)
        write_nifti(fixed, values[pair.atlas.lungs.labels], pair.atlas.lungs.grid)
        write_nifti(moving, values[pair.lungs.labels], pair.lungs.grid)
        subprocess.run([interpreter, "-c", ANTS, fixed, moving, f"{scratch}/ants", found], check=True)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        answer = json.loads(found.read_text("utf-8"))
    parameters, centre = np.array(answer["parameters"]), np.array(answer["fixed_parameters"])
    matrix = _matrix(parameters[:9].reshape(3, 3), parameters[9:], centre)
    seconds = {"seconds": answer["seconds"], "processor_seconds": used.ru_utime + used.ru_stime}
    return seconds, answer["version"], matrix


def _matrix(linear: np.ndarray, translation: np.ndarray, centre: np.ndarray) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = translation + centre - linear @ centre
    return matrix


def _figures(pair: Pair, matrix: np.ndarray) -> dict[str, float]:
    quality = judge(pair.atlas, pair.lungs, matrix)
    return {"dice_right": quality.dice_right, "dice_left": quality.dice_left}


def _apart(pair: Pair, one: np.ndarray, other: np.ndarray) -> dict[str, float]:
    corners = pair.atlas.corners_lps_mm
    difference = corners @ (one - other)[:3, :3].T + (one - other)[:3, 3]
    distance = np.linalg.norm(difference, axis=1)
    return {"mean": float(distance.mean()), "largest": float(distance.max())}


if __name__ == "__main__":
    main()
