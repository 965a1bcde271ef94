"""What a batch and its workers say to each other: a line of JSON each, both ends our own."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from dras_model.results.codes import Code
from dras_model.results.study import Stage


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Setup(_Line):
    """The first thing a worker hears: what it opens once, and which cores are its own."""

    parent: int
    bundle: str | None = None
    atlas: str | None = None
    segmenter: str | None = None
    device: Literal["cpu", "cuda"] = "cpu"
    threads: int | None = None
    cores: tuple[int, ...] = ()
    options: dict[str, Any] = Field(default_factory=dict, description="a JobOptions")


class Order(_Line):
    """A case: what is read, and the folder that its result appears in, in the place of an older one."""

    source: str
    out: str
    series_uid: str | None = None


class Ready(_Line):
    """The weights are proven; the worker takes work."""

    kind: Literal["ready"] = "ready"


class At(_Line):
    """Where the case is."""

    kind: Literal["at"] = "at"
    stage: Stage
    fraction: float


class Finished(_Line):
    """The result lies in its folder."""

    kind: Literal["finished"] = "finished"
    status: str


class Refused(_Line):
    """The study is refused, or the set-up is at fault."""

    kind: Literal["refused"] = "refused"
    code: Code
    fields: dict[str, str | int | float]


class Defect(_Line):
    """An error that nobody has sorted; the worker's log has it whole."""

    kind: Literal["defect"] = "defect"
    how: str


Said: TypeAlias = Annotated[Ready | At | Finished | Refused | Defect, Field(discriminator="kind")]
SAID: TypeAdapter[Said] = TypeAdapter(Said)
