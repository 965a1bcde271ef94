"""Whether the gateway lives and whether it can take work."""

from pydantic import BaseModel, ConfigDict, Field


class Health(BaseModel):
    """The gateway answers; says nothing of what it needs."""

    model_config = ConfigDict(frozen=True)

    status: str = "ok"
    version: str


class Readiness(BaseModel):
    """Which of the things the gateway needs are there."""

    model_config = ConfigDict(frozen=True)

    ready: bool
    database: bool
    blobs: bool
    broker: bool
    worker: bool = Field(description="whether one was seen lately; without, work is taken and waits")
