"""Holds `dras pair` against what is true of phantoms that breathe out in a known way.

Of each person: how far points of the expiration's lungs are found from where they are in inspiration, what the
registration says of itself, and how far the response map is from counting the noise-free voxels. Of strangers laid
onto each other: what the registration says then. Prints a table and writes JSON.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from report import RESULTS, keep

from dras_model.imaging.deformable import Scan, register
from dras_model.imaging.lungs import segment_lungs
from dras_model.imaging.parallel import one_blas_thread
from dras_model.imaging.phantom import Emphysema, PhantomSpec
from dras_model.imaging.phantom.breath import BreathPair, make_breath_pair
from dras_model.imaging.phantom.spec import EmphysemaKind
from dras_model.imaging.phantom_dicom import SeriesOptions, write_series
from dras_model.imaging.volume import Volume
from dras_model.paired import pair
from dras_model.results.pair import ResponseClass
from dras_model.scores.paired import classify

CODES = {
    "PRM-normal": ResponseClass.NORMAL,
    "PRM-fSAD": ResponseClass.SMALL_AIRWAYS,
    "PRM-emphysema": ResponseClass.EMPHYSEMA,
    "PRM-emptying": ResponseClass.EMPTYING,
}


def main() -> None:
    options = _options()
    cases = [_case(seed, noise_hu, options) for seed in options.seeds for noise_hu in options.noise_hu]
    report = {
        "size": [options.slices, options.matrix, options.matrix],
        "pairs": cases,
        "strangers": _strangers(options),
    }
    for case in (*cases, report["strangers"]):
        print(json.dumps(case))
    keep(report, options.out)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--matrix", type=int, default=512)
    parser.add_argument("--seeds", type=int, nargs="+", default=[7, 8])
    parser.add_argument("--noise-hu", type=float, nargs="+", default=[0.0, 15.0])
    parser.add_argument("--kind", type=EmphysemaKind, default=EmphysemaKind.CENTRILOBULAR)
    parser.add_argument("--out", type=Path, default=RESULTS / "paired.json")
    return parser.parse_args()


def _made(seed: int, noise_hu: float, options: argparse.Namespace) -> BreathPair:
    spec = PhantomSpec(
        seed=seed, n_slices=options.slices, matrix=options.matrix, noise_hu=noise_hu,
        emphysema=Emphysema(options.kind, 0.10),
    )  # fmt: skip
    return make_breath_pair(spec, trapped=0.15)


def _case(seed: int, noise_hu: float, options: argparse.Namespace) -> dict[str, object]:
    made = _made(seed, noise_hu, options)
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        write_series(made.inspiration.volume, place / "insp", SeriesOptions(seed=1))
        write_series(made.expiration, place / "exp", SeriesOptions(seed=2, description="CHEST EXP"))
        result = pair(place / "insp", place / "exp", place / "out")
    lung = made.lungs.labels > 0
    truth = classify(made.inhaled_hu.astype(np.float32), made.exhaled_hu.astype(np.float32), lung)
    n = np.bincount(truth.ravel(), minlength=len(ResponseClass))
    true = {code: 100.0 * n[label] / n[1 : ResponseClass.UNCLASSIFIED].sum() for code, label in CODES.items()}
    return {
        "seed": seed,
        "noise_hu": noise_hu,
        "timings": result.timings,
        "quality": result.deformation.model_dump(),
        "landmarks_mm": _landmarks(made),
        "prm_true": {code: round(value, 3) for code, value in true.items()},
        "prm_error": {code: round(result.score(code).value - value, 3) for code, value in true.items()},
    }


def _scan(volume: Volume) -> Scan:
    oriented = volume.oriented("LAS")
    return Scan(oriented, segment_lungs(oriented).map)


def _landmarks(made: BreathPair) -> dict[str, float]:
    """Distances of 5,000 lung points from where they truly are, and before any deformation but the box's."""
    with one_blas_thread():
        started = time.perf_counter()
        deformation = register(_scan(made.expiration), _scan(made.inspiration.volume))
        seconds = time.perf_counter() - started
    inside = np.argwhere(made.lungs.labels > 0)
    chosen = np.random.default_rng(0).choice(len(inside), 5000, replace=False)
    points = made.lungs.grid.to_world(inside[chosen])
    error = np.linalg.norm(deformation.to_moving(points) - made.breath.to_inspiration(points), axis=1)
    return {
        "mean": float(error.mean()),
        "median": float(np.median(error)),
        "percentile_95": float(np.percentile(error, 95)),
        "most": float(error.max()),
        "seconds_with_lungs": seconds,
    }


def _strangers(options: argparse.Namespace) -> dict[str, object]:
    """One person's expiration and another's inspiration."""
    one, other = (_made(seed, 15.0, options) for seed in (options.seeds[0], options.seeds[0] + 20))
    quality = register(_scan(one.expiration), _scan(other.inspiration.volume)).quality
    return {"strangers": True, "quality": quality.model_dump()}


if __name__ == "__main__":
    main()
