"""A model bundle on disk: written whole or not at all, and believed only after every hash was checked.

A flat folder of plain files: `manifest.json` lists the SHA-256 of each file but two, which guard the manifest:
SHA256SUMS (every file, checked by coreutils as well) and, where somebody vouches for the bundle, a signature.
A link, a folder or a file that is not listed is refused. Making the content is the business of `creation`,
running it of `runtime`.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError

from dras_model.encoder import signature
from dras_model.encoder.golden import Golden
from dras_model.encoder.graph import is_self_contained
from dras_model.encoder.heads import Head, parse_head
from dras_model.encoder.manifest import DEFAULT_GRAPH, Manifest, Preprocessing
from dras_model.encoder.signature import PublicKey, SignatureInvalid, SignatureState
from dras_model.encoder.weights import EncoderWeights, WeightsInvalid
from dras_model.imaging.atlas import Atlas
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_model.results.study import WeightsProvenance

MANIFEST, ENCODER, GOLDEN = "manifest.json", DEFAULT_GRAPH, "golden.npz"
WEIGHTS = "weights.safetensors"  # what the graphs were made of; nothing that serves reads it
SUMS, SIGNATURE = "SHA256SUMS", "manifest.json.minisig"
_GUARDS = (MANIFEST, SUMS, SIGNATURE)


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose signatures count, and whether a bundle without one of them is refused."""

    keys: tuple[PublicKey, ...] = ()
    required: bool = False


