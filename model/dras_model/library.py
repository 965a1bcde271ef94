"""Where an installation keeps its atlases and bundles, and how one is chosen by name or path.

Both defaults are made on first use and kept: the built-in atlas, and for any atlas a bundle of
untrained weights, which says so in every result.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from platformdirs import user_data_path

from dras_model.encoder.bundle import Bundle
from dras_model.encoder.creation import create_untrained
from dras_model.imaging.atlas import Atlas
from dras_model.imaging.atlas_bundle import load_atlas, save_atlas
from dras_model.imaging.builtin_atlas import VERSION, builtin_atlas
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused

BUILTIN = "builtin"
DEFAULT_SEED = 0


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


def open_bundle(choice: str | Path | None, atlas: Atlas) -> Bundle:
    """Open a bundle by path or by name and check that it belongs to `atlas`.

    For None, the untrained bundle of the atlas, made if it is not there yet. Raises SetupRefused.
    """
    path = _untrained(atlas) if choice is None else _resolve(choice, bundles_folder())
    if path is None:
        raise SetupRefused(Code.BUNDLE_NOT_FOUND, name=str(choice))
    try:
        bundle = Bundle.load(path)
    except OSError as fault:  # a folder that may not be entered
        raise SetupRefused(Code.BUNDLE_NOT_FOUND, name=str(path)) from fault
    bundle.require_atlas(atlas)
    return bundle


def _untrained(atlas: Atlas) -> Path:
    path = bundles_folder() / f"untrained-{DEFAULT_SEED}-{atlas.name}-{atlas.sha256[:8]}"
    with _kept_in(path.parent):
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            create_untrained(path, atlas, seed=DEFAULT_SEED)
    return path


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
