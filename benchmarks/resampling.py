"""Cubic B-spline resampling to 1 mm against SimpleITK's `sitkBSpline`, in turns within one run.

Prints seconds, their ratio and the largest difference in HU before rounding, and writes them as JSON.
"""

import argparse
import statistics
import time

import numpy as np
import SimpleITK as sitk
from report import keep, options_of_size

from dras_model.imaging.parallel import one_blas_thread
from dras_model.imaging.phantom import PhantomSpec, make_phantom
from dras_model.imaging.resampling import resample_box, unit_grid
from dras_model.imaging.volume import Volume

ASKED_RATIO, ASKED_HU = 5.0, 0.01


def main() -> None:
    options = _options()
    volume = make_phantom(PhantomSpec(seed=1, n_slices=options.slices, matrix=options.matrix)).volume
    ours_s, itk_s = [], []
    for _ in range(options.runs):
        ours, seconds = _timed(lambda: _ours(volume))
        ours_s.append(seconds)
        theirs, seconds = _timed(lambda: _itk(volume))
        itk_s.append(seconds)
    inside = tuple(
        slice(0, int((n - 1) * size)) for n, size in zip(volume.hu.shape, volume.grid.spacing_mm, strict=True)
    )  # beyond the last sample SimpleITK gives its default value
    report = {
        "shape_zyx": volume.hu.shape,
        "ours_s": statistics.median(ours_s),
        "itk_s": statistics.median(itk_s),
        "ratio": statistics.median(b / a for a, b in zip(ours_s, itk_s, strict=True)),
        "asked_ratio": ASKED_RATIO,
        "largest_difference_hu": float(np.abs(ours - theirs)[inside].max()),
        "asked_difference_hu": ASKED_HU,
    }
    for name, value in report.items():
        print(f"{name:24s} {value if not isinstance(value, float) else round(value, 5)}")
    keep(report, options.out)


def _options() -> argparse.Namespace:
    parser = options_of_size(__doc__, "resampling")
    return parser.parse_args()


def _timed(work):
    started = time.perf_counter()
    found = work()
    return found, time.perf_counter() - started


def _ours(volume: Volume) -> np.ndarray:
    with one_blas_thread():
        return resample_box(volume, np.zeros(3, np.int64), np.array(unit_grid(volume.grid).shape))


def _itk(volume: Volume) -> np.ndarray:
    image = sitk.GetImageFromArray(volume.hu)
    image.SetSpacing(volume.grid.spacing_mm[::-1])
    size = unit_grid(volume.grid).shape[::-1]
    direction = (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0)
    resampled = sitk.Resample(
        image, size, sitk.Transform(), sitk.sitkBSpline, (0.0,) * 3, (1.0,) * 3, direction, -1024.0
    )
    return sitk.GetArrayFromImage(resampled)


if __name__ == "__main__":
    main()
