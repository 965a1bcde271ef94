"""Where an installation keeps its atlases, bundles and trusted keys, and how one is chosen by name or path.

What is not named is made on first use and kept: the built-in atlas and the bundle of the product's weights, which
know phantoms only; for another atlas, untrained weights. Both say so in every result. A bundle knows its atlas by
content, so that naming a bundle is enough.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from platformdirs import user_data_path
from pydantic import ValidationError

from dras_model.encoder.bundle import Bundle, Trust
from dras_model.encoder.creation import create_untrained
from dras_model.encoder.manifest import SCHEMA_VERSION, AtlasIdentity
from dras_model.encoder.signature import PublicKey, SignatureInvalid
from dras_model.encoder.starter import NAME as STARTER
from dras_model.encoder.starter import Starter, create_starter, packed
from dras_model.imaging.atlas import Atlas
from dras_model.imaging.atlas_bundle import MANIFEST as ATLAS_MANIFEST
from dras_model.imaging.atlas_bundle import AtlasManifest, load_atlas, save_atlas
from dras_model.imaging.builtin_atlas import VERSION, builtin_atlas
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused

BUILTIN = "builtin"
DEFAULT_SEED = 0
REQUIRE_SIGNATURE = "DRAS_REQUIRE_SIGNATURE"
_KEY_SUFFIX = ".pub"


def library_folder() -> Path:
    """`$DRAS_LIBRARY`, or the user's data folder."""
    configured = os.environ.get("DRAS_LIBRARY")
    return Path(configured) if configured else user_data_path("dras")


def atlases_folder() -> Path:
    """Where atlases live, one folder a name."""
    return library_folder() / "atlases"


def bundles_folder() -> Path:
    """Where model bundles live, one folder a name."""
    return library_folder() / "bundles"


def keys_folder() -> Path:
    """Where the public keys live that are trusted, one file a name."""
    return library_folder() / "keys"


def names_in(folder: Path) -> list[str]:
    """List the entries of one of the folders above; what is being written is left out."""
    try:
        return sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError:
        return []


def open_weights(bundle: str | Path | None, atlas: str | Path | None) -> tuple[Atlas, Bundle]:
    """Open a bundle and the atlas it belongs to: the one that is named, else the one of its content.

    Without a bundle, the atlas' default one. Raises SetupRefused.
    """
    if bundle is None or atlas is not None:
        opened = open_atlas(atlas)
        return opened, open_bundle(bundle, opened)
    chosen = load_bundle(bundle)
    return find_atlas(chosen), chosen


def open_atlas(choice: str | Path | None = None) -> Atlas:
    """Open an atlas by path or by name; the built-in one for None. Raises SetupRefused."""
    if choice is None or str(choice) == BUILTIN:
        return _builtin()
    path = _resolve(choice, atlases_folder())
    if path is None:
        raise SetupRefused(Code.ATLAS_NOT_FOUND, name=str(choice))
    try:
        return load_atlas(path)
    except OSError as fault:  # a folder that may not be entered
        raise SetupRefused(Code.ATLAS_NOT_FOUND, name=str(choice)) from fault


def find_atlas(bundle: Bundle) -> Atlas:
    """Return the atlas of the library whose content the bundle names. Raises SetupRefused."""
    return atlas_named(bundle.manifest.atlas, by=bundle.path.name)


def atlas_named(wanted: AtlasIdentity, *, by: str) -> Atlas:
    """Return the atlas of the library that has this content, named by a bundle `by`. Raises SetupRefused."""
    for name in names_in(atlases_folder()):
        if _stated_identity(atlases_folder() / name) == wanted.sha256:
            return load_atlas(atlases_folder() / name)
    builtin = open_atlas()  # of this version; it may not be in the library yet
    if builtin.sha256 == wanted.sha256:
        return builtin
    raise SetupRefused(
        Code.BUNDLE_ATLAS_MISSING,
        name=by,
        atlas=wanted.name,
        sha256=wanted.sha256[:12],
        folder=str(atlases_folder()),
    )


def open_bundle(choice: str | Path | None, atlas: Atlas) -> Bundle:
    """Open a bundle by path or by name and check that it belongs to `atlas`.

    For None, that of the product's weights where they belong to `atlas`, else an untrained one; made if it is not
    there yet. Raises SetupRefused.
    """
    if choice is None:
        starter = packed()
        choice = _starter(starter, atlas) if starter.atlas.sha256 == atlas.sha256 else _untrained(atlas)
    bundle = load_bundle(choice)
    bundle.require_atlas(atlas)
    return bundle


def open_untrained(atlas: Atlas) -> Bundle:
    """Open the untrained bundle of an atlas, made if it is not there yet. Raises SetupRefused."""
    return load_bundle(_untrained(atlas))


