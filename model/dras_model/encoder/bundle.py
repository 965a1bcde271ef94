"""A model bundle on disk: written whole or not at all, and believed only after every hash was checked.

`manifest.json`, `encoder.onnx` and `golden.npz`; more files (heads) may be listed. What the manifest does
not list is never read. Making the content is the business of `creation`, running it of `runtime`.
"""

import hashlib
import io
import os
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from dras_model.encoder.architecture import LOCATION_SIZE, PATCH_SIZE
from dras_model.encoder.graph import is_self_contained
from dras_model.encoder.manifest import Manifest, Preprocessing
from dras_model.imaging.atlas import Atlas
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_model.results.study import WeightsProvenance

MANIFEST, ENCODER, GOLDEN = "manifest.json", "encoder.onnx", "golden.npz"


@dataclass(frozen=True, slots=True, eq=False)
class Golden:
    """Inputs with known answers: patches (n, 32, 32, 32) int16 HU, locations (n, 3), embeddings (n, rep_dim)."""

    patches: NDArray[np.int16]
    locations: NDArray[np.float32]
    embeddings: NDArray[np.float32]

    def to_bytes(self) -> bytes:
        """Return the content of `golden.npz`; the same vectors give the same bytes."""
        stream = io.BytesIO()
        np.savez_compressed(
            stream, patches=self.patches, locations=self.locations, embeddings=self.embeddings
        )
        return stream.getvalue()


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A verified bundle. Files are read through `read`, which checks them again."""

    path: Path
    manifest: Manifest
    golden: Golden

    @classmethod
    def load(cls, path: Path) -> "Bundle":
        """Check the manifest, the presence and hash of every file, the golden vectors and the graph's form.

        Raises `SetupRefused` with BUNDLE_NOT_FOUND or BUNDLE_INVALID.
        """
        if not (path / MANIFEST).is_file():
            raise SetupRefused(Code.BUNDLE_NOT_FOUND, name=str(path))
        manifest = _read_manifest(path)
        for name in (ENCODER, GOLDEN):
            if name not in manifest.files:
                raise bundle_refused(path, f"{MANIFEST} lists no {name}")
        contents = {name: _read_checked(path, name, sha256) for name, sha256 in manifest.files.items()}
        if not is_self_contained(contents[ENCODER]):
            raise bundle_refused(path, f"{ENCODER} is no ONNX model or keeps tensors in another file")
        return cls(path, manifest, _read_golden(path, contents[GOLDEN], rep_dim=manifest.encoder.rep_dim))

    def read(self, name: str) -> bytes:
        """Return the content of a listed file, as it was verified; BUNDLE_INVALID where it has changed."""
        return _read_checked(self.path, name, self.manifest.files[name])

    @property
    def provenance(self) -> WeightsProvenance:
        """Which weights make the embeddings."""
        return WeightsProvenance(
            name=self.manifest.name,
            training=self.manifest.training.summary,
            encoder_sha256=self.manifest.files[ENCODER],
            atlas=self.manifest.atlas.name,
            atlas_sha256=self.manifest.atlas.sha256,
        )

    def require_atlas(self, atlas: Atlas) -> None:
        """Raise `SetupRefused` (BUNDLE_ATLAS_MISMATCH) unless the weights belong to exactly this atlas."""
        if atlas.sha256 != self.manifest.atlas.sha256:
            expected = f"{self.manifest.atlas.name} ({self.manifest.atlas.sha256[:12]})"
            raise SetupRefused(
                Code.BUNDLE_ATLAS_MISMATCH,
                name=self.manifest.name,
                expected=expected,
                found=f"{atlas.name} ({atlas.sha256[:12]})",
            )


def write_bundle(destination: Path, manifest: Manifest, *, files: Mapping[str, bytes]) -> None:
    """Write the files and the manifest to a folder beside `destination`, then rename it: all or nothing.

    A folder that exists and is not empty is never replaced; if it is this very bundle, another process was
    faster and there is nothing to do. Raises `SetupRefused` (OUTPUT_NOT_WRITABLE).
    """
    if manifest.files != digests(files):
        raise ValueError("the manifest lists other files than those to write")
    staging: Path | None = None
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{destination.name}-", dir=destination.parent))
        for name, content in {**files, MANIFEST: manifest.model_dump_json(indent=2).encode()}.items():
            (staging / name).write_bytes(content)
        staging.chmod(0o755)  # mkdtemp lets only its owner in; a service may run as someone else
        os.replace(staging, destination)  # noqa: PTH105  Path.replace would return a path nobody needs
    except OSError as fault:
        if _holds(destination, manifest):
            return
        reason = fault.strerror or type(fault).__name__
        raise SetupRefused(Code.OUTPUT_NOT_WRITABLE, path=str(destination), reason=reason) from fault
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)


def digests(files: Mapping[str, bytes]) -> dict[str, str]:
    """Return the SHA-256 of each content, as `Manifest.files` lists them."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def bundle_refused(path: Path, reason: str) -> SetupRefused:
    """Return the refusal of the bundle at `path`, for the caller to raise."""
    return SetupRefused(Code.BUNDLE_INVALID, name=path.name, reason=reason)


