"""Times the stages of scoring on a phantom of the size asked for, and their memory with few regions and with all.

Wall time and processor time of each stage, medians of interleaved runs, beside the plain way (a mask and a sort for
each region) in the same run. "a whole study" is what the pipeline calls: every score, raw and harmonised. Prints a
table and writes JSON. Limit the cores from outside (`taskset -c 0,1`).
"""

import argparse
import statistics
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
from report import keep, options_of_size

from dras_model.imaging.atlas import LEFT, RIGHT
from dras_model.imaging.lungs import AIRWAY, Lungs
from dras_model.imaging.parallel import one_blas_thread
from dras_model.imaging.patches import Patches, cut_patches
from dras_model.imaging.phantom import Emphysema, PhantomSpec, make_phantom
from dras_model.imaging.phantom.reconstruction import Reconstruction, reconstruct
from dras_model.imaging.phantom.spec import EmphysemaKind
from dras_model.imaging.registration import align
from dras_model.imaging.study import StudyHeader
from dras_model.imaging.volume import LabelMap, Volume
from dras_model.library import open_atlas
from dras_model.results.study import Acquisition, LungQuality, Region, RegistrationQuality
from dras_model.scores.densitometry import Conditions, measure
from dras_model.scores.harmonisation import harmonise
from dras_model.scores.image_quality import measure_image
from dras_model.scores.patches import measure_patches
from dras_model.scores.regions import Cells, find_cells
from dras_model.scores.scoring import ScoringChoices, score_scan

QUALITY = LungQuality(
    right_ml=1, left_ml=1, airway_ml=0, mean_hu=-850, height_mm=100, touches_top_percent=0,
    touches_bottom_percent=0, touches_side_percent=0,
)  # fmt: skip

ALIGNED = RegistrationQuality(
    dice_right=0.92, dice_left=0.9, determinant=1.0, rotation_degrees=5.0, coverage=1.0, matrix=()
)


def main() -> None:
    options = _options()
    volume, lungs, patches = _scan(options.slices, options.matrix)
    lobes = _lobes(lungs)
    cells = find_cells(lungs, peel_mm=10.0)
    # Half a unit of HU off the whole ones, as an interpolated or harmonised image has it.
    between = Volume(volume.hu + np.float32(0.3), volume.grid)
    stages: dict[str, Callable[[], object]] = {
        "regions": lambda: find_cells(lungs, peel_mm=10.0),
        "scores": lambda: measure(volume, cells, conditions=Conditions()),
        "image quality": lambda: measure_image(volume, lungs),
        "patches": lambda: measure_patches(volume, cells, patches),
        "regions with lobes": lambda: find_cells(lungs, peel_mm=10.0, lobes=lobes),
        "scores of values that are not whole": lambda: measure(between, cells, conditions=Conditions()),
        "harmonisation": lambda: harmonise(volume, lungs),
        "a whole study without harmonisation": lambda: _whole_study(volume, lungs, patches, harmonised=False),
        "a whole study": lambda: _whole_study(volume, lungs, patches, harmonised=True),
        "the plain way, histogram scores only": lambda: _plainly(volume, cells),
    }
    seconds = _timed(stages, options.runs)
    parts = ("regions", "scores", "image quality", "patches")
    report = {
        "size_zyx": volume.grid.shape,
        "lung_megavoxels": round(float(np.isin(lungs.labels, (RIGHT, LEFT)).sum()) / 1e6, 1),
        "runs": options.runs,
        "wall_seconds": {name: wall for name, (wall, _) in seconds.items()},
        "processor_seconds": {name: used for name, (_, used) in seconds.items()},
        "all_scores_wall_seconds": sum(seconds[name][0] for name in parts),
        "all_scores_processor_seconds": sum(seconds[name][1] for name in parts),
        "with_harmonisation_over_without": seconds["a whole study"][0]
        / seconds["a whole study without harmonisation"][0],
        "peak_mb": {
            "16 regions": _peak_mb(lambda: _score(volume, lungs, None)),
            "21 regions": _peak_mb(lambda: _score(volume, lungs, lobes)),
        },
    }
    _print(report)
    keep(report, options.out)


def _options() -> argparse.Namespace:
    parser = options_of_size(__doc__, "scores", runs=5)
    return parser.parse_args()


