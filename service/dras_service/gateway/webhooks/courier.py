"""Takes calls from the outbox and makes them: again with growing pauses, in the end not at all.

A call may be made twice and carries the same id then. What the receiver answers is not read. Several couriers
share the outbox without a word.
"""

import json
import logging
import time
from datetime import UTC, datetime

import httpx2

from dras_service.addresses import AddressRefused, Resolve, resolve
from dras_service.gateway.webhooks.signing import signed_headers
from dras_service.pauses import pause_s
from dras_service.settings import DeliverySettings, WebhookSettings
from dras_service.store.outbox import Outbox
from dras_service.store.rows import Letter, Webhook
from dras_service.store.webhooks import Webhooks

_log = logging.getLogger(__name__)
_AT_ONCE = 20
_EVENT = "job.ended"


class Courier:
    """Delivers what is due by `run_once`; any number of them may run at once."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        webhooks: Webhooks,
        settings: WebhookSettings,
        delivery: DeliverySettings,
        lookup: Resolve | None = None,
    ) -> None:
        self._outbox = outbox
        self._webhooks = webhooks
        self._settings = settings
        self._delivery = delivery
        self._lookup = lookup
        self._stopped = False

    def stop(self) -> None:
        """Make no call after the one that is under way."""
        self._stopped = True

    def run_once(self) -> int:
        """Make the calls that are due; return how many letters were taken. Raises StoreError."""
        # Nobody else gets them before this round can be over.
        letters = self._outbox.take(
            "webhook", hold_s=(_AT_ONCE + 1) * self._settings.timeout_s, limit=_AT_ONCE
        )
        with httpx2.Client(timeout=self._settings.timeout_s, follow_redirects=False, trust_env=False) as http:
            for letter in letters:
                if self._stopped:
                    break  # it is due again when the hold ends
                self._deliver(letter, http)
        return len(letters)

    def _deliver(self, letter: Letter, http: httpx2.Client) -> None:
        hook = self._webhooks.find(letter.target or "", tenant=letter.tenant)
        if hook is None or hook.disabled_at is not None:
            self._outbox.drop(letter)
            return
        fault = self._call(letter, hook, http)
        if fault is None:
            self._outbox.sent(letter)
            return
        delay_s = pause_s(self._delivery, attempts=letter.attempts)
        if delay_s is None:
            _log.error("webhook %s is not reached (%s); call %d is given up", hook.id, fault, letter.id)
            self._outbox.drop(letter)
        else:
            self._outbox.put_off(letter, delay_s=delay_s)

    def _call(self, letter: Letter, hook: Webhook, http: httpx2.Client) -> str | None:
        """Make one call; return what went wrong, without a word of the receiver's."""
        body = _body(letter)
        try:
            target = resolve(hook.url, self._settings, lookup=self._lookup)
            headers = signed_headers(hook.secret, call_id=f"msg_{letter.id}", at=int(time.time()), body=body)
            request = http.build_request(
                "POST",
                target.url,
                content=body,
                headers=headers | {"Host": target.authority, "Content-Type": "application/json"},
                extensions={"sni_hostname": target.host},  # the certificate is the host's, not the number's
            )
            answer = http.send(request, stream=True)
            answer.close()
        except AddressRefused:
            return "its address is not allowed any more"
        except (httpx2.HTTPError, OSError) as error:
            return type(error).__name__
        return None if answer.is_success else f"status {answer.status_code}"


def _body(letter: Letter) -> bytes:
    """Return what is told: which job, and how it ended; nothing of the study."""
    payload = dict(letter.payload or {})
    told = {
        "type": _EVENT,
        "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": {"job_id": letter.job_id, "state": payload.get("state")},
    }
    return json.dumps(told, separators=(",", ":")).encode()