NOBODY = Trust()


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A verified bundle. Files are read through `read`, which checks them again."""

    path: Path
    manifest: Manifest
    golden: Golden
    sha256: str = ""  # of manifest.json, and so of everything in the bundle
    signature: SignatureState = field(default_factory=SignatureState)
    heads: tuple[Head, ...] = ()

    @classmethod
    def load(cls, path: Path, *, trust: Trust = NOBODY) -> "Bundle":
        """Check what is there, the manifest, its signature, every file, the golden vectors, every graph.

        Raises `SetupRefused` with BUNDLE_NOT_FOUND, BUNDLE_INVALID or BUNDLE_UNTRUSTED.
        """
        if not os.path.isfile(path / MANIFEST):  # noqa: PTH113  Path.is_file raises where it may not look
            raise SetupRefused(Code.BUNDLE_NOT_FOUND, name=str(path))
        found = _plain_files(path)
        content = _read(path, MANIFEST)
        sha256 = hashlib.sha256(content).hexdigest()
        _check_sums_of_manifest(path, sha256)
        signed = _check_signature(path, content, trust) if SIGNATURE in found else SignatureState()
        if trust.required and signed.kind != "trusted":
            raise SetupRefused(Code.BUNDLE_UNTRUSTED, name=path.name, state=signed.summary)
        manifest = _parse_manifest(path, content)
        if GOLDEN not in manifest.files:
            raise bundle_refused(path, f"{MANIFEST} lists no {GOLDEN}")
        for name, expected in manifest.files.items():  # one at a time: a bundle may be larger than memory
            _check_file(path, name, expected)
        _check_sums(path, manifest, sha256, found=found)
        try:
            golden = Golden.from_bytes(_read(path, GOLDEN), rep_dim=manifest.encoder.rep_dim)
        except ValueError as fault:
            raise bundle_refused(path, f"{GOLDEN}{fault}") from fault
        return cls(path, manifest, golden, sha256, signed, _read_heads(path, manifest))

    def read(self, name: str) -> bytes:
        """Return the content of a listed file, as it was verified; BUNDLE_INVALID where it has changed."""
        return _read_checked(self.path, name, self.manifest.files[name])

    def weights(self) -> EncoderWeights | None:
        """Return the weights that the graphs were made of; None where the bundle serves only."""
        if WEIGHTS not in self.manifest.files:
            return None
        try:
            return EncoderWeights.from_bytes(self.manifest.encoder, self.read(WEIGHTS))
        except WeightsInvalid as fault:
            raise bundle_refused(self.path, f"{WEIGHTS}: {fault}") from fault

    @property
    def provenance(self) -> WeightsProvenance:
        """Which weights make the embeddings, by the graph that runs anywhere."""
        return self.provenance_of(self.manifest.graph.file)

    def provenance_of(self, graph: str) -> WeightsProvenance:
        """Which weights make the embeddings, by one of the graphs."""
        return WeightsProvenance(
            name=self.manifest.name,
            training=self.manifest.training.summary,
            encoder_sha256=self.manifest.files[graph],
            atlas=self.manifest.atlas.name,
            atlas_sha256=self.manifest.atlas.sha256,
            bundle_sha256=self.sha256,
            signature=self.signature.summary,
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
        guarded = {**files, MANIFEST: manifest.model_dump_json(indent=2).encode()}
        for name, content in {**guarded, SUMS: sums(digests(guarded))}.items():
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


def sign_bundle(bundle: Bundle, secret: Ed25519PrivateKey) -> None:
    """Put a signature over the manifest of a verified bundle into its folder, in the place of any other.

    At every moment the folder holds a valid bundle. Raises `SetupRefused` (OUTPUT_NOT_WRITABLE).
    """
    content = _read_checked(bundle.path, MANIFEST, bundle.sha256)
    signed = signature.sign(content, secret, comment=f"{bundle.manifest.name} sha256:{bundle.sha256}")
    hashes = {**bundle.manifest.files, MANIFEST: bundle.sha256}
    with_signature = {**hashes, SIGNATURE: hashlib.sha256(signed).hexdigest()}
    folder = bundle.path.resolve()
    try:
        # Beside the folder: a file that is not listed would make it invalid for a moment.
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".sign-") as drafts:
            for name, new in ((SUMS, sums(hashes)), (SIGNATURE, signed), (SUMS, sums(with_signature))):
                draft = Path(drafts, name)
                draft.write_bytes(new)
                draft.chmod(0o644)
                draft.replace(folder / name)
    except OSError as fault:
        reason = fault.strerror or type(fault).__name__
        raise SetupRefused(Code.OUTPUT_NOT_WRITABLE, path=str(bundle.path), reason=reason) from fault


def sums(hashes: Mapping[str, str]) -> bytes:
    """Return the content of SHA256SUMS, as `sha256sum` writes it, in the order of the names."""
    return "".join(f"{hashes[name]}  {name}\n" for name in sorted(hashes)).encode()


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


def _plain_files(path: Path) -> frozenset[str]:
    """Return the names in the folder; BUNDLE_INVALID at a link or a folder, which may lead out of it."""
    names: set[str] = set()
    try:
        entries = sorted(path.iterdir())
    except OSError as fault:
        raise bundle_refused(path, f"the folder cannot be listed ({fault.strerror})") from fault
    for entry in entries:
        if entry.is_symlink() or not entry.is_file():
            raise bundle_refused(path, f"{entry.name} is no plain file; a bundle holds all it needs itself")
        names.add(entry.name)
    return frozenset(names)


def _check_sums_of_manifest(path: Path, sha256: str) -> None:
    """Check the manifest before anything that it says is believed."""
    stated = [line for line in _read(path, SUMS).split(b"\n") if line.endswith(f"  {MANIFEST}".encode())]
    if stated != [f"{sha256}  {MANIFEST}".encode()]:
        raise bundle_refused(path, f"{MANIFEST} has another SHA-256 than {SUMS} gives; copy the bundle again")


def _check_sums(path: Path, manifest: Manifest, sha256: str, *, found: frozenset[str]) -> None:
    """Check that there is no more than is listed, and that SHA256SUMS says the same as the manifest."""
    strange = sorted(found - {*manifest.files, *_GUARDS})
    if strange:
        raise bundle_refused(path, f"{strange[0]} is not listed in {MANIFEST}; remove it from the folder")
    hashes = {**manifest.files, MANIFEST: sha256}
    allowed = [sums(hashes)]  # a signature made by minisign itself is not listed
    if SIGNATURE in found:
        allowed.append(sums({**hashes, SIGNATURE: hashlib.sha256(_read(path, SIGNATURE)).hexdigest()}))
    if _read(path, SUMS) not in allowed:
        reason = f"{SUMS} does not give the SHA-256 of the files that are there; copy the bundle again"
        raise bundle_refused(path, reason)


def _check_signature(path: Path, content: bytes, trust: Trust) -> SignatureState:
    try:
        return signature.check(content, _read(path, SIGNATURE), trusted=trust.keys)
    except SignatureInvalid as fault:
        raise bundle_refused(path, f"{SIGNATURE} does not vouch for {MANIFEST}: {fault}") from fault


def _check_file(path: Path, name: str, sha256: str) -> None:
    if name in _GUARDS:
        raise bundle_refused(path, f"{MANIFEST} lists {name}, which guards it")
    content = _read_checked(path, name, sha256)
    if name.endswith(".onnx") and not is_self_contained(content):
        raise bundle_refused(path, f"{name} is no ONNX model or keeps tensors in another file")


def _parse_manifest(path: Path, content: bytes) -> Manifest:
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as fault:
        first = fault.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        raise bundle_refused(path, f"{MANIFEST}, {where or 'as a whole'}: {reason}") from fault
    asked = manifest.preprocessing
    known = Preprocessing(orientation=asked.orientation)
    for name in Preprocessing.model_fields:
        if getattr(asked, name) != getattr(known, name):
            reason = f"{MANIFEST} asks for {name} {getattr(asked, name)}, here it is {getattr(known, name)}"
            raise bundle_refused(path, reason)
    return manifest


def _read(path: Path, name: str) -> bytes:
    try:
        return (path / name).read_bytes()
    except FileNotFoundError as fault:
        guards = name in _GUARDS
        reason = f"{name} is missing" + ("" if guards else f", though {MANIFEST} lists it")
        raise bundle_refused(path, reason) from fault
    except OSError as fault:
        raise bundle_refused(path, f"{name} cannot be read ({fault.strerror})") from fault


def _read_checked(path: Path, name: str, sha256: str) -> bytes:
    content = _read(path, name)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise bundle_refused(path, f"{name} has another SHA-256 than {MANIFEST} gives; copy the bundle again")
    return content


def _read_heads(path: Path, manifest: Manifest) -> tuple[Head, ...]:
    sizes = (manifest.atlas.n_patches, manifest.encoder.rep_dim)
    try:
        return tuple(parse_head(_read(path, name), sizes=sizes) for name in manifest.heads)
    except ValueError as fault:
        raise bundle_refused(path, f"a head cannot be used: {fault}") from fault
