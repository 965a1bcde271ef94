"""`pacs.toml`: who we are on the DICOM network, whom we know there, and what becomes of what arrives.

Read once where a process starts. A file with a fault anywhere is refused whole, each fault by its place.
"""

import ipaddress
import re
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from dras_model.results.written import Unreadable, read_toml
from dras_service.api.bundles import BundleName
from dras_service.api.options import LEAST_PRIORITY, MOST_PRIORITY, Wishes
from dras_service.errors import CannotServe

MEGABYTE = 1 << 20
_MOST_PDU_BYTES = 1 << 20


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError("it is no regular expression") from error
    return text


def _network(text: str) -> str:
    ipaddress.ip_network(text, strict=False)  # ValueError where it is none
    return text


# PS3.5 6.2, AE: 16 characters of the default repertoire without backslash and control characters; no spaces around.
AeTitle: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[!-\[\]-~]([ -\[\]-~]{0,14}[!-\[\]-~])?$")]
Name: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
TenantName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,40}$")]
Network: TypeAlias = Annotated[str, AfterValidator(_network)]
Pattern: TypeAlias = Annotated[str, AfterValidator(_pattern)]
Port: TypeAlias = Annotated[int, Field(ge=0, le=65535)]
Seconds: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Form: TypeAlias = Literal["sr", "seg", "map", "report"]
FORMS: tuple[Form, ...] = ("sr", "seg", "map", "report")
RouteTag: TypeAlias = Literal[
    "Modality", "StudyDescription", "SeriesDescription", "BodyPartExamined", "InstitutionName", "StationName",
    "Manufacturer", "ManufacturerModelName", "ProtocolName",
]  # fmt: skip


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Tls(_Part):
    """Keys of one end. With `authorities` the other end must prove itself as well."""

    certificate: Path
    key: Path
    authorities: Path | None = None


class Node(_Part):
    """We ourselves."""

    ae_title: AeTitle = "DRAS"
    host: str = "127.0.0.1"
    port: Port = 11112
    tls: Tls | None = None
    any_called_title: bool = False  # take associations that call us by another title, too
    max_associations: int = Field(16, ge=1, le=256)
    max_pdu_bytes: int = Field(131_072, ge=4096, le=_MOST_PDU_BYTES)
    max_instance_mb: int = Field(2048, ge=1)
    idle_timeout_s: Seconds = 60.0  # without a byte of a PDU, or without a request
    move_ae_title: AeTitle = "DRASFETCH"  # whom a C-MOVE of `dras pacs fetch` sends to
    move_port: Port = 11113