def _scan(n_slices: int, matrix: int) -> tuple[Volume, LabelMap, Patches]:
    emphysema = Emphysema(EmphysemaKind.CENTRILOBULAR, 0.15)
    phantom = make_phantom(
        PhantomSpec(seed=3, n_slices=n_slices, matrix=matrix, emphysema=emphysema, noise_hu=0.0)
    )
    pixel_mm = phantom.volume.grid.spacing_mm[2]
    scan = reconstruct(phantom.truth.hu, pixel_mm, Reconstruction("standard", 10.0), seed=3)
    volume = Volume(scan, phantom.volume.grid).oriented("LAS")
    lungs, airway = (part.oriented("LAS") for part in (phantom.truth.lungs, phantom.truth.airway))
    labels = np.where((lungs.labels == 0) & (airway.labels > 0), AIRWAY, lungs.labels).astype(np.uint8)
    lungs = LabelMap(labels, volume.grid)
    atlas = open_atlas()
    return volume, lungs, cut_patches(volume, Lungs(lungs, QUALITY), atlas, align(atlas, lungs))


def _whole_study(volume: Volume, lungs: LabelMap, patches: Patches, *, harmonised: bool) -> None:
    """Everything that is said of one scan, as the pipeline has it said."""
    header = StudyHeader("1.2", (), Acquisition(), volume.grid, ())
    found = score_scan(
        volume, Lungs(lungs, QUALITY), header=header, registration=ALIGNED, patches=patches,
        choices=ScoringChoices(harmonise=harmonised),
    )  # fmt: skip
    if harmonised and all(score.value is None for score in found.scores if score.image == "harmonised"):
        raise RuntimeError("nothing was harmonised: the time would be that of giving up")


def _lobes(lungs: LabelMap) -> LabelMap:
    """Five lobes by height: only their number matters here."""
    height = np.linspace(0.0, 1.0, lungs.grid.shape[0])[:, None, None]
    left = np.where(height > 0.5, 1, 2)
    right = np.select([height > 0.6, height > 0.4], [3, 4], 5)
    labels = np.select([lungs.labels == LEFT, lungs.labels == RIGHT], [left, right])
    return LabelMap(labels.astype(np.uint8), lungs.grid)


def _score(volume: Volume, lungs: LabelMap, lobes: LabelMap | None) -> None:
    cells = find_cells(lungs, peel_mm=10.0, lobes=lobes)
    measure(volume, cells, conditions=Conditions())
    measure_image(volume, lungs)


def _plainly(volume: Volume, cells: Cells) -> dict[Region, tuple[float, ...]]:
    """A mask and a partition for each region."""
    hu = volume.hu[cells.box]
    found = {}
    for region, members in cells.members.items():
        values = hu[np.isin(cells.index, members)]
        low = tuple(float(np.mean(values <= limit)) for limit in (-950, -925, -910, -856))
        centred = values.astype(np.float64) - values.mean(dtype=np.float64)
        moments = tuple(float(np.mean(centred**order)) for order in (2, 3, 4))
        found[region] = (*low, *moments, *np.percentile(values, [15.0, 50.0]).tolist())
    return found


def _timed(stages: dict[str, Callable[[], object]], runs: int) -> dict[str, tuple[float, float]]:
    """Medians of wall and processor seconds, stages taking turns."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in stages}
    with one_blas_thread():
        for _ in range(runs + 1):
            for name, stage in stages.items():
                wall, used = time.perf_counter(), time.process_time()
                stage()
                taken[name].append((time.perf_counter() - wall, time.process_time() - used))
    return {
        name: (
            statistics.median(wall for wall, _ in pairs[1:]),
            statistics.median(used for _, used in pairs[1:]),
        )
        for name, pairs in taken.items()
    }


def _peak_mb(work: Callable[[], object]) -> float:
    """Most memory that arrays made by `work` held at once (what ITK holds is not counted)."""
    tracemalloc.start()
    work()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return round(peak / 1e6, 1)


def _print(report: dict[str, object]) -> None:
    size = " x ".join(str(n) for n in report["size_zyx"])
    print(f"{size}, {report['lung_megavoxels']} million lung voxels")
    for name, wall in report["wall_seconds"].items():
        print(f"  {name:<38}{wall:7.2f} s wall {report['processor_seconds'][name]:7.2f} s processor")
    print(
        f"  {'all scores':<38}{report['all_scores_wall_seconds']:7.2f} s wall"
        f" {report['all_scores_processor_seconds']:7.2f} s processor"
    )
    for regions, peak in report["peak_mb"].items():
        print(f"  peak of arrays, {regions:<22}{peak:7.0f} MB")


if __name__ == "__main__":
    main()
