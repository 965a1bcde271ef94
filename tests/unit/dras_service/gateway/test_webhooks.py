import itertools
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from dras_service import pauses as pauses_module
from dras_service.addresses import AddressRefused, check_url, resolve
from dras_service.gateway.webhooks.courier import Courier
from dras_service.gateway.webhooks.signing import new_secret, signed_headers
from dras_service.settings import DeliverySettings, GatewaySettings, WebhookSettings
from unit.dras_service.examples import claim_of, submit

OPEN = WebhookSettings(allow=("hooks.test",), allow_private=True, allow_http=True)
PATIENT = DeliverySettings(first_pause_s=10.0)
PUBLIC = WebhookSettings(allow=("example.org", "*.example.org"))


# Signatures


def test_a_signature_is_that_of_the_schemes_reference():
    """The vector of the reference libraries' own tests (github.com/standard-webhooks/standard-webhooks)."""
    headers = signed_headers(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        call_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        at=1614265330,
        body=b'{"test": 2432232314}',
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_every_secret_is_another_and_can_sign():
    secrets = {new_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert all(signed_headers(secret, call_id="a", at=1, body=b"")["webhook-signature"] for secret in secrets)


# Addresses


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/hook",
        "https://a.example.org:8443/hook?x=1",
        "https://EXAMPLE.org./",
    ],
)
def test_an_address_on_the_list_is_taken(url):
    check_url(url, PUBLIC)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/hook",
        "ftp://example.org/",
        "https://example.com/",
        "https://example.org.evil.test/",
        "https://notexample.org/",
        "https://.example.org/",
        "https://user:secret@example.org/",
        "https://example.org@evil.test/",
        "https://example.org/#fragment",
        "https://example.org:99999/",
        "https://example.org/a b",
        "https://exa\nmple.org/",
        "https://éxample.org/",
        "https:///hook",
        "//example.org/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "example.org",
        "",
        "https://example.org/" + "x" * 2000,
    ],
)
def test_an_address_off_the_list_or_of_another_form_is_refused_without_repeating_it(url):
    with pytest.raises(AddressRefused) as refused:
        check_url(url, PUBLIC)
    assert "evil" not in str(refused.value)


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.1.2.3"],
        ["192.168.1.1"],
        ["172.16.0.1"],
        ["169.254.169.254"],  # where clouds keep their secrets
        ["100.64.0.1"],
        ["0.0.0.0"],
        ["224.0.0.1"],
        ["255.255.255.255"],
        ["::1"],
        ["fe80::1%eth0"],
        ["fd00::1"],
        ["::ffff:10.0.0.1"],
        ["64:ff9b::a00:1"],  # 10.0.0.1 by RFC 6052
        ["2002:a00:1::"],  # 10.0.0.1 by RFC 3056
        ["8.8.8.8", "10.0.0.1"],
    ],
    ids=str,
)
def test_a_name_that_leads_into_a_private_network_is_refused(addresses):
    with pytest.raises(AddressRefused):
        resolve("https://example.org/", PUBLIC, lookup=lambda _host, _port: addresses)


def test_what_is_connected_to_is_the_address_that_was_checked_under_the_name_that_was_given():
    asked = []

    def lookup(host, port):
        asked.append((host, port))
        return ["8.8.8.8"]

    target = resolve("https://a.example.org/hook?x=1", PUBLIC, lookup=lookup)
    assert (target.url, target.host, target.authority) == (
        "https://8.8.8.8:443/hook?x=1",
        "a.example.org",
        "a.example.org",
    )
    assert asked == [("a.example.org", 443)]
    six = resolve("https://example.org:8443/", PUBLIC, lookup=lambda *_: ["2606:4700::1111"])
    assert (six.url, six.authority) == ("https://[2606:4700::1111]:8443/", "example.org:8443")


# Calls


