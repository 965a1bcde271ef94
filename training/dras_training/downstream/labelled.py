"""Scans with label maps of the user's own: which belong together, and the patches a segmenter learns from.

Patches lie anywhere in the lungs, half of them where something is labelled. A case takes as long as any study to
read and align, so that its patches are kept in a file and a call that was stopped goes on.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dras_model.encoder.architecture import PATCH_SIZE
from dras_model.imaging.atlas import Atlas
from dras_model.imaging.label_map import read_label_map
from dras_model.imaging.patches import cut_cubes
from dras_model.imaging.resampling import unit_grid
from dras_model.imaging.volume import LabelMap
from dras_model.outputs.folder import new_file
from dras_model.outputs.npz import ArchiveError, read_npz, write_npz
from dras_model.preparing import Cut, cut
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused, StudyRefused
from dras_training.cases import Case, list_cases
from dras_training.downstream.outcomes import SUBJECT, read_table
from dras_training.downstream.places import cubes_of_lung, locations_of, lung_of_blocks
from dras_training.telling import to_nobody

IMAGES, LABELS = "images", "labels"  # folders of a cohort, and columns of a table
_SUFFIXES = ("", ".nii", ".nii.gz", ".nrrd", ".mha", ".dcm")  # of label maps
_STRIDE_MM = 8  # of the places that patches may begin at
_LABELLED_SHARE = 0.5

Heard = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Pair:
    """A scan and its label map; nothing is opened yet."""

    subject: str
    image: Path
    labels: Path

    def open(self, atlas: Atlas) -> "Labelled":
        """Read and align both. Raises SetupRefused COHORT_INVALID, naming the case and what is wrong with it."""
        try:
            found = cut(self.image, atlas=atlas)
            return Labelled(self.subject, found, read_label_map(self.labels, found.volume.grid))
        except StudyRefused as refused:
            reason = f"case {self.subject}: {refused}"
            raise _invalid(self.labels.parent, reason) from refused


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """A study, aligned, and its label map on the same grid."""

    subject: str
    cut: Cut
    labels: LabelMap


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Patches (n, 32, 32, 32) in HU, their labels, and locations (n, 3); `values` are all of the cases."""

    patches: NDArray[np.int16]
    labels: NDArray[np.uint8]
    locations: NDArray[np.float32]
    values: tuple[int, ...]

    @classmethod
    def joined(cls, parts: Sequence["Samples"]) -> "Samples":
        """Return the samples of several cases."""
        return cls(
            np.concatenate([part.patches for part in parts]),
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.locations for part in parts]),
            tuple(sorted({value for part in parts for value in part.values})),
        )


def list_pairs(source: Path) -> list[Pair]:
    """Return the pairs of a folder with `images` and `labels`, of the same names, or of a table.

    The table has the columns subject, image and labels; paths are relative to it. Raises SetupRefused:
    COHORT_INVALID, TABLE_INVALID.
    """
    if not source.is_dir():
        table = read_table(source)
        columns = (table.column(name) for name in (SUBJECT, "image", LABELS))
        rows = list(zip(*columns, strict=True))
        if any(None in row for row in rows):
            raise table.refused("a row lacks its subject, image or labels")
        return [Pair(str(s), source.parent / str(i), source.parent / str(m)) for s, i, m in rows]
    try:
        there = sorted((source / LABELS).iterdir())
    except OSError as fault:
        raise _invalid(source, f"it has no folder {LABELS}") from fault
    return [_pair(case, there, source) for case in list_cases([source / IMAGES])]


def gather(
    pairs: Sequence[Pair], atlas: Atlas, work: Path, *, patches: int, seed: int, heard: Heard = to_nobody
) -> list[Samples]:
    """Return `patches` of each case, kept in the folder `work`. Raises SetupRefused."""
    found = []
    for done, pair in enumerate(pairs):
        key = f"{atlas.sha256} {pair.image.resolve()} {pair.labels.resolve()} {patches} {seed}"
        kept = work / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npz"
        if not kept.exists():
            drawn = draw(pair.open(atlas), atlas, n=patches, seed=seed)
            with new_file(kept) as draft:
                write_npz(draft, asdict(drawn), compressed=False)
        found.append(_read(kept))
        heard(done + 1, len(pairs))
    return found


def draw(case: Labelled, atlas: Atlas, *, n: int, seed: int) -> Samples:
    """Draw `n` patches of a case: any of its lungs, and as a share of them one that shows a label drawn before."""
    generator = np.random.Generator(np.random.PCG64([seed, len(case.subject), *case.subject.encode()]))
    labels = on_lattice(case.labels)
    lung = lung_of_blocks(case.cut.lungs.map, _STRIDE_MM)
    corners = cubes_of_lung(lung, PATCH_SIZE // _STRIDE_MM) * _STRIDE_MM
    cubes = np.stack([_cube(labels, corner) for corner in corners])
    values = tuple(int(value) for value in np.unique(case.labels.labels) if value)
    shown = {value: np.flatnonzero((cubes == value).any(axis=(1, 2, 3))) for value in values}
    able = [rows for rows in shown.values() if len(rows)]
    chosen = [
        generator.choice(able[int(generator.integers(len(able)))])
        if able and generator.random() < _LABELLED_SHARE
        else generator.integers(len(corners))
        for _ in range(n)
    ]
    at = corners[chosen]
    patches, _ = cut_cubes(case.cut.volume, at, PATCH_SIZE)
    locations = locations_of(at, case.cut.volume.grid, atlas, case.cut.alignment)
    return Samples(patches, cubes[chosen], locations, values)


def on_lattice(labels: LabelMap) -> NDArray[np.uint8]:
    """Return the label (z, y, x) of the voxel that is nearest to each of the scan's 1 mm lattice."""
    wanted = unit_grid(labels.grid).shape
    nearest = [
        np.minimum(np.floor(np.arange(n) / spacing + 0.5).astype(np.int64), size - 1)
        for n, spacing, size in zip(wanted, labels.grid.spacing_mm, labels.grid.shape, strict=True)
    ]
    return labels.labels[np.ix_(*nearest)]


def _pair(case: Case, there: Sequence[Path], source: Path) -> Pair:
    found = [path for path in there if path.name.removeprefix(case.subject).lower() in _SUFFIXES]
    if len(found) != 1 or not isinstance(case.source, Path):
        raise _invalid(source, f"{LABELS} has {len(found)} files for {case.subject}, one is needed")
    return Pair(case.subject, case.source, found[0])


def _invalid(source: Path, reason: str) -> SetupRefused:
    return SetupRefused(Code.COHORT_INVALID, name=source.name, reason=reason)


def _read(kept: Path) -> Samples:
    try:
        arrays = read_npz(kept)
        values = tuple(int(value) for value in arrays["values"])
        return Samples(arrays["patches"], arrays["labels"], arrays["locations"], values)
    except (ArchiveError, KeyError) as fault:
        raise _invalid(kept, "its patches cannot be read; remove the file") from fault


def _cube(labels: NDArray[np.uint8], corner: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return the labels of a cube; beyond the scan is nothing."""
    cube = np.zeros((PATCH_SIZE,) * 3, dtype=np.uint8)
    z, y, x = corner
    found = labels[z : z + PATCH_SIZE, y : y + PATCH_SIZE, x : x + PATCH_SIZE]
    cube[tuple(slice(n) for n in found.shape)] = found
    return cube
