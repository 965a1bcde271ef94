"""What weights are judged on: held-out people, people drawn twice, real scans, and real scans given emphysema.

None of it depends on weights. What takes seconds a scan to make is kept on disk as patches of the locations that
are judged, so that other weights are judged on the same voxels. Encoding is the business of `systems`, judging that
of `questions` and `robustness`.
"""

import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dras_model.imaging.atlas import LEFT, RIGHT, Atlas
from dras_model.imaging.patches import Patches, cut_cubes, native_boxes
from dras_model.imaging.phantom import Emphysema, PhantomSpec, make_phantom
from dras_model.imaging.phantom.spec import EmphysemaKind, Kernel
from dras_model.imaging.phantom.truth import region_mask
from dras_model.imaging.resampling import unit_grid
from dras_model.outputs.npz import ArchiveError, read_npz, write_npz
from dras_model.preparing import Cut
from dras_model.preparing import cut as cut_study
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_model.results.study import Region
from dras_training.evaluation.inserting import Host
from dras_training.people import Person, invent
from dras_training.prepare import write_phantom
from dras_training.recipe import Phantoms
from dras_training.store import PatchStore

# As `representation.regions_of` numbers them.
REGIONS = tuple(
    Region(f"{side}_{third}") for side in ("right", "left") for third in ("basal", "middle", "apical")
)
SHIFT_MM = 2
# What is drawn twice: as `base` says, and with one thing changed. A kernel and a thickness are other
# reconstructions of the same rays; more noise and another breath are other scans, of other noise.
BASE = {"kernel": Kernel.SOFT, "noise_hu": 10.0, "thickness_mm": 1.25, "inflation": 1.0}
CHANGES: dict[str, dict[str, object]] = {
    "kernel": {"kernel": Kernel.SHARP},
    "noise": {"noise_hu": 25.0, "repeat": 1},
    "thickness": {"thickness_mm": 5.0},
    "inflation": {"inflation": 0.92, "repeat": 1},
}
SHIFT = "shift"  # of every patch by SHIFT_MM along every axis, in the base itself
# Of one amount for all kinds, so that the amount does not tell the kind; and more where it fits.
AMOUNTS = ((Region.WHOLE, 0.06), (Region.WHOLE, 0.03), (Region.APICAL, 0.02), (Region.BASAL, 0.02))
SEVERE = ((Region.WHOLE, 0.2),)  # a cyst under the pleura needs pleura
KINDS = (EmphysemaKind.CENTRILOBULAR, EmphysemaKind.PARASEPTAL, EmphysemaKind.PANLOBULAR)


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Patches (n, 32, 32, 32) int16 HU of one scan at some locations, which are `valid`, and what is true of them.

    `share` (n,) is how much of a patch's lung is emphysema, `regions` the same in % of REGIONS; NaN: not known.
    """

    patches: NDArray[np.int16]
    valid: NDArray[np.bool_]
    share: NDArray[np.float64]
    regions: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """A folder in which samples lie by what they were made of; made anew where one cannot be read."""

    folder: Path
    at: NDArray[np.int64]

    def sample(self, name: str, *made_of: object, make: Callable[[], Sample]) -> Sample:
        """Return the sample of that name, made now where it is not there. Raises OSError."""
        identity = hashlib.sha256(repr((made_of, self.at.tolist())).encode()).hexdigest()[:12]
        path = self.folder / f"{name}-{identity}.npz"
        try:
            return Sample(**read_npz(path))
        except (ArchiveError, TypeError):
            made = make()
            self.folder.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f".{path.name}")
            arrays = {
                "patches": made.patches,
                "valid": made.valid,
                "share": made.share,
                "regions": made.regions,
            }
            write_npz(draft, arrays, compressed=True)
            draft.replace(path)
            return made

    def regions(self, person: Person) -> NDArray[np.float64]:
        """Return the emphysema of a person in % of each of REGIONS (6,), by counting the voxels of the phantom."""
        if not person.spec.emphysema.fraction:
            return np.zeros(len(REGIONS))
        path = self.folder / "regions" / f"{hashlib.sha256(repr(person.spec).encode()).hexdigest()[:16]}.json"
        try:
            return np.array(json.loads(path.read_text("utf-8")))
        except (OSError, ValueError):
            truth = make_phantom(person.spec).truth
            found = [truth.measure(region).emphysema_percent for region in REGIONS]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(found), "utf-8")
            return np.array(found)


def people_of(store: PatchStore, cohort: Phantoms, *, skip: int, most: int) -> tuple[list[int], list[Person]]:
    """Return up to `most` people of a store after the first `skip`: the subjects of their first scans, and who.

    Raises SetupRefused COHORT_INVALID where one is nobody of the cohort.
    """
    known = {person.name: person for person in invent(cohort)}
    first = np.flatnonzero(store.people == np.arange(len(store.people)))
    rows = first[skip : skip + most].tolist()
    names = [store.stored[row].subject for row in rows]
    strangers = [name for name in names if name not in known]
    if strangers or not names:
        reason = (
            f"{strangers[0]} is none of the recipe's people" if strangers else "nobody is left to judge by"
        )
        raise SetupRefused(Code.COHORT_INVALID, name=store.path.name, reason=reason)
    return rows, [known[name] for name in names]


def drawn_twice(person: Person, atlas: Atlas, kept: Kept) -> dict[str, Sample]:
    """Return the sample of a person drawn as BASE, of each of CHANGES, and of SHIFT."""
    base = replace(person.spec, **BASE)  # type: ignore[arg-type]
    once = cache(lambda: cut_phantom(base, atlas))
    moved = partial(_sampled_later, once, kept.at, moved_mm=SHIFT_MM)
    found = {
        "base": kept.sample(f"{person.name}.base", base, make=partial(_sampled_later, once, kept.at)),
        SHIFT: kept.sample(f"{person.name}.{SHIFT}", base, SHIFT_MM, make=moved),
    }
    for name, change in CHANGES.items():
        spec = replace(base, **change)  # type: ignore[arg-type]
        make = partial(_sampled_later, partial(cut_phantom, spec, atlas), kept.at)
        found[name] = kept.sample(f"{person.name}.{name}", spec, make=make)
    return found


def of_study(study: Path, atlas: Atlas, kept: Kept) -> Sample:
    """Return the sample of a real scan."""
    return kept.sample(study.name, study.name, make=lambda: sampled(cut_study(study, atlas=atlas), kept.at))


def insertions() -> list[Emphysema]:
    """Return what is put into each real scan, one at a time; the first is nothing."""
    same = [Emphysema(kind, fraction, place) for kind in KINDS for place, fraction in AMOUNTS]
    more = [Emphysema(kind, fraction, place) for kind in KINDS[::2] for place, fraction in SEVERE]
    return [Emphysema(), *same, *more]


def with_insertions(study: Path, atlas: Atlas, kept: Kept) -> list[Sample]:
    """Return the samples of a real scan with each of `insertions`, aligned as it is without."""
    opened = cache(lambda: _opened(study, atlas))
    return [
        kept.sample(
            f"{study.name}.{seed:02}",
            study.name,
            asked,
            make=partial(_inserted, opened, asked, seed, kept.at),
        )
        for seed, asked in enumerate(insertions())
    ]


def _opened(study: Path, atlas: Atlas) -> tuple[Cut, Host]:
    cut = cut_study(study, atlas=atlas)
    return cut, Host.of(cut.volume, cut.lungs.map)


def _inserted(
    opened: Callable[[], tuple[Cut, Host]], asked: Emphysema, seed: int, at: NDArray[np.int64]
) -> Sample:
    cut, host = opened()
    if not asked.fraction:
        return sampled(cut, at, emphysema=np.zeros(cut.volume.hu.shape, dtype=np.bool_))
    inserted = host.with_emphysema(asked, seed=seed)
    corners = np.rint(unit_grid(cut.volume.grid).to_index(cut.patches.corner_mm[at])).astype(np.int64)
    hu, _ = cut_cubes(inserted.volume, corners, cut.patches.hu.shape[1])
    return replace(sampled(cut, at, emphysema=inserted.emphysema), patches=hu)


def cut_phantom(spec: PhantomSpec, atlas: Atlas) -> Cut:
    """Return the patches of a phantom, which goes the way of a patient's files."""
    with tempfile.TemporaryDirectory(prefix="dras-phantom-") as folder:
        return cut_study(write_phantom(spec, Path(folder)), atlas=atlas)