def _holds(path: Path, manifest: Manifest) -> bool:
    try:
        return Bundle.load(path).manifest == manifest
    except SetupRefused:
        return False


def _read_manifest(path: Path) -> Manifest:
    try:
        manifest = Manifest.model_validate_json((path / MANIFEST).read_bytes())
    except OSError as fault:
        raise bundle_refused(path, f"{MANIFEST} cannot be read ({fault.strerror})") from fault
    except ValidationError as fault:
        first = fault.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise bundle_refused(path, f"{MANIFEST}, {where or 'as a whole'}: {first['msg']}") from fault
    asked = manifest.preprocessing
    known = Preprocessing(orientation=asked.orientation)
    for field in Preprocessing.model_fields:
        if getattr(asked, field) != getattr(known, field):
            reason = (
                f"{MANIFEST} asks for {field} {getattr(asked, field)}, here it is {getattr(known, field)}"
            )
            raise bundle_refused(path, reason)
    return manifest


def _read_checked(path: Path, name: str, sha256: str) -> bytes:
    try:
        content = (path / name).read_bytes()
    except FileNotFoundError as fault:
        raise bundle_refused(path, f"{name} is missing, though {MANIFEST} lists it") from fault
    except OSError as fault:
        raise bundle_refused(path, f"{name} cannot be read ({fault.strerror})") from fault
    if hashlib.sha256(content).hexdigest() != sha256:
        raise bundle_refused(path, f"{name} has another SHA-256 than {MANIFEST} gives; copy the bundle again")
    return content


def _read_golden(path: Path, content: bytes, *, rep_dim: int) -> Golden:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            golden = Golden(stored["patches"], stored["locations"], stored["embeddings"])
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile) as fault:
        raise bundle_refused(path, f"{GOLDEN} does not hold patches, locations and embeddings") from fault
    n = len(golden.patches)
    expected: dict[str, tuple[NDArray[np.generic], tuple[int, ...], type[np.generic]]] = {
        "patches": (golden.patches, (n, PATCH_SIZE, PATCH_SIZE, PATCH_SIZE), np.int16),
        "locations": (golden.locations, (n, LOCATION_SIZE), np.float32),
        "embeddings": (golden.embeddings, (n, rep_dim), np.float32),
    }
    for name, (array, shape, dtype) in expected.items():
        if n == 0 or array.shape != shape or array.dtype != dtype:
            found = f"{array.shape} {array.dtype}"
            raise bundle_refused(path, f"{GOLDEN}: {name} is {found}, {shape} {np.dtype(dtype)} is needed")
    return golden
