"""Recognises callers by a key or a token, and bounds and records those that it does not.

What is wrong with a credential is for the audit log; the caller learns only that it is not taken.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from dras_service.security.jwks import KeysUnavailable
from dras_service.security.keys import is_same, looks_like_key, read_key
from dras_service.security.oidc import TokenInvalid, TokenReader
from dras_service.security.principal import LOCAL, Principal
from dras_service.security.throttle import FailureThrottle
from dras_service.store.errors import StoreError
from dras_service.store.rows import ApiKey

_NOTE_USE_AFTER_S = 60.0
_MOST_NOTED = 10_000
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Failure:
    """A credential that was not taken. `tenant` is None where it is nobody's; `reason` is a constant."""

    actor: str
    tenant: str | None
    address: str
    reason: str


RecordFailure = Callable[[Failure], None]


class NotRecognised(Exception):
    """Nobody known asks. `given` says whether a credential came at all."""

    def __init__(self, *, given: bool) -> None:
        self.given = given
        super().__init__("nobody known asks")


class TooManyFailures(Exception):
    """Another failure of an address that had too many."""

    def __init__(self, wait_s: float) -> None:
        self.wait_s = wait_s
        super().__init__("too many failures")


class KeyRows(Protocol):
    """Where keys are kept."""

    def find(self, key_id: str) -> ApiKey | None:
        """Return the key of this public id, whatever its state."""

    def used(self, key_id: str, *, tenant: str) -> None:
        """Note that the key was used now."""


class TenantRows(Protocol):
    """Where tenants are kept."""

    def find(self, name: str) -> object | None:
        """Return the tenant, or None."""


class Gatekeeper(Protocol):
    """Recognises callers."""

    def recognise(self, token: str | None, *, address: str) -> Principal:
        """Return who sent `token` from `address`. Raises NotRecognised, TooManyFailures, StoreError."""


class OpenDoor(Gatekeeper):
    """Takes everybody for the one local user; only for a service that listens on loopback."""

    def recognise(self, token: str | None, *, address: str) -> Principal:  # noqa: ARG002
        """Return the local principal, which may do everything."""
        return LOCAL


class Doorkeeper(Gatekeeper):
    """Takes keys of the database, and tokens where there is an issuer."""

    def __init__(
        self,
        *,
        keys: KeyRows,
        tenants: TenantRows,
        tokens: TokenReader | None,
        throttle: FailureThrottle,
        record_failure: RecordFailure,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys = keys
        self._tenants = tenants
        self._tokens = tokens
        self._throttle = throttle
        self._record_failure = record_failure
        self._now = clock
        self._noted: dict[str, float] = {}
        self._lock = threading.Lock()

    def recognise(self, token: str | None, *, address: str) -> Principal:
        """Return who sent `token` from `address`. Raises NotRecognised, TooManyFailures, StoreError."""
        if not token:
            raise NotRecognised(given=False)
        if looks_like_key(token):
            return self._by_key(token, address)
        return self._by_token(token, address)

    def _by_key(self, token: str, address: str) -> Principal:
        presented = read_key(token)
        if presented is None:
            raise self._failure(Failure(_UNKNOWN, None, address, "MALFORMED"))
        key = self._keys.find(presented.id)
        if not is_same(presented, None if key is None else key.secret_sha256) or key is None:
            raise self._failure(Failure(_UNKNOWN, None, address, "UNKNOWN"))
        actor = f"key:{key.id}"
        if key.revoked_at is not None:
            raise self._failure(Failure(actor, key.tenant, address, "REVOKED"))
        if key.expires_at is not None and key.expires_at <= self._now():
            raise self._failure(Failure(actor, key.tenant, address, "EXPIRED"))
        self._note_use(key)
        return Principal(key.tenant, actor, frozenset(key.scopes))

    def _by_token(self, token: str, address: str) -> Principal:
        if self._tokens is None:
            raise self._failure(Failure(_UNKNOWN, None, address, "MALFORMED"))
        try:
            principal = self._tokens.read(token)
        except TokenInvalid as error:
            raise self._failure(Failure(_UNKNOWN, None, address, f"TOKEN_{error.reason}")) from error
        except KeysUnavailable as error:
            raise self._failure(Failure(_UNKNOWN, None, address, "ISSUER_AWAY")) from error
        if self._tenants.find(principal.tenant) is None:  # an issuer's slip must not make one
            raise self._failure(Failure(principal.actor, None, address, "TENANT_UNKNOWN"))
        return principal

    def _failure(self, failure: Failure) -> NotRecognised | TooManyFailures:
        wait_s = self._throttle.failed(failure.address)
        if wait_s > 0:
            return TooManyFailures(wait_s)
        self._record_failure(failure)
        return NotRecognised(given=True)

    def _note_use(self, key: ApiKey) -> None:
        """Write the time of use, but once a minute: a write sees to the disk, a read need not wait for that."""
        now = self._now()
        with self._lock:
            if now - self._noted.get(key.id, 0.0) < _NOTE_USE_AFTER_S:
                return
            if len(self._noted) >= _MOST_NOTED:
                self._noted.clear()
            self._noted[key.id] = now
        with suppress(StoreError):  # whoever may read must not be kept out by a full disk
            self._keys.used(key.id, tenant=key.tenant)