def sampled(
    cut: Cut, at: NDArray[np.int64], *, emphysema: NDArray[np.bool_] | None = None, moved_mm: int = 0
) -> Sample:
    """Return the patches at locations `at`, moved along every axis; `emphysema` (z, y, x) is on the scan's grid."""
    patches, grid = cut.patches, cut.volume.grid
    hu = patches.hu[at]
    if moved_mm:
        corners = np.rint(unit_grid(grid).to_index(patches.corner_mm[at])).astype(np.int64)
        hu, _ = cut_cubes(cut.volume, corners + moved_mm, hu.shape[1])
    unknown = np.full(len(at), np.nan), np.full(len(REGIONS), np.nan)
    share, regions = unknown if emphysema is None else _shares(cut, at, emphysema)
    return Sample(hu, patches.valid[at], share, regions)


def _shares(
    cut: Cut, at: NDArray[np.int64], emphysema: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    labels = cut.lungs.map.labels
    lung = (labels == RIGHT) | (labels == LEFT)
    every = cut.patches
    chosen = Patches(every.hu[at], every.inside[at], every.lung_fraction[at], every.corner_mm[at])
    boxes = native_boxes(chosen, cut.volume.grid)
    share = [_percent(emphysema[box], lung[box]) / 100.0 for box in boxes]
    masks = [region_mask(labels, region) for region in REGIONS]
    return np.array(share), np.array([_percent(emphysema, mask) for mask in masks])


def _percent(emphysema: NDArray[np.bool_], lung: NDArray[np.bool_]) -> float:
    n = int(np.count_nonzero(lung))
    return 100.0 * np.count_nonzero(emphysema & lung) / n if n else float("nan")


def _sampled_later(cut: Callable[[], Cut], at: NDArray[np.int64], *, moved_mm: int = 0) -> Sample:
    return sampled(cut(), at, moved_mm=moved_mm)
