import subprocess
import sys

import pytest
from starlette.testclient import TestClient

from dras_service.errors import CannotServe
from dras_service.gateway.app import create_app
from dras_service.observability.tracing import NoTracing, open_tracing
from dras_service.settings import ObservabilitySettings, WorkerSettings
from dras_service.worker.tasks import Doorman
from unit.dras_service.examples import FakeEngine

pytest.importorskip("opentelemetry.sdk", reason="the extra `otel` is not installed")
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

ON = ObservabilitySettings(otlp_endpoint="http://127.0.0.1:9/v1/traces")
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"  # the example of W3C Trace Context
DICOM = {"Content-Type": "application/dicom"}


@pytest.fixture
def spans():
    return InMemorySpanExporter()


@pytest.fixture
def tracing(spans):
    return open_tracing(ON, service="dras-test", exporter=spans)


def submit_and_process(parts, tracing, headers):
    app = create_app(
        store=parts.store, blobs=parts.blobs, hints=parts.hints, settings=parts.settings, tracing=tracing
    )
    with TestClient(app) as client:
        answer = client.post("/v1/studies?series=1.2.3", content=b"abc", headers=DICOM | headers)
    doorman = Doorman(
        leases=parts.store.leases,
        blobs=parts.blobs,
        engine=FakeEngine(),
        settings=WorkerSettings(),
        tracing=tracing,
    )
    doorman.admit(answer.json()["id"])
    tracing.close()
    return answer.json()["id"]


def test_the_spans_of_caller_gateway_and_worker_join_by_way_of_the_jobs_row(parts, tracing, spans):
    job = submit_and_process(parts, tracing, {"traceparent": CALLER})
    served, worked = spans.get_finished_spans()
    assert served.name == "POST /v1/studies"
    assert format(served.context.trace_id, "032x") == CALLER.split("-")[1]
    assert format(served.parent.span_id, "016x") == CALLER.split("-")[2]
    assert worked.parent.span_id == served.context.span_id
    assert worked.context.trace_id == served.context.trace_id
    assert worked.attributes["dras.job"] == job


def test_a_span_carries_nothing_that_was_sent(parts, tracing, spans):
    submit_and_process(parts, tracing, {"User-Agent": "Doe^Jane", "tracestate": "doe=jane"})
    said = " ".join(span.to_json() for span in spans.get_finished_spans()).lower()
    assert "doe" not in said
    assert "1.2.3" not in said


@pytest.mark.parametrize("header", ["", "00-zz-zz-01", "Doe^Jane", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"])
def test_a_callers_broken_context_begins_a_trace_of_its_own(parts, tracing, spans, header):
    submit_and_process(parts, tracing, {"traceparent": header})
    assert spans.get_finished_spans()[0].parent is None


def test_an_error_leaves_its_type_and_not_its_text(tracing, spans):
    with pytest.raises(ValueError, match="Doe"), tracing.working("x", None):
        raise ValueError("Doe^Jane")
    tracing.close()
    (span,) = spans.get_finished_spans()
    assert span.attributes["error.type"] == "ValueError"
    assert "Doe" not in span.to_json()


def test_off_is_the_default_and_imports_nothing(parts):
    assert isinstance(open_tracing(ObservabilitySettings(), service="x"), NoTracing)
    program = (
        "import sys, dras_service.serve, dras_service.worker.tasks\n"
        "from dras_service.observability.tracing import open_tracing\n"
        "from dras_service.settings import ObservabilitySettings\n"
        "open_tracing(ObservabilitySettings(), service='x')\n"
        # FastAPI itself looks for the interface; the machinery is ours to leave alone.
        "kinds = ('opentelemetry.sdk', 'opentelemetry.exporter')\n"
        "print([name for name in sys.modules if name.startswith(kinds)])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_traces_without_their_extra_are_refused_at_the_start(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(CannotServe) as refusal:
        open_tracing(ON, service="x")
    assert refusal.value.code == "TRACING_NOT_INSTALLED"
