"""`/v1/webhooks`: who is told when jobs end."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Response, status

from dras_service.addresses import AddressRefused, check_url
from dras_service.api.problems import ProblemCode
from dras_service.api.webhooks import NewWebhook, WebhookList, WebhookOrder, WebhookView
from dras_service.gateway.auth.callers import Administrator
from dras_service.gateway.problems import ProblemRaised, Responses, responses
from dras_service.gateway.views import webhook_view
from dras_service.gateway.webhooks.signing import new_secret
from dras_service.settings import WebhookSettings
from dras_service.store.rows import Webhook
from dras_service.store.webhooks import Webhooks

_CALL: Mapping[str, Any] = {
    "type": "job.ended",
    "timestamp": "2026-01-31T12:00:09+00:00",
    "data": {"job_id": "5b0e7f3a-4a55-4a53-9d0f-6c5d0a3f8f11", "state": "succeeded_with_warnings"},
}
_DESCRIPTION = (
    "Calls are POSTs signed by the scheme of Standard Webhooks (`webhook-id`, `webhook-timestamp`,"
    f" `webhook-signature`) and say `{_CALL}`. A call that is not answered with 2xx is made again with growing"
    " pauses and the same `webhook-id`."
)
_LOCATION: Responses = {
    201: {"headers": {"Location": {"description": "the webhook's address", "schema": {"type": "string"}}}}
}
_REFUSED = responses(
    ProblemCode.BAD_REQUEST,
    ProblemCode.INVALID_PARAMETER,
    ProblemCode.WEBHOOK_REFUSED,
    ProblemCode.TOO_MANY_WEBHOOKS,
    ProblemCode.BODY_TOO_LARGE,
    ProblemCode.NOT_READY,
)
_NOT_FOUND = responses(ProblemCode.WEBHOOK_NOT_FOUND, ProblemCode.NOT_READY)


def webhooks_router(webhooks: Webhooks, settings: WebhookSettings) -> APIRouter:
    """Make the routes over `webhooks`."""
    router = APIRouter(prefix="/webhooks", tags=["webhooks"])

    @router.post(
        "",
        summary="Be told when jobs end",
        description=_DESCRIPTION,
        status_code=status.HTTP_201_CREATED,
        responses=_LOCATION | _REFUSED,
    )
    def add_webhook(order: WebhookOrder, caller: Administrator, response: Response) -> NewWebhook:
        try:
            check_url(order.url, settings)
        except AddressRefused as error:
            raise ProblemRaised(ProblemCode.WEBHOOK_REFUSED, fault=str(error)) from error
        if len(_enabled(webhooks, caller.tenant)) >= settings.most_per_tenant:
            raise ProblemRaised(ProblemCode.TOO_MANY_WEBHOOKS, limit=str(settings.most_per_tenant))
        secret = new_secret()
        added = webhooks.add(order.url, tenant=caller.tenant, secret=secret, states=set(order.states))
        response.headers["Location"] = f"/v1/webhooks/{added.id}"
        return NewWebhook(**webhook_view(added).model_dump(), secret=secret)

    @router.get("", summary="List who is told", responses=responses(ProblemCode.NOT_READY))
    def list_webhooks(caller: Administrator) -> WebhookList:
        return WebhookList(webhooks=tuple(map(webhook_view, _enabled(webhooks, caller.tenant))))

    @router.get("/{webhook_id}", summary="Show who is told", responses=_NOT_FOUND)
    def get_webhook(webhook_id: str, caller: Administrator) -> WebhookView:
        found = webhooks.find(webhook_id, tenant=caller.tenant)
        if found is None or found.disabled_at is not None:
            raise ProblemRaised(ProblemCode.WEBHOOK_NOT_FOUND)
        return webhook_view(found)

    @router.delete(
        "/{webhook_id}",
        summary="Be told no more",
        status_code=status.HTTP_204_NO_CONTENT,
        responses=_NOT_FOUND,
    )
    def remove_webhook(webhook_id: str, caller: Administrator) -> None:
        if not webhooks.disable(webhook_id, tenant=caller.tenant):
            raise ProblemRaised(ProblemCode.WEBHOOK_NOT_FOUND)

    return router


def _enabled(webhooks: Webhooks, tenant: str) -> tuple[Webhook, ...]:
    return tuple(hook for hook in webhooks.all(tenant=tenant) if hook.disabled_at is None)
