import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from dras_service.gateway.problems import add_problem_handlers
from dras_service.gateway.routes.health import health_router
from dras_service.queue.hints import BrokerUnreachable
from dras_service.store.errors import StoreUnavailable


class Part:
    def __init__(self, fault=None):
        self.fault = fault

    def check(self):
        if self.fault:
            raise self.fault


def ask(**parts):
    app = FastAPI()
    add_problem_handlers(app)
    app.include_router(health_router(**parts))
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
