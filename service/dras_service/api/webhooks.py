"""Webhooks: addresses of a tenant that are told when its jobs end."""

from datetime import datetime
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from dras_service.api.jobs import JobState

FinalState: TypeAlias = Literal[
    JobState.SUCCEEDED,
    JobState.SUCCEEDED_WITH_WARNINGS,
    JobState.PARTIAL,
    JobState.REJECTED,
    JobState.FAILED,
    JobState.QUARANTINED,
    JobState.CANCELLED,
    JobState.EXPIRED,
]
_EXAMPLE_ID = "0f0f6a1e-6a0d-4c0b-8a55-0a7f4f0f2a11"


class WebhookOrder(BaseModel):
    """What is wanted."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={"examples": [{"url": "https://example.org/dras", "states": ["failed"]}]},
    )

    url: str = Field(
        max_length=2000, pattern="^https?://", description="https, and a host that the operator allows"
    )
    states: tuple[FinalState, ...] = Field((), description="final states to tell of; all by default")


class WebhookView(BaseModel):
    """A webhook as it is listed."""

    model_config = ConfigDict(frozen=True)

    id: str = Field(examples=[_EXAMPLE_ID])
    url: str
    states: tuple[JobState, ...]
    created_at: datetime
    disabled_at: datetime | None = Field(None, description="since when it is told nothing any more")


class NewWebhook(WebhookView):
    """A webhook as it is answered once, with its secret."""

    secret: str = Field(
        description="key of the signatures, `whsec_` and base64 (standardwebhooks.com); shown only now"
    )


class WebhookList(BaseModel):
    """All webhooks of a tenant."""

    model_config = ConfigDict(frozen=True)

    webhooks: tuple[WebhookView, ...]