def load_bundle(choice: str | Path, *, needs_signature: bool = True) -> Bundle:
    """Open a bundle by path or by name, whatever its atlas; who is about to sign it needs no signature.

    Raises SetupRefused.
    """
    path = _resolve(choice, bundles_folder())
    if path is None and str(choice) == STARTER:
        path = _starter(packed(), open_atlas())
    if path is None:
        raise SetupRefused(Code.BUNDLE_NOT_FOUND, name=str(choice))
    try:
        trusted = trust()
        return Bundle.load(path, trust=trusted if needs_signature else Trust(trusted.keys))
    except OSError as fault:  # a folder that may not be entered
        raise SetupRefused(Code.BUNDLE_NOT_FOUND, name=str(path)) from fault


def trust() -> Trust:
    """Read which signatures count here, and from `$DRAS_REQUIRE_SIGNATURE` whether one is needed.

    Anything but an empty value or a no asks for signatures: a slip of the pen must not let go of them.
    Raises SetupRefused (KEY_INVALID).
    """
    required = os.environ.get(REQUIRE_SIGNATURE, "").strip().lower() not in {"", "0", "no", "false", "off"}
    names = [name for name in names_in(keys_folder()) if name.endswith(_KEY_SUFFIX)]
    return Trust(tuple(read_public_key(keys_folder() / name) for name in names), required)


def read_public_key(path: Path) -> PublicKey:
    """Read a public key, named as its file is. Raises SetupRefused (KEY_INVALID)."""
    try:
        return PublicKey.parse(path.read_bytes(), name=path.name.removesuffix(_KEY_SUFFIX))
    except OSError as fault:
        reason = f"the file cannot be read ({fault.strerror})"
        raise SetupRefused(Code.KEY_INVALID, name=path.name, reason=reason) from fault
    except SignatureInvalid as fault:
        raise SetupRefused(Code.KEY_INVALID, name=path.name, reason=str(fault)) from fault


def add_trusted_key(key: PublicKey) -> Path:
    """Keep a public key under its name; one of that name is never replaced. Raises SetupRefused."""
    place = keys_folder() / f"{key.name}{_KEY_SUFFIX}"
    with _kept_in(place.parent):
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            with place.open("xb") as file:
                file.write(key.to_bytes())
        except FileExistsError as fault:
            if read_public_key(place) != key:
                reason = "another key is trusted under this name; choose another name, or remove that key"
                raise SetupRefused(Code.KEY_INVALID, name=key.name, reason=reason) from fault
    return place


def remove_trusted_key(name: str) -> None:
    """Forget a trusted key. Raises SetupRefused (KEY_INVALID) where there is none of this name."""
    place = keys_folder() / f"{name}{_KEY_SUFFIX}"
    if place.name not in names_in(keys_folder()):
        raise SetupRefused(Code.KEY_INVALID, name=name, reason="no key of this name is trusted here")
    with _kept_in(place.parent):
        place.unlink()


# The schema is in the names, so that a library of an earlier version is added to, not fallen over.
def _starter(starter: Starter, atlas: Atlas) -> Path:
    name = f"{STARTER}-{starter.sha256[:8]}-{SCHEMA_VERSION}"
    return _made(name, lambda path: create_starter(path, starter, atlas))


def _untrained(atlas: Atlas) -> Path:
    name = f"untrained-{DEFAULT_SEED}-{atlas.name}-{atlas.sha256[:8]}-{SCHEMA_VERSION}"
    return _made(name, lambda path: create_untrained(path, atlas, seed=DEFAULT_SEED))


def _made(name: str, make: Callable[[Path], object]) -> Path:
    """Return the bundle of that name, made where it is not there yet."""
    path = bundles_folder() / name
    with _kept_in(path.parent):
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            make(path)
    return path


def _stated_identity(folder: Path) -> str | None:
    """Return the identity that an atlas folder claims; None where it is none."""
    try:
        return AtlasManifest.model_validate_json((folder / ATLAS_MANIFEST).read_bytes()).identity_sha256
    except (OSError, ValidationError):
        return None


def _builtin() -> Atlas:
    atlas_folder = atlases_folder() / f"{BUILTIN}-{VERSION}"
    with _kept_in(atlas_folder.parent):
        if atlas_folder.exists():
            return load_atlas(atlas_folder)
        atlas_folder.parent.mkdir(parents=True, exist_ok=True)
        atlas = builtin_atlas()
        save_atlas(atlas, atlas_folder)
    return atlas


@contextmanager
def _kept_in(folder: Path) -> Iterator[None]:
    """Tell that the library cannot be made or entered; SetupRefused OUTPUT_NOT_WRITABLE."""
    try:
        yield
    except OSError as fault:
        reason = fault.strerror or "it cannot be entered"
        raise SetupRefused(Code.OUTPUT_NOT_WRITABLE, path=str(folder), reason=reason) from fault


def _resolve(choice: str | Path, folder: Path) -> Path | None:
    """Return the path itself where it exists, else the entry of that name in the folder."""
    path = Path(choice)
    if _exists(path):
        return path
    named = folder / path.name
    return named if path.name == str(choice) and _exists(named) else None


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long, a folder that may not be entered
        return False
