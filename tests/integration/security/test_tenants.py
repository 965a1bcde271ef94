"""Two tenants, every route of the OpenAPI document, every id: one sees nothing of the other and changes nothing.

The routes are read from the document, so that a new one is tried by itself; one with a parameter that is
not known here fails until somebody says what its ids are.
"""

import contextlib
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest
import uvicorn
from sqlalchemy import event

from dras_service.gateway.app import create_app
from dras_service.queue.app import create_celery
from dras_service.queue.hints import Hints
from dras_service.security.keys import new_key
from dras_service.security.principal import ALL_SCOPES
from dras_service.settings import AuthenticationSettings, Settings
from dras_service.store.blobs import BlobStore
from dras_service.store.engine import open_engine
from dras_service.store.rows import Order, StoredStudy
from dras_service.store.store import Store
from unit.dras_service.examples import study_result

OPEN_TO_ALL = {"/healthz", "/readyz"}  # say nothing of anybody
NOBODYS = "00000000-0000-4000-8000-000000000000"
LISTEN_S = 0.4
BODIES = {
    "/v1/studies": (b"not a study", "application/dicom"),
    "/v1/validate": (b"not a study", "application/dicom"),
    "/v1/webhooks": (b'{"url": "https://hooks.example/b"}', "application/json"),
}


@dataclass
class Tenant:
    name: str
    token: str = ""
    jobs: list[str] = field(default_factory=list)
    webhooks: list[str] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)  # nothing of this may reach the other

    def ids(self, parameter: str) -> list[str]:
        return {"job_id": self.jobs, "webhook_id": self.webhooks, "name": ["regions.csv", "result.json"]}[
            parameter
        ]


class Service:
    """A gateway on a port of its own, over one store with two tenants."""

    def __init__(self, data: Path) -> None:
        settings = Settings(data=data, authentication=AuthenticationSettings(required=True))
        self.store = Store(open_engine(settings.store_url))
        self.store.migrate()
        self.statements: set[str] = set()
        event.listen(self.store.numbers._database.engine, "before_cursor_execute", self._note)
        self.blobs = BlobStore(settings.blob_folder)
        self.blobs.prepare()
        self.owner, self.other = self._tenant("ward-a"), self._tenant("ward-b")
        hints = Hints(create_celery(settings))
        app = create_app(store=self.store, blobs=self.blobs, hints=hints, settings=settings)
        self.document = app.openapi()
        self.server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=0))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listener]})

    def _note(self, _connection, _cursor, statement: str, *_rest) -> None:
        # Routes ask in these threads; sweeper, publisher and event hub have threads of their own.
        if threading.current_thread().name.startswith("AnyIO"):
            self.statements.add(" ".join(statement.split()))

    def _tenant(self, name: str) -> Tenant:
        key, tenant = new_key(), Tenant(name)
        tenant.token = key.token
        self.store.tenants.create(name)
        self.store.keys.add(key.id, key.secret_sha256, tenant=name, label="", scopes=tuple(ALL_SCOPES))
        hook = self.store.webhooks.add(
            f"https://{name}.example/hook", tenant=name, secret=f"secret of {name}"
        )
        tenant.webhooks.append(hook.id)
        for number, ending in enumerate((self._succeed, self._reject, self._run, None)):
            content = f"{name}{number}".encode().hex().ljust(64, "0")
            stored = StoredStudy(f"{name}/{content}", content, 10, 1)
            path = self.blobs.study_path(stored.key)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"study of " + name.encode())
            job = self.store.submission.submit(stored, Order(series_uid="1.2.3"), tenant=name).job
            tenant.jobs.append(job.id)
            if ending is not None:
                ending(name)
        tenant.marks += [*tenant.jobs, *tenant.webhooks, name, f"secret of {name}", key.id]
        return tenant

    def _succeed(self, name: str) -> None:
        claim = self.store.leases.claim(owner="me", lease_s=600.0)
        with self.blobs.workspace(claim) as room:
            (room / "out").mkdir()
            (room / "out" / "regions.csv").write_text(f"regions of {name}")
            (room / "out" / "result.json").write_text(f"result of {name}")
            outputs = self.blobs.keep_outputs(room / "out", claim)
        self.store.leases.commit(claim, study_result(), outputs=outputs)

    def _reject(self, name: str) -> None:
        claim = self.store.leases.claim(owner="me", lease_s=600.0)
        self.store.leases.reject(claim, code="NOT_DICOM", message=f"Refused for {name}.")

    def _run(self, _name: str) -> None:
        self.store.leases.claim(owner="me", lease_s=600.0)

    def state(self, tenant: Tenant) -> object:
        """All that the store and the disk hold for a tenant."""
        jobs = [self.store.jobs.find(job_id, tenant=tenant.name) for job_id in tenant.jobs]
        documents = [self.store.jobs.document(job_id, tenant=tenant.name) for job_id in tenant.jobs]
        files = {job.study_key: self.blobs.has_study(job.study_key) for job in jobs if job}
        return jobs, documents, files, self.store.webhooks.all(tenant=tenant.name)


@pytest.fixture(scope="module")
def service(tmp_path_factory) -> Iterator[Service]:
    started = Service(tmp_path_factory.mktemp("tenants"))
    started.thread.start()
    while not started.server.started:
        time.sleep(0.01)
    yield started
    started.server.should_exit = started.server.force_exit = True
    started.thread.join()
    started.store.close()


def operations(document) -> list[tuple[str, str]]:
    return sorted((method.upper(), path) for path, item in document["paths"].items() for method in item)


