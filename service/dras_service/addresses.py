"""Which addresses may be called: hosts on the operator's list, resolved once, in public networks.

The address that was checked is the one connected to, so that a name cannot mean another machine a moment
later; redirects are not followed for the same reason.
"""

import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

_PORTS = {"https": 443, "http": 80}
_MOST_CHARACTERS = 2000
# RFC 6052: addresses that stand for IPv4 ones, private ones included.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], list[str]]


class Rules(Protocol):
    """What an operator allows."""

    @property
    def allow(self) -> tuple[str, ...]:
        """Host names; `*.example.org` stands for all below it."""

    @property
    def allow_private(self) -> bool:
        """Whether they may lie in a private network."""

    @property
    def allow_http(self) -> bool:
        """Whether they may be called without TLS."""


class AddressRefused(Exception):
    """An address that may not be called; `str()` says why, without the address."""


@dataclass(frozen=True, slots=True)
class Target:
    """A checked address: `url` has the resolved number in the place of the host, which is `host`."""

    url: str
    host: str
    authority: str  # what the Host header says


def check_url(url: str, rules: Rules) -> tuple[str, str, int]:
    """Return scheme, host and port of a URL that may be registered. Raises AddressRefused."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise AddressRefused("it is no URL") from error
    scheme, host = parts.scheme.lower(), (parts.hostname or "").lower().rstrip(".")
    if len(url) > _MOST_CHARACTERS or not url.isascii() or not url.isprintable() or " " in url or not host:
        raise AddressRefused("it is no URL")
    if scheme not in _PORTS or (scheme == "http" and not rules.allow_http):
        raise AddressRefused("it is not https")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise AddressRefused("it holds a user, a password or a fragment")
    if not any(_matches(host, pattern.lower()) for pattern in rules.allow):
        raise AddressRefused("its host is not on the operator's list")
    return scheme, host, port or _PORTS[scheme]


def resolve(url: str, rules: Rules, *, lookup: Resolve | None = None) -> Target:
    """Look the host up once and return what to connect to. Raises AddressRefused, OSError."""
    scheme, host, port = check_url(url, rules)
    found = (lookup or _look_up)(host, port)
    addresses = [ipaddress.ip_address(text.partition("%")[0]) for text in found]
    if not addresses:
        raise OSError("the host has no address")
    # One private address among several is enough to refuse: which of them is taken must not matter.
    if not rules.allow_private and not all(map(_is_public, addresses)):
        raise AddressRefused("its host lies in a private network")
    parts = urlsplit(url)
    place = f"[{addresses[0]}]" if addresses[0].version == 6 else str(addresses[0])
    query = f"?{parts.query}" if parts.query else ""
    named = f"[{host}]" if ":" in host else host
    authority = named if port == _PORTS[scheme] else f"{named}:{port}"
    return Target(f"{scheme}://{place}:{port}{parts.path or '/'}{query}", host, authority)


def _matches(host: str, pattern: str) -> bool:
    if pattern.startswith("*."):
        return host.endswith(pattern[1:]) and len(host) > len(pattern) - 1
    return host == pattern


def _is_public(address: IPAddress) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return _is_public(inner)
    return address.is_global and not address.is_multicast


def _look_up(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return [str(entry[4][0]) for entry in found]
