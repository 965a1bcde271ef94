"""Access tokens of an OpenID Connect issuer: a signed JWT becomes a principal.

The algorithms are the settings', all asymmetric, so that no public key can be taken for a shared secret;
a token's header only chooses among them. Leaves out logging in: whoever calls brings a token.
"""

from collections.abc import Mapping
from typing import Any

import jwt

from dras_service.api.scopes import Scope
from dras_service.security.jwks import KeySet
from dras_service.security.principal import Principal
from dras_service.security.salt import salted
from dras_service.security.tenants import TENANT_NAME
from dras_service.settings import OidcSettings

_MOST_TOKEN = 16_384  # characters
_REQUIRED = ("exp", "iat", "iss", "aud", "sub")


class TokenInvalid(Exception):
    """The token proves nothing; `reason` is a constant of ours, for the log and the audit."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class TokenReader:
    """Judges tokens of one issuer."""

    def __init__(self, settings: OidcSettings, *, keys: KeySet, salt: bytes) -> None:
        self._settings = settings
        self._keys = keys
        self._salt = salt

    def read(self, token: str) -> Principal:
        """Return who the token speaks for. Raises TokenInvalid, KeysUnavailable."""
        claims = self._claims(token)
        subject = salted(self._salt, self._settings.issuer, str(claims["sub"]))
        return Principal(self._tenant(claims), f"oidc:{subject}", self._scopes(claims))

    def _claims(self, token: str) -> dict[str, Any]:
        if len(token) > _MOST_TOKEN:
            raise TokenInvalid("TOO_LONG")
        try:
            header = jwt.get_unverified_header(token)
            algorithm = header.get("alg")
            if algorithm not in self._settings.algorithms:
                raise TokenInvalid("ALGORITHM")
            found = self._keys.find(header.get("kid"))
            if found is None or found.get("alg", algorithm) != algorithm:
                raise TokenInvalid("KEY_UNKNOWN")
            return jwt.decode(
                token,
                jwt.PyJWK(dict(found), algorithm),
                algorithms=[algorithm],
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=self._settings.leeway_s,
                options={"require": list(_REQUIRED)},
            )
        except jwt.ExpiredSignatureError as error:
            raise TokenInvalid("EXPIRED") from error
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise TokenInvalid("INVALID") from error

    def _tenant(self, claims: Mapping[str, Any]) -> str:
        """Return the tenant of the claim. A name that no setting maps is taken as it is, where it is one."""
        if self._settings.tenant is not None:
            return self._settings.tenant
        claimed = claims.get(self._settings.tenant_claim)
        mapped = self._settings.tenants.get(claimed) if isinstance(claimed, str) else None
        if mapped is None and self._settings.tenants:
            raise TokenInvalid("TENANT")
        tenant = mapped or claimed
        if not isinstance(tenant, str) or not TENANT_NAME.fullmatch(tenant):
            raise TokenInvalid("TENANT")
        return tenant

    def _scopes(self, claims: Mapping[str, Any]) -> frozenset[str]:
        """Return what the claim allows: a string with spaces (RFC 8693, 4.2) or a list, mapped by the settings."""
        claimed = claims.get(self._settings.scope_claim, "")
        words = claimed.split() if isinstance(claimed, str) else claimed
        if not isinstance(words, list):
            raise TokenInvalid("SCOPES")
        allowed = self._settings.scopes or {scope.value: (scope,) for scope in Scope}
        return frozenset(
            scope.value for word in words if isinstance(word, str) for scope in allowed.get(word, ())
        )
