"""The installation's salt, and names that it makes of what must not be written down.

A salted name is the same wherever this installation writes it, and means nothing anywhere else: whoever
reads a log cannot try out patient numbers or addresses. Rotating the salt unties all old names.
"""

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path

from dras_service.errors import CannotServe

_BYTES = 32
_SHOWN = 16  # hex digits: 64 bits tell a site's callers apart


def open_salt(path: Path) -> bytes:
    """Return the salt that `path` keeps; the first to ask makes it. Raises CannotServe: SALT_UNREADABLE."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _make(path)
        salt = path.read_bytes()
    except OSError as error:
        raise CannotServe(
            "SALT_UNREADABLE",
            "The file of the salt cannot be read or made; name one that can be by DRAS_AUTHENTICATION__SALT_FILE.",
        ) from error
    if len(salt) < _BYTES:
        raise CannotServe(
            "SALT_UNREADABLE",
            f"The file of the salt holds less than {_BYTES} bytes; fill the one of"
            " DRAS_AUTHENTICATION__SALT_FILE with random ones.",
        )
    return salt


def salted(salt: bytes, *parts: str) -> str:
    """Return the name that stands for `parts`: HMAC-SHA-256, cut to 64 bits."""
    message = "\0".join(parts).encode()
    return hmac.new(salt, message, hashlib.sha256).hexdigest()[:_SHOWN]


def _make(path: Path) -> None:
    """Write a fresh salt whole or not at all; whoever was faster wins."""
    unseen = path.with_name(f"{path.name}-{secrets.token_hex(4)}")
    descriptor = os.open(unseen, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(_BYTES))
        os.fsync(file.fileno())
    with suppress(FileExistsError):
        os.link(unseen, path)
    unseen.unlink()
