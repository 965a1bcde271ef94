from types import SimpleNamespace

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from dras_service.gateway.problems import add_problem_handlers
from dras_service.gateway.routes.health import health_router
from dras_service.queue.hints import BrokerUnreachable
from dras_service.settings import ObservabilitySettings
from dras_service.store.errors import StoreUnavailable


class Part:
    def __init__(self, fault=None, seen_s_ago=0.0):
        self.fault = fault
        self.numbers = SimpleNamespace(seen_within=lambda age_s: seen_s_ago <= age_s)

    def check(self):
        if self.fault:
            raise self.fault


def ask(*, is_shut=False, **parts):
    app = FastAPI()
    add_problem_handlers(app)
    door = SimpleNamespace(is_shut=is_shut)
    app.include_router(health_router(**parts, door=door, settings=ObservabilitySettings(beacon_s=10.0)))
    return TestClient(app).get("/readyz")


@pytest.mark.parametrize(
    ("part", "name", "fault"),
    [
        ("store", "database", StoreUnavailable("away")),
        ("blobs", "blobs", OSError("read-only")),
        ("hints", "broker", BrokerUnreachable("away")),
    ],
)
def test_one_missing_part_makes_the_gateway_unready_and_is_named(part, name, fault):
    parts = {"store": Part(), "blobs": Part(), "hints": Part()} | {part: Part(fault)}
    answer = ask(**parts)
    assert (answer.status_code, answer.json()["code"]) == (503, "NOT_READY")
    assert f"Its {name} cannot" in answer.json()["detail"]


def test_with_all_its_parts_the_gateway_is_ready():
    assert ask(store=Part(), blobs=Part(), hints=Part()).json()["ready"] is True


@pytest.mark.parametrize(("seen_s_ago", "worker"), [(39.0, True), (41.0, False)])
def test_a_gateway_goes_on_without_workers_and_says_so(seen_s_ago, worker):
    shown = ask(store=Part(seen_s_ago=seen_s_ago), blobs=Part(), hints=Part()).json()
    assert (shown["ready"], shown["worker"]) == (True, worker)


def test_a_gateway_that_is_about_to_stop_is_not_ready_whatever_it_has():
    answer = ask(is_shut=True, store=Part(), blobs=Part(), hints=Part())
    assert (answer.status_code, answer.json()["code"]) == (503, "DRAINING")
    assert int(answer.headers["Retry-After"]) > 0
