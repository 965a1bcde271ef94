"""The fake service held against the real one: a scenario that both go through, and every answer they gave."""

import json
import re
from collections.abc import Iterator

import httpx2
import numpy as np
import pytest

from dras_client import (
    Client,
    DrasClientError,
    JobState,
    ProblemError,
    UnknownBundle,
)
from dras_client.testing import FakeService, example_result
from integration.sdk.conftest import JOB_WITHIN_S

# What the fake writes; pictures, maps and the report come from a real pipeline only.
FILES = {"features.npz", "patches.csv", "regions.csv", "result.json"}
TEXT = b"this is no image"


class Recorded(httpx2.BaseTransport):
    """A network that notes what was answered: status, kind, and the names in a document."""

    def __init__(self, inner):
        self.inner = inner
        self.heard = set()

    def close(self):
        self.inner.close()

    def handle_request(self, request):
        response = self.inner.handle_request(request)
        kind = response.headers.get("content-type", "").partition(";")[0]
        path = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", request.url.path)
        if response.status_code == 204:
            kind = ""
        names = names_of(json.loads(response.read())) if kind.endswith("json") else frozenset()
        self.heard.add((request.method, path, response.status_code, kind, names))
        return response


def names_of(document, prefix=""):
    """The keys of a document, as paths; what a scenario's data decide is left out."""
    if isinstance(document, list):
        return names_of(document[0], prefix) if document else frozenset()
    if not isinstance(document, dict):
        return frozenset()
    below = (names_of(value, f"{prefix}{key}.") for key, value in document.items())
    return frozenset(f"{prefix}{key}" for key in document).union(*below)


def scenario(client, study, prepare) -> Iterator[tuple[str, object]]:
    """Go through everything once; yield what a program sees. `prepare` tells a fake what comes next."""
    first = client.submit(study, repeat=True, idempotency_key="k")
    yield (
        "the same request is the same job",
        client.submit(study, repeat=True, idempotency_key="k").id == first.id,
    )
    yield "the key with another", fault(lambda: client.submit(TEXT, repeat=True, idempotency_key="k"))
    yield "too early", fault(first.result)
    yield "remove too early", fault(first.remove)
    yield "no such bundle", fault(lambda: client.submit(study, bundle="nobody"))
    heard = list(first.events())
    yield "states", list(dict.fromkeys(event.state for event in heard))
    yield "events ascend", [event.id for event in heard] == sorted({event.id for event in heard})
    yield "heard again", list(first.events(after=heard[-1].id))
    yield (
        "heard from the second on",
        [event.id for event in first.events(after=heard[0].id)] == [event.id for event in heard[1:]],
    )
    yield "state", first.wait(JOB_WITHIN_S).state
    yield "files", sorted({file.name for file in first.artifacts()} & FILES)
    yield "no such file", fault(lambda: first.read("nothing"))
    yield "regions", list(first.regions().columns)
    patches = first.patches()
    yield "patches", (list(patches.columns), patches.valid.dtype == bool)
    yield "arrays", arrays(first.features())
    yield "score", first.result().score("LAA-950insp", "right").unit
    yield "status", first.result().status
    yield "alike", first.similar().training != ""  # theirs are trained, ours are not
    prepare("reject")
    rejected = client.submit(TEXT, repeat=True).wait(JOB_WITHIN_S)
    yield "rejected", (rejected.state, rejected.view.code, rejected.view.message, fault(rejected.result))
    prepare("hang")
    cancelled = client.submit(study, repeat=True)
    cancelled.cancel()
    yield "cancelled", (cancelled.wait(JOB_WITHIN_S).state, fault(cancelled.features))
    yield "cancelled again", cancelled.cancel().state
    yield "listed", rejected.id in [job.id for job in client.jobs(states=[JobState.REJECTED])]
    for job in (first, rejected, cancelled):
        job.remove()
    yield "removed", (fault(first.status), fault(first.remove), fault(lambda: client.job(first.id)))
    yield "bundles", [bundle.is_default for bundle in client.bundles()]
    yield "health", client.health().status


def fault(call):
    with pytest.raises(DrasClientError) as caught:
        call()
    error = caught.value
    # Where a job is meanwhile, and what else is offered, is not the fake's to know.
    text = re.sub("The job is (queued|preparing|encoding|finishing)", "The job is on its way", str(error))
    return type(error), text if not isinstance(error, UnknownBundle) else error.code


def arrays(features):
    own = {name: getattr(features, name) for name in features.__slots__ if name != "more"}
    columns = {
        name: array for name, array in {**own, **features.more}.items() if array.ndim and len(array) > 4
    }
    return {
        name: (array.ndim, array.shape[1:], np.dtype(array.dtype).kind) for name, array in columns.items()
    }


def test_a_program_cannot_tell_the_fake_service_from_a_real_one(serving, study):
    fake = FakeService()
    instructions = {"reject": fake.will_reject, "hang": fake.will_hang}
    networks = [Recorded(fake.transport), Recorded(httpx2.HTTPTransport())]
    with Client("http://dras.test", transport=networks[0]) as client:
        told = dict(scenario(client, study, lambda what: instructions[what]()))
    with Client(serving.url, transport=networks[1]) as client:
        real = dict(scenario(client, study, lambda _: None))
    assert told == real
    answered, really = (without_data(network.heard) for network in networks)
    assert answered ^ really == set()


def without_data(heard):
    """Answers without the parts that hang on what a result holds, rather than on the interface."""
    return {
        (method, path, status, kind, frozenset(name for name in names if not name.startswith(_DATA)))
        for method, path, status, kind, names in heard
    }


# Maps and lists whose content is the study's own.
_DATA = ("provenance.", "timings.", "options.", "warnings", "regions.", "region_codes.", "scores.details.",
         "qc.", "neighbours", "acquisition.", "jobs.", "candidates.", "bundles.")  # fmt: skip


def test_what_is_said_of_the_next_requests_is_what_they_meet():
    fake = FakeService()
    client = Client("http://dras.test", transport=fake.transport, retry_for_s=0)
    fake.will_answer(502)
    fake.will_be_busy()
    fake.will_break()
    met = []
    for _ in range(3):
        with pytest.raises(DrasClientError) as caught:
            client.health()
        met.append(type(caught.value).__name__)
    assert met == ["ProxyFailed", "ServiceBusy", "ServiceUnreachable"]
    assert client.health().status == "ok"


def test_trouble_that_passes_is_borne_by_the_client():
    fake = FakeService()
    fake.will_break(times=2)
    job = Client("http://dras.test", transport=fake.transport).submit(b"x")
    assert list(fake.jobs) == [job.id]
    assert len(fake.requests) == 3


def test_a_failed_job_and_a_result_of_ones_own_are_told_as_they_were_said():
    fake = FakeService()
    client = Client("http://dras.test", transport=fake.transport)
    fake.will_fail()
    with pytest.raises(ProblemError, match="INTERNAL: The service failed on this study"):
        client.submit(b"x").wait().result()
    own = example_result().model_copy(update={"status": "partial"})
    fake.will_succeed(own, {"map.nii": b"1"})
    job = client.submit(b"y").wait()
    assert (job.state, job.result(), job.read("map.nii")) == ("partial", own, b"1")