class Receiver(HTTPServer):
    """Another system: remembers what it was told and answers what a test says."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status, self.headers, self.calls = 204, {}, []
        self.thread = threading.Thread(target=self.serve_forever, daemon=True)
        self.thread.start()

    @property
    def url(self):
        return f"http://hooks.test:{self.server_port}/told"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.calls.append((self.path, dict(self.headers), body))
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_args):
        pass


@pytest.fixture
def receiver():
    server = Receiver()
    yield server
    server.shutdown()
    server.thread.join()
    server.server_close()


@pytest.fixture
def hook(store, receiver):
    return store.webhooks.add(receiver.url, tenant="default", secret=new_secret())


def courier(store, settings=OPEN, delivery=PATIENT):
    return Courier(
        outbox=store.outbox,
        webhooks=store.webhooks,
        settings=settings,
        delivery=delivery,
        lookup=lambda *_: ["127.0.0.1"],
    )


def end_a_job(store):
    claim = claim_of(store)
    store.leases.reject(claim, code="NOT_DICOM", message="Doe^Jane")
    return claim.job_id


def test_the_end_of_a_job_is_told_once_signed_and_with_nothing_but_its_id_and_state(store, receiver, hook):
    job_id = end_a_job(store)
    assert courier(store).run_once() == 1
    assert courier(store).run_once() == 0
    ((path, headers, body),) = receiver.calls
    assert path == "/told"
    assert headers["Host"] == f"hooks.test:{receiver.server_port}"
    assert headers["Content-Type"] == "application/json"
    told = json.loads(body)
    assert told["data"] == {"job_id": job_id, "state": "rejected"}
    assert set(told) == {"type", "timestamp", "data"}
    at = int(headers["webhook-timestamp"])
    assert abs(time.time() - at) < 300  # a receiver's usual tolerance
    signed = signed_headers(hook.secret, call_id=headers["webhook-id"], at=at, body=body)
    assert headers["webhook-signature"] == signed["webhook-signature"]


@pytest.mark.parametrize("status", [301, 307, 400, 404, 429, 500, 503])
def test_a_call_that_is_not_taken_is_made_again_later_with_the_same_id(store, clock, receiver, hook, status):
    end_a_job(store)
    receiver.status, receiver.headers = status, {"Location": receiver.url}
    assert courier(store).run_once() == 1
    clock.now += 5.0
    assert courier(store).run_once() == 0
    clock.now += 8.0  # the pause is 10 s, spread by a fifth
    receiver.status = 200
    assert courier(store).run_once() == 1
    clock.now += 10_000.0
    assert courier(store).run_once() == 0
    assert len(receiver.calls) == 2
    assert len({headers["webhook-id"] for _, headers, _ in receiver.calls}) == 1


def test_a_call_is_given_up_in_the_end_and_said_in_the_log(store, clock, receiver, hook, caplog):
    end_a_job(store)
    receiver.status = 500
    delivery = PATIENT.model_copy(update={"max_attempts": 3})
    for _ in range(10):
        courier(store, delivery=delivery).run_once()
        clock.now += 3600.0
    assert len(receiver.calls) == 3
    assert [hook.id in record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
        True
    ]
    assert receiver.url not in caplog.text


def test_pauses_grow_up_to_a_limit(store, clock, receiver, hook, monkeypatch):
    monkeypatch.setattr(pauses_module.random, "uniform", lambda *_: 1.0)
    end_a_job(store)
    receiver.status = 500
    delivery = PATIENT.model_copy(update={"most_pause_s": 35.0, "max_attempts": 100})
    called_at = []
    for _ in range(200):
        if courier(store, delivery=delivery).run_once():
            called_at.append(clock.now)
        clock.now += 1.0
    pauses = [later - earlier for earlier, later in itertools.pairwise(called_at)]
    assert pauses[:5] == [10.0, 20.0, 35.0, 35.0, 35.0]


def test_nobody_there_is_no_defect(store, clock, receiver, hook):
    receiver.shutdown()
    receiver.server_close()
    end_a_job(store)
    assert courier(store).run_once() == 1
    clock.now += 100.0
    assert courier(store).run_once() == 1


def test_a_list_that_has_become_shorter_is_heeded(store, clock, receiver, hook):
    end_a_job(store)
    courier(store, OPEN.model_copy(update={"allow": ()})).run_once()
    assert receiver.calls == []


def test_who_was_removed_is_told_nothing_more(store, receiver, hook):
    end_a_job(store)
    store.webhooks.disable(hook.id, tenant="default")
    courier(store).run_once()
    assert receiver.calls == []


# Routes


@pytest.fixture
def parts(parts):
    parts.settings = parts.settings.model_copy(
        update={"gateway": GatewaySettings(webhooks=PUBLIC.model_copy(update={"most_per_tenant": 2}))}
    )
    return parts


URL = "https://example.org/hook"


def test_a_webhook_is_made_listed_shown_and_removed_and_its_secret_shown_once(client):
    made = client.post("/v1/webhooks", json={"url": URL, "states": ["failed", "rejected"]})
    assert made.status_code == 201
    secret = made.json().pop("secret")
    assert secret.startswith("whsec_")
    path = made.headers["Location"]
    shown, listed = client.get(path), client.get("/v1/webhooks")
    assert shown.json() == listed.json()["webhooks"][0]
    assert (shown.json()["url"], shown.json()["states"]) == (URL, ["failed", "rejected"])
    assert secret not in shown.text + listed.text
    assert [client.delete(path).status_code for _ in range(2)] == [204, 404]
    assert client.get(path).status_code == 404
    assert client.get("/v1/webhooks").json() == {"webhooks": []}


@pytest.mark.parametrize(
    ("order", "status", "code"),
    [
        ({"url": "https://Doe.test/"}, 403, "WEBHOOK_REFUSED"),
        ({"url": "http://example.org/"}, 403, "WEBHOOK_REFUSED"),
        ({"url": "Doe"}, 422, "INVALID_PARAMETER"),
        ({"url": URL, "states": ["queued"]}, 422, "INVALID_PARAMETER"),
        ({"url": URL, "states": ["Doe"]}, 422, "INVALID_PARAMETER"),
        ({"url": 1}, 422, "INVALID_PARAMETER"),
        ({"url": URL, "Doe": "Jane"}, 422, "INVALID_PARAMETER"),
        ([], 422, "INVALID_PARAMETER"),
        ({"url": "https://" + "x" * 100_000}, 413, "BODY_TOO_LARGE"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_webhook_that_cannot_be_is_refused_and_not_repeated(client, order, status, code):
    answer = client.post("/v1/webhooks", json=order)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert "Doe" not in answer.text
    assert client.get("/v1/webhooks").json() == {"webhooks": []}


def test_there_are_no_more_webhooks_than_allowed_until_one_is_removed(client):
    made = [client.post("/v1/webhooks", json={"url": URL}) for _ in range(3)]
    assert [answer.status_code for answer in made] == [201, 201, 409]
    client.delete(made[0].headers["Location"])
    assert client.post("/v1/webhooks", json={"url": URL}).status_code == 201


def test_a_webhook_of_another_tenant_is_not_there(client, store):
    store.tenants.create("other")
    theirs = store.webhooks.add(URL, tenant="other", secret=new_secret())
    assert client.get(f"/v1/webhooks/{theirs.id}").status_code == 404
    assert client.delete(f"/v1/webhooks/{theirs.id}").status_code == 404
    assert client.get("/v1/webhooks").json() == {"webhooks": []}


def test_a_job_of_another_tenant_is_told_to_nobody_here(store, receiver, hook):
    store.tenants.create("other")
    job = submit(store, tenant="other")
    store.ending.cancel(job.id, tenant="other")
    assert courier(store).run_once() == 0
    assert receiver.calls == []
