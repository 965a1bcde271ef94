import json
import re
import shutil
import subprocess

import promql_parser as promql
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from deployment.composing import ROOT
from dras_service.api.jobs import JobState
from dras_service.observability.metrics import Metrics
from dras_service.store.engine import open_engine
from dras_service.store.store import Store
from dras_service.worker.beacon import Gauges

ALERTS = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())["groups"][0]["rules"]
DASHBOARDS = {
    path.stem: json.loads(path.read_text()) for path in (ROOT / "deploy/grafana/dashboards").glob("*.json")
}
EXPRESSIONS = [rule["expr"] for rule in ALERTS] + [
    target["expr"]
    for board in DASHBOARDS.values()
    for panel in board["panels"]
    for target in panel["targets"]
]
OF_PROMETHEUS = {"up"}


def selectors(expression: str) -> list[tuple[str, dict[str, str]]]:
    """Every series that an expression asks for, with the labels that it compares."""
    found = []

    def visit(node):
        if isinstance(node, promql.VectorSelector):
            found.append((node.name, {matcher.name: matcher.value for matcher in node.matchers.matchers}))
        for name in ("expr", "lhs", "rhs", "vector_selector"):
            if (inner := getattr(node, name, None)) is not None:
                visit(inner)
        for argument in getattr(node, "args", ()) or ():
            visit(argument)

    visit(promql.parse(expression))
    return found


class GpuLibrary:
    """NVIDIA's, of a machine with one."""

    def __getattr__(self, name):
        class Numbers:
            gpu, used, total = 50, 1 << 30, 1 << 34

        return lambda *_: 1 if name == "nvmlDeviceGetCount" else Numbers


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> dict[str, set[str]]:
    """The labels of every series that a gateway of a service with a GPU shows, by its name."""
    store = Store(open_engine(f"sqlite:///{tmp_path_factory.mktemp('watched') / 'jobs.sqlite3'}"))
    store.migrate()
    gauges = Gauges()
    gauges._nvml = GpuLibrary()
    store.numbers.seen("host:1", started_at=1.0, gauges=gauges.read())
    metrics = Metrics(store.numbers)
    http, stages = metrics.http, metrics._stages
    for metric in (http.requests, http.seconds, http.received, http.sent, http.uploads, http.refused):
        metric.labels(*["x"] * len(metric._labelnames))
    for metric in (stages._stage_s, stages._job_s, stages._ended):
        metric.labels(*["x"] * len(metric._labelnames))
    of_jobs = {"queue", "state"}  # there are none, and so no samples of theirs
    found: dict[str, set[str]] = {"dras_jobs": of_jobs, "dras_oldest_job_seconds": of_jobs}
    for family in text_string_to_metric_families(metrics.exposition().decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    store.close()
    return found


def test_every_number_that_is_watched_is_exported_with_the_labels_that_are_asked_for(exported):
    for expression in EXPRESSIONS:
        for name, labels in selectors(expression):
            if name not in OF_PROMETHEUS:
                assert name in exported, f"{name} in {expression}"
                assert set(labels) - {"job", "instance"} <= exported[name], expression


def test_a_number_that_nobody_exports_is_found():
    ((name, labels),) = selectors('max by (queue) (rate(dras_made_up{state="x"}[5m])) > 1')
    assert (name, labels) == ("dras_made_up", {"state": "x"})


def test_states_that_are_asked_for_are_states_of_a_job():
    known = {state.value for state in JobState}
    for expression in EXPRESSIONS:
        for name, labels in selectors(expression):
            if name.startswith(("dras_jobs", "dras_oldest")) and "state" in labels:
                assert set(labels["state"].split("|")) <= known, expression


def test_every_alert_has_a_cure_and_every_cure_an_alert():
    operations = (ROOT / "docs/operations.md").read_text()
    cures = set(re.findall(r"^\| `(Dras\w+)` \|", operations, re.MULTILINE))
    assert cures == {rule["alert"] for rule in ALERTS}


def test_every_alert_says_how_bad_it_is_and_what_it_is():
    for rule in ALERTS:
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}, rule["alert"]
        assert rule["annotations"]["summary"].endswith("."), rule["alert"]


def test_numbers_of_the_whole_service_are_not_added_up_over_gateways():
    alone = re.compile(r"sum(?: by \([^)]*\))? \(?(?:dras_jobs\{|dras_leases|dras_letters|dras_oldest)")
    assert not [expression for expression in EXPRESSIONS if alone.search(expression)]


def test_dashboards_can_be_told_apart_and_name_the_source_that_is_provided():
    path = ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml"
    (source,) = yaml.safe_load(path.read_text())["datasources"]
    assert len({board["uid"] for board in DASHBOARDS.values()}) == len(DASHBOARDS) == 3
    for board in DASHBOARDS.values():
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
        assert {panel["datasource"]["uid"] for panel in board["panels"]} == {source["uid"]}


def test_prometheus_itself_takes_rules_and_configuration():
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    folder = ROOT / "deploy/prometheus"
    for words in (["rules", "alerts.yml"], ["config", "--syntax-only", "prometheus.yml"]):
        done = subprocess.run(
            [promtool, "check", *words], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
