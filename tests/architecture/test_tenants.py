"""What the gateway asks of the store, it asks in a tenant's name; the few exceptions are listed with a reason."""

import ast
import inspect
from pathlib import Path

import pytest

from dras_service.store.ending import Ending
from dras_service.store.events import Events
from dras_service.store.keys import Keys
from dras_service.store.lookup import JobLookup
from dras_service.store.neighbours import Neighbours
from dras_service.store.submission import Submission
from dras_service.store.tenants import Tenants
from dras_service.store.webhooks import Webhooks
from dras_service.store.workitems import WorkItemRows

GATEWAY = Path(__file__).parents[2] / "service" / "dras_service" / "gateway"
FOR_CLIENTS = (JobLookup, Submission, Ending, Events, Webhooks, Keys, Tenants, Neighbours, WorkItemRows)
NOT_FOR_ONE_TENANT = {
    "JobLookup.n_waiting": "a number, to say 503 where the queue of all is full",
    "Keys.find": "it is what says who asks",
    "Ending.expire": "the sweeper's",
    "Ending.clear_outputs": "the sweeper's",
    "Ending.clear_studies": "the sweeper's",
    "Tenants.all": "the operator's",
}
# A tenant is these methods' very subject.
BY_NAME = {"Tenants.create", "Tenants.set_quotas", "Tenants.find", "Tenants.usage"}
MODULES = sorted(GATEWAY.rglob("*.py"))


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{name.name}" for name in node.names}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(GATEWAY)))
def test_the_gateway_writes_no_query_of_its_own(path: Path) -> None:
    forbidden = ("sqlalchemy", "dras_service.store.schema", "dras_service.store.database.Database")
    allowed = {"dras_service.store.schema.DEFAULT_TENANT"}
    assert not [name for name in _imports(path) if name.startswith(forbidden) and name not in allowed]


@pytest.mark.parametrize("part", FOR_CLIENTS, ids=lambda part: part.__name__)
def test_whatever_the_gateway_can_ask_takes_a_tenant_or_says_why_not(part: type) -> None:
    for name, method in inspect.getmembers(part, inspect.isfunction):
        qualified = f"{part.__name__}.{name}"
        if name.startswith("_") or qualified in BY_NAME or qualified in NOT_FOR_ONE_TENANT:
            continue
        parameter = inspect.signature(method).parameters.get("tenant")
        assert parameter is not None, f"{qualified} takes no tenant"
        optional = parameter.default is not inspect.Parameter.empty
        assert not optional or qualified == "Keys.all", f"{qualified} works without a tenant"


def test_every_exception_is_a_method_that_there_is() -> None:
    names = {
        f"{part.__name__}.{name}"
        for part in FOR_CLIENTS
        for name, _ in inspect.getmembers(part, inspect.isfunction)
    }
    assert set(NOT_FOR_ONE_TENANT) | BY_NAME <= names
