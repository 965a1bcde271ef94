"""The issuer's public keys, from an address or a file, kept for a while.

An unknown key id fetches the set again, but not more often than once a minute, so that made-up tokens
cause no traffic; while the issuer is away, the keys that are known go on being used for a day.
"""

import json
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx2

_AGAIN_AFTER_S = 60.0
_STALE_AFTER_S = 86_400.0
_TIMEOUT_S = 5.0
_MOST_BYTES = 1 << 20
_ASYMMETRIC = frozenset({"RSA", "EC", "OKP"})  # a public `oct` key would be a shared secret

Jwk = Mapping[str, Any]


class KeysUnavailable(Exception):
    """The issuer's keys cannot be had now, and none are known."""


class KeySet:
    """The signing keys at `source`, an https address or a file."""

    def __init__(
        self,
        source: str,
        *,
        cache_s: float,
        clock: Callable[[], float] = time.monotonic,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._source = source
        self._cache_s = cache_s
        self._now = clock
        self._transport = transport
        self._lock = threading.Lock()
        self._keys: tuple[Jwk, ...] = ()
        self._read_at: float | None = None
        self._tried_at: float | None = None

    def find(self, key_id: str | None) -> Jwk | None:
        """Return the key of this id; without an id the only one there is. Raises KeysUnavailable."""
        with self._lock:
            found = self._choose(key_id)
            if self._is_older_than(self._cache_s) or found is None:
                self._read_again()
                found = self._choose(key_id)
            if self._is_older_than(_STALE_AFTER_S):
                raise KeysUnavailable(self._source)
        return found

    def _choose(self, key_id: str | None) -> Jwk | None:
        if key_id is None:
            return self._keys[0] if len(self._keys) == 1 else None
        return next((key for key in self._keys if key.get("kid") == key_id), None)

    def _is_older_than(self, age_s: float) -> bool:
        return self._read_at is None or self._now() - self._read_at > age_s

    def _read_again(self) -> None:
        now = self._now()
        if self._tried_at is not None and now - self._tried_at < _AGAIN_AFTER_S:
            return
        self._tried_at = now
        try:
            self._keys = _signing_keys(self._read())
            self._read_at = now
        except (OSError, ValueError, httpx2.HTTPError):
            return  # `find` says so once what is known is too old

    def _read(self) -> str:
        if not self._source.startswith(("https://", "http://")):
            return Path(self._source).read_text("utf-8")
        # No redirect: the keys come from where the settings say, or not at all.
        with (
            httpx2.Client(timeout=_TIMEOUT_S, transport=self._transport) as client,
            client.stream("GET", self._source) as response,
        ):
            response.raise_for_status()
            body = bytearray()
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > _MOST_BYTES:
                    raise ValueError("a key set of more than a megabyte")
        return body.decode()


def _signing_keys(text: str) -> tuple[Jwk, ...]:
    """Return the public keys that sign (RFC 7517, 5); ValueError where the text is no key set."""
    document = json.loads(text)
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list):
        raise ValueError("no key set")  # noqa: TRY004 - it is about the content, not about an argument
    return tuple(
        key
        for key in keys
        if isinstance(key, dict) and key.get("kty") in _ASYMMETRIC and key.get("use", "sig") == "sig"
    )