def ask(service: Service, method: str, path: str, token: str | None) -> tuple[int, str]:
    """Ask and return status and text; of a stream what it says within a moment."""
    body, media_type = BODIES.get(path, (None, None)) if method == "POST" else (None, None)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    headers |= {} if media_type is None else {"Content-Type": media_type}
    heard = b""
    with httpx2.Client(base_url=service.url, timeout=httpx2.Timeout(30.0, read=30.0)) as client:
        request = client.build_request(method, path, headers=headers, content=body)
        response = client.send(request, stream=True)
        is_stream = response.headers.get("content-type", "").startswith("text/event-stream")
        if is_stream:
            request.extensions["timeout"]["read"] = LISTEN_S
            with contextlib.suppress(httpx2.ReadTimeout):
                for chunk in response.iter_raw():
                    heard += chunk
        else:
            heard = response.read()
        response.close()
    return response.status_code, heard.decode()


def filled(template: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        template = template.replace(f"{{{name}}}", value)
    return template


def addresses(template: str, tenant: Tenant) -> Iterator[tuple[str, str]]:
    """Yield every address of a template with the tenant's ids, and the same with ids that are nobody's."""
    names = [part[1:-1] for part in template.split("/") if part.startswith("{")]
    for first in tenant.ids(names[0]):
        rest = {name: tenant.ids(name)[0] for name in names[1:]}
        yield (
            filled(template, {names[0]: first} | rest),
            filled(template, {names[0]: NOBODYS} | rest),
        )


def test_no_route_shows_or_changes_what_is_another_tenants(service):
    before = service.state(service.owner)
    n_asked = 0
    for method, template in operations(service.document):
        if template in OPEN_TO_ALL:
            continue
        pairs = list(addresses(template, service.owner)) if "{" in template else [(template, template)]
        for theirs, nobodys in pairs:
            status, text = ask(service, method, theirs, service.other.token)
            n_asked += 1
            leaked = [mark for mark in service.owner.marks if mark in text]
            assert not leaked, f"{method} {theirs} shows {leaked}"
            if theirs != nobodys:
                # The very same answer as for what does not exist: that it exists is not told either.
                assert (status, text) == ask(service, method, nobodys, service.other.token)
                assert status == 404, f"{method} {theirs} answers {status}"
    assert service.state(service.owner) == before
    assert n_asked > 40, "the document lost its routes"


def test_every_route_but_health_asks_who_is_there(service):
    for method, template in operations(service.document):
        path = filled(template, {"job_id": NOBODYS, "webhook_id": NOBODYS, "name": "x"})
        status, text = ask(service, method, path, None)
        if template in OPEN_TO_ALL:
            assert status in (200, 503), template
        else:
            assert status == 401, f"{method} {template} answers {status} to nobody"
            assert method == "HEAD" or json.loads(text)["code"] == "UNAUTHENTICATED"


def test_every_route_but_health_needs_a_scope(service):
    key = new_key()
    service.store.keys.add(key.id, key.secret_sha256, tenant="ward-b", label="", scopes=())
    for method, template in operations(service.document):
        if template not in OPEN_TO_ALL:
            path = filled(template, {"job_id": NOBODYS, "webhook_id": NOBODYS, "name": "x"})
            status, _ = ask(service, method, path, key.token)
            expected = 200 if template == "/v1/bundles" else 403
            assert status == expected, f"{method} {template} answers {status} to a key without scopes"


def test_the_owner_is_shown_what_the_other_is_not(service):
    status, text = ask(
        service, "GET", f"/v1/jobs/{service.owner.jobs[0]}/artifacts/regions.csv", service.owner.token
    )
    assert (status, text) == (200, "regions of ward-a")
    listed = ask(service, "GET", "/v1/jobs", service.owner.token)[1]
    assert all(job_id in listed for job_id in service.owner.jobs)
    assert service.other.name not in listed


# Statements of routes that name no tenant, each with the reason why it need not.
UNSCOPED = [
    r"SELECT .* FROM api_key WHERE api_key.id = ",  # it says who asks
    r"SELECT .* FROM artifact WHERE artifact.job_id = ",  # of a job that was found under the tenant just before
    r"SELECT count\(\*\) AS count_1 FROM job WHERE job.state = ",  # how much waits: a number, for /metrics and 503
    r"SELECT job.queue, job.state, count\(\*\)",  # the same by queue, for the scope `metrics`
    r"SELECT count\(\*\) AS count_1 FROM job WHERE job.state IN ",  # leases, for the scope `metrics`
    r"SELECT coalesce\(sum\(study.size_bytes\)",  # for the scope `metrics`
    r"SELECT coalesce\(max\(event.id\)",  # for the scope `metrics`
    r"SELECT event.id, .* WHERE event.id > \? AND event.at <= ",  # for the scope `metrics`: times, no ids shown
]
OWNED = re.compile(
    r"(?:FROM|JOIN|UPDATE|DELETE FROM) (?:job|study|event|webhook|idempotency|api_key|artifact|result)\b"
)


def test_every_statement_of_a_route_names_the_tenant_in_its_conditions(service):
    asked = {statement for statement in service.statements if OWNED.search(statement)}
    assert len(asked) > 10, "the test above runs first"
    unscoped = {
        statement
        for statement in asked
        if "tenant = " not in statement.partition(" WHERE ")[2]
        and not any(re.match(known, statement) for known in UNSCOPED)
    }
    assert unscoped == set()
