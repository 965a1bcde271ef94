"""The words of a batch: what a source offers, a case as the ledger keeps it, and how a case ends."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, TypeAlias

from dras_model.results.codes import Code, render

_SLUG = re.compile(r"[^A-Za-z0-9._-]+")
_MOST_SLUG = 48  # characters of a case's folder in front of its digest

Origin: TypeAlias = Literal["tree", "path", "pacs", "no ct", "missing"]


class State(StrEnum):
    """Where a case is. Done and failed are final until its images or what is asked of it change."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Found:
    """A study that a source offers, before anything is read of it but headers.

    `study` tells it from all others of the source, `identity` changes when its images do. `source` says to people
    where it came from; `carried` are the columns of a manifest.
    """

    study: str
    origin: Origin
    source: str
    identity: str
    study_uid: str = ""
    series_uid: str | None = None
    n_images: int = 0
    carried: Mapping[str, str] = field(default_factory=dict)
    called: str = ""

    @property
    def name(self) -> str:
        """Name of the folder of its result: what people call it, and a digest that keeps it apart."""
        digest = hashlib.sha256(json.dumps([self.study, self.series_uid]).encode()).hexdigest()[:10]
        slug = _SLUG.sub("_", self.called).strip("._")[:_MOST_SLUG]
        return f"{slug}-{digest}" if slug else digest


@dataclass(frozen=True, slots=True)
class Case:
    """A case that is about to be computed. `attempt` counts from 1; `job_id` is the service's, once it has one."""

    id: int
    study: str
    origin: Origin
    name: str
    source: str
    study_uid: str
    series_uid: str | None
    key: str
    attempt: int
    job_id: str | None


@dataclass(frozen=True, slots=True)
class Done:
    """The result lies in the case's folder; `status` is the result's own."""

    status: str


@dataclass(frozen=True, slots=True)
class Failed:
    """There is no result, and `code` says why; trying again would not change it."""

    code: str
    message: str

    @classmethod
    def of(cls, code: Code, **fields: str | int | float) -> "Failed":
        """Say why in the words of the code table."""
        return cls(code.value, render(code, fields))


@dataclass(frozen=True, slots=True)
class Lost:
    """The process that computed the case was brought down, `how` says by what: it may be tried once more."""

    how: str


class GivenBack(Exception):
    """The batch stops before the case has ended: it waits again, as if it had not been begun."""


Outcome: TypeAlias = Done | Failed | Lost


def key_of(identity: str, recipe: str) -> str:
    """Return what a result depends on: the images, and everything that is done with them."""
    return hashlib.sha256(f"{identity} {recipe}".encode()).hexdigest()
