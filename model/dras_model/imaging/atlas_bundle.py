"""The atlas on disk: a folder with `atlas.json` and `lung_mask.nii.gz`, written at once or not at all.

Every fault of a file is a `SetupRefused` that names the atlas. Nothing of an atlas is made here.
"""

import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dras_model.imaging.atlas import LEFT, PATCH_SIZE, PATCH_STEP, RIGHT, Atlas, AtlasError
from dras_model.imaging.nifti import load_array, write_nifti
from dras_model.imaging.volume import Grid, LabelMap
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused, StudyRefused

MANIFEST, LUNG_MASK = "atlas.json", "lung_mask.nii.gz"
PUBLISHED_RIGHT, PUBLISHED_LEFT = 50, 100  # labels of the DrasCLR authors' atlas


class LabelValues(BaseModel):
    """What the voxels of the mask say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    right: int = RIGHT
    left: int = LEFT


class AtlasManifest(BaseModel):
    """`atlas.json`: what an atlas is called, its corners, and the hashes that say it is this one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal["1.0"] = "1.0"
    name: str = Field(min_length=1)
    version: str = Field(min_length=1)
    orientation: str = Field(description="where x, y and z grow to, as in LAS")
    patch_size: Literal[32] = PATCH_SIZE
    patch_step: Literal[26] = PATCH_STEP
    labels: LabelValues = LabelValues()
    mask_sha256: str = Field(description="of the file lung_mask.nii.gz")
    identity_sha256: str = Field(description="of voxels, geometry and corners")
    corners_xyz: list[tuple[int, int, int]] = Field(description="corner voxels of the patches, in order")


def load_atlas(folder: Path) -> Atlas:
    """Read an atlas folder and verify both hashes; SetupRefused where anything does not hold."""
    if not (folder / MANIFEST).is_file():
        raise SetupRefused(Code.ATLAS_NOT_FOUND, name=folder.name)
    name = folder.name
    try:
        manifest = AtlasManifest.model_validate_json((folder / MANIFEST).read_bytes())
        mask = (folder / LUNG_MASK).read_bytes()
    except ValidationError as fault:
        raise _invalid(name, f"{MANIFEST} has {fault.error_count()} fields at fault") from fault
    except OSError as fault:
        raise _invalid(name, f"its files cannot be read ({fault.strerror})") from fault
    if hashlib.sha256(mask).hexdigest() != manifest.mask_sha256:
        raise _invalid(name, f"{LUNG_MASK} does not match its hash")
    labels, grid = _read_mask(folder / LUNG_MASK, name)
    atlas = _make(
        LabelMap(_relabel(labels, manifest.labels.right, manifest.labels.left), grid),
        np.array(manifest.corners_xyz, dtype=np.int64),
        name=manifest.name,
        version=manifest.version,
    )
    if atlas.sha256 != manifest.identity_sha256:
        raise _invalid(name, "its content does not match its identity")
    if atlas.orientation != manifest.orientation:
        raise _invalid(name, f"it says {manifest.orientation} but its mask is {atlas.orientation}")
    return atlas


def save_atlas(atlas: Atlas, folder: Path) -> None:
    """Write the atlas as `folder`, complete or not at all; the same atlas already there is left alone."""
    if _already_there(atlas, folder):
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as fault:
        raise _not_writable(folder, fault) from fault
    try:
        write_nifti(draft / LUNG_MASK, atlas.lungs.labels, atlas.lungs.grid)
        manifest = _manifest(atlas, (draft / LUNG_MASK).read_bytes())
        (draft / MANIFEST).write_text(
            json.dumps(manifest.model_dump(), separators=(",", ":")) + "\n", "utf-8"
        )
        draft.chmod(0o755)
        draft.rename(folder)
    except OSError as fault:
        # Another process may have written the same atlas in the meantime.
        if not _already_there(atlas, folder):
            raise _not_writable(folder, fault) from fault
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _manifest(atlas: Atlas, mask: bytes) -> AtlasManifest:
    return AtlasManifest(
        name=atlas.name,
        version=atlas.version,
        orientation=atlas.orientation,
        mask_sha256=hashlib.sha256(mask).hexdigest(),
        identity_sha256=atlas.sha256,
        corners_xyz=[(int(x), int(y), int(z)) for x, y, z in atlas.corners],
    )


def import_published(
    lung_mask: Path,
    corners: Path,
    *,
    name: str = "drasclr-copdgene",
    version: str = "1",
    right: int = PUBLISHED_RIGHT,
    left: int = PUBLISHED_LEFT,
) -> Atlas:
    """Make an atlas of the authors' two files: a NIfTI mask with labels, and a `.npy` of (n, 3) corners."""
    for path in (lung_mask, corners):
        if not path.is_file():
            raise SetupRefused(Code.ATLAS_NOT_FOUND, name=path.name)
    try:
        with corners.open("rb") as file:
            voxels = np.lib.format.read_array(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as fault:
        raise _invalid(name, f"{corners.name} is no plain NumPy array") from fault
    labels, grid = _read_mask(lung_mask, name)
    return _make(LabelMap(_relabel(labels, right, left), grid), voxels, name=name, version=version)


def _make(lungs: LabelMap, corners: NDArray[np.generic], *, name: str, version: str) -> Atlas:
    try:
        return Atlas.of(lungs, corners, name=name, version=version)
    except AtlasError as fault:
        raise _invalid(name, str(fault)) from fault


def _read_mask(path: Path, name: str) -> tuple[NDArray[np.float32], Grid]:
    try:
        return load_array(path)
    except StudyRefused as fault:
        raise _invalid(name, f"{path.name}: {fault.fields.get('reason', fault)}") from fault


def _relabel(labels: NDArray[np.generic], right: int, left: int) -> NDArray[np.uint8]:
    """Return RIGHT and LEFT where the given labels are, 0 elsewhere."""
    lungs = np.zeros(labels.shape, dtype=np.uint8)
    lungs[labels == right] = RIGHT
    lungs[labels == left] = LEFT
    return lungs


def _already_there(atlas: Atlas, folder: Path) -> bool:
    """Whether `folder` holds this very atlas; SetupRefused where it holds something else."""
    if not folder.exists():
        return False
    try:
        there = load_atlas(folder)
    except SetupRefused as fault:
        if folder.is_dir() and not any(folder.iterdir()):
            return False
        raise _invalid(folder.name, "its place is taken by something else") from fault
    if there.sha256 != atlas.sha256 or (there.name, there.version) != (atlas.name, atlas.version):
        raise _invalid(folder.name, f"its place is taken by {there.name} {there.version}")
    return True


def _invalid(name: str, reason: str) -> SetupRefused:
    return SetupRefused(Code.ATLAS_INVALID, name=name, reason=reason)


def _not_writable(folder: Path, fault: OSError) -> SetupRefused:
    return SetupRefused(Code.OUTPUT_NOT_WRITABLE, path=folder.name, reason=fault.strerror or "unknown fault")
