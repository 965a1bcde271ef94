"""Every commit, rename and publish of the service has a failpoint on either side, and every failpoint a place."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from dras_service.failpoints import STEPS, TRANSACTIONS

SERVICE = Path(__file__).parents[2] / "service" / "dras_service"
MODULES = [
    path
    for folder in ("store", "queue", "worker", "gathering")
    for path in sorted((SERVICE / folder).rglob("*.py"))
]
STEPS_OUTSIDE = {"rename", "replace", "send_task"}
DATABASE = SERVICE / "store" / "database.py"


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def _name(call: ast.Call) -> str:
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def _is_step(call: ast.Call) -> bool:
    # A string's `replace` takes two, a dataclass's has names, a path's takes one.
    elsewhere = _name(call) == "replace" and (len(call.args) != 1 or call.keywords)
    return _name(call) in STEPS_OUTSIDE and not elsewhere


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(SERVICE).as_posix())
def test_a_rename_or_a_publish_stands_between_two_failpoints(path: Path) -> None:
    for function in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            hits = [call.lineno for call in _calls(function) if _name(call) == "hit"]
            for step in filter(_is_step, _calls(function)):
                where = f"{path.name}:{step.lineno}"
                assert any(line < step.lineno for line in hits), f"{where}: no failpoint before"
                assert any(line > step.lineno for line in hits), f"{where}: no failpoint after"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(SERVICE).as_posix())
def test_a_transaction_is_opened_in_one_place_only(path: Path) -> None:
    if path == DATABASE:
        return
    opened = {_name(call) for call in _calls(ast.parse(path.read_text("utf-8")))} & {"begin_nested", "commit"}
    begins = [
        call
        for call in _calls(ast.parse(path.read_text("utf-8")))
        if _name(call) in ("begin", "connect") and "engine" in ast.unparse(call.func)
    ]
    assert not begins, f"{path.name} goes past Database.write"
    assert "begin_nested" not in opened


def test_the_registry_names_the_transactions_there_are_and_no_others() -> None:
    written = {
        call.args[0].value
        for path in MODULES
        for call in _calls(ast.parse(path.read_text("utf-8")))
        if _name(call) == "write"
        and call.args
        and isinstance(call.args[0], ast.Constant)
        and any(keyword.arg == "tenant" for keyword in call.keywords)
    }
    assert written == set(TRANSACTIONS)


def test_the_registry_names_the_steps_there_are_and_no_others() -> None:
    said = {
        node.value.partition(".")[0]
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.partition(".")[0] in STEPS
    }
    assert said == set(STEPS)