class Peer(_Part):
    """A system that we know: it may call us, and be asked, or sent to, where the rest says how."""

    ae_title: AeTitle
    addresses: tuple[Network, ...] = Field(min_length=1)  # it calls from
    host: str | None = None
    port: Port | None = None
    tls: bool = False
    authorities: Path | None = None  # that its certificate is signed by; the system's by default
    dicomweb: str | None = None
    allow_http: bool = False
    user: str | None = None
    secret_file: Path | None = None  # of `user` the password; without one a bearer token
    fetch_by: Literal["dicomweb", "c-get", "c-move"] | None = None
    send_by: Literal["stow", "c-store"] | None = None
    timeout_s: Seconds = 30.0
    page: int = Field(200, ge=1, le=5000)  # entries of one answer to a search

    @cached_property
    def networks(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """Where it calls from."""
        return tuple(ipaddress.ip_network(text, strict=False) for text in self.addresses)

    @property
    def fetches_by(self) -> Literal["dicomweb", "c-get", "c-move"]:
        """How studies are fetched from it."""
        return self.fetch_by or ("dicomweb" if self.dicomweb else "c-get")

    @property
    def sends_by(self) -> Literal["stow", "c-store"]:
        """How results are sent to it."""
        return self.send_by or ("c-store" if self.port else "stow")

    @model_validator(mode="after")
    def _is_reachable(self) -> "Peer":
        if (self.host is None) != (self.port is None):
            raise ValueError("host and port belong together")
        if self.dicomweb is not None:
            parts = urlsplit(self.dicomweb)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
                raise ValueError("dicomweb is no address of a service")
            if parts.scheme == "http" and not self.allow_http:
                raise ValueError("dicomweb is not https; allow_http allows it")
        if (self.fetch_by == "dicomweb" or self.send_by == "stow") and self.dicomweb is None:
            raise ValueError("DICOMweb is asked for, and dicomweb is missing")
        if (self.fetch_by in ("c-get", "c-move") or self.send_by == "c-store") and self.port is None:
            raise ValueError("DIMSE is asked for, and host and port are missing")
        if self.user is not None and self.secret_file is None:
            raise ValueError("a user needs a secret_file")
        return self

    @property
    def is_reachable(self) -> bool:
        """Whether we know how to call it."""
        return self.port is not None or self.dicomweb is not None


class Route(_Part):
    """Which studies are taken, as whose, and where their results go. The first that fits is the one."""

    callers: tuple[Name, ...] = ()  # names of peers; empty: any that is known
    called: tuple[AeTitle, ...] = ()  # titles we were called by; empty: any
    tags: dict[RouteTag, Pattern] = {}  # searched in each image, which goes by itself
    tenant: TenantName = "default"
    quiet_s: Seconds = 20.0  # after the last image of a study it is complete
    broken_quiet_s: Seconds = 300.0  # the same where its association was cut off
    most_wait_s: Seconds = 7200.0  # after the first image it is taken for complete
    expect_from: Name | None = None  # a peer that is asked how many images there are
    deidentify: bool = False
    discard: bool = False  # answer with success and keep nothing
    bundle: BundleName | None = None
    wishes: Wishes = Wishes()
    priority: int = Field(0, ge=LEAST_PRIORITY, le=MOST_PRIORITY)
    send_to: tuple[Name, ...] = ()
    send: tuple[Form, ...] = Field(FORMS, min_length=1)

    @model_validator(mode="after")
    def _returns_to_its_study(self) -> "Route":
        if self.deidentify and self.send_to:
            raise ValueError("a result without its patient cannot go back to the patient's study")
        if self.deidentify and self.expect_from:
            raise ValueError("a study that has lost its UID cannot be asked for")
        if self.discard and self.send_to:
            raise ValueError("of what is discarded there is nothing to send")
        return self


class Configuration(_Part):
    """The whole file."""

    node: Node = Node()
    peers: dict[Name, Peer] = {}
    routes: dict[Name, Route] = {}

    @model_validator(mode="after")
    def _names_are_known(self) -> "Configuration":
        for name, route in self.routes.items():
            named = {*route.callers, *route.send_to, *([route.expect_from] if route.expect_from else [])}
            if unknown := named - self.peers.keys():
                raise ValueError(f"route {name} names the unknown peer {min(unknown)}")
            for target in route.send_to:
                if not self.peers[target].is_reachable:
                    raise ValueError(f"route {name} sends to {target}, whose address is not known")
            if route.expect_from and not self.peers[route.expect_from].is_reachable:
                raise ValueError(f"route {name} asks {route.expect_from}, whose address is not known")
        return self

    def peer(self, name: str) -> Peer:
        """Return a peer that can be called. Raises CannotServe PACS_PEER_UNKNOWN."""
        found = self.peers.get(name)
        if found is None or not found.is_reachable:
            known = ", ".join(key for key, peer in self.peers.items() if peer.is_reachable) or "none"
            raise CannotServe("PACS_PEER_UNKNOWN", f"No such peer can be called; these can: {known}.")
        return found


def read_configuration(path: Path) -> Configuration:
    """Read and check the file. Raises CannotServe PACS_CONFIG_INVALID."""
    try:
        found = read_toml(path, Configuration)
    except Unreadable as error:
        raise _invalid("; ".join(error.faults)) from error
    for key in _files(found):
        if not key.is_file():
            raise _invalid(f"the file {key} is not there")
    return found


def _files(found: Configuration) -> list[Path]:
    named = [path for peer in found.peers.values() for path in (peer.secret_file, peer.authorities)]
    if found.node.tls is not None:
        named += [found.node.tls.certificate, found.node.tls.key, found.node.tls.authorities]
    return [path for path in named if path is not None]


def _invalid(fault: str) -> CannotServe:
    return CannotServe(
        "PACS_CONFIG_INVALID",
        f"The PACS configuration (--config, DRAS_PACS) is refused: {fault}; docs/pacs.md lists every part.",
    )
