"""Who asks, and what they may do.

A principal belongs to one tenant, and every query of the gateway is asked in that tenant's name. How a
caller proves to be one is in `keys` and `oidc`.
"""

from dataclasses import dataclass

from dras_service.api.scopes import Scope

DEFAULT_TENANT = "default"  # of a service that runs without authentication
LOCAL_ACTOR = "local"
ALL_SCOPES = frozenset(scope.value for scope in Scope)


class ScopeMissing(Exception):
    """The caller is known and may not do this."""

    def __init__(self, scope: str) -> None:
        self.scope = scope
        super().__init__(f"the scope {scope} is missing")


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller that has been recognised. `actor` is a key's public id or a salted subject, never a name."""

    tenant: str
    actor: str
    scopes: frozenset[str]

    def require(self, scope: str) -> None:
        """Check that the caller may do what `scope` allows. Raises ScopeMissing."""
        if scope not in self.scopes:
            raise ScopeMissing(scope)


# Whoever reaches a service without authentication: it listens on this machine's loopback only.
LOCAL = Principal(DEFAULT_TENANT, LOCAL_ACTOR, ALL_SCOPES)
