"""API keys: made once, shown once, kept as a hash.

`dras_<id>_<secret>`: the id finds the row and may be seen, the secret is 256 random bits. A hash without
salt or stretching is enough for a secret that nobody can guess; both are for passwords. Leaves out where
the rows lie: `store`.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

_PREFIX = "dras"  # lets secret scanners find a key that was leaked
_ID_BYTES, _SECRET_BYTES = 8, 32
_TOKEN = re.compile(r"dras_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
_NOBODY = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made. `token` is shown to its owner and never again."""

    id: str
    token: str
    secret_sha256: str


@dataclass(frozen=True, slots=True)
class PresentedKey:
    """What a caller sent, taken apart; nothing is known of it yet."""

    id: str
    secret_sha256: str


def new_key() -> NewKey:
    """Make a key from the system's randomness."""
    key_id = secrets.token_hex(_ID_BYTES)
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    return NewKey(key_id, f"{_PREFIX}_{key_id}_{secret}", _hash(secret))


def looks_like_key(token: str) -> bool:
    """Whether `token` claims to be a key of ours rather than a JWT."""
    return token.startswith(f"{_PREFIX}_")


def read_key(token: str) -> PresentedKey | None:
    """Take a key apart; None where it cannot be one."""
    match = _TOKEN.fullmatch(token)
    return None if match is None else PresentedKey(match[1], _hash(match[2]))


def is_same(presented: PresentedKey, secret_sha256: str | None) -> bool:
    """Compare in constant time; None stands for a key that does not exist, and takes as long."""
    return hmac.compare_digest(presented.secret_sha256, secret_sha256 or _NOBODY) and bool(secret_sha256)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
