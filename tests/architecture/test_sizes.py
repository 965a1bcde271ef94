"""A module stays near 300 lines and a function near 40; who needs more says why in `# size: reason`."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(path for root in ("model", "service", "training") for path in (ROOT / root).rglob("*.py"))
MOST_MODULE_LINES, MOST_FUNCTION_LINES = 330, 48  # "about": a tenth and a fifth more
EXCUSE = "# size:"


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from the first statement after the docstring to the end."""
    first = function.body[0]
    docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    start = first.end_lineno + 1 if docstring and first.end_lineno else first.lineno
    return (function.end_lineno or start) - start + 1


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_short_and_opens_with_its_reason(path: Path) -> None:
    text = path.read_text("utf-8")
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "say in the first lines why the module exists"
    n_lines = len(text.splitlines())
    assert n_lines <= MOST_MODULE_LINES or EXCUSE in text, f"{n_lines} lines: split it, or say why ({EXCUSE})"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_function_is_short(path: Path) -> None:
    text = path.read_text("utf-8")
    lines = text.splitlines()
    long = {
        function.name: _body_lines(function)
        for function in _functions(ast.parse(text))
        if _body_lines(function) > MOST_FUNCTION_LINES and EXCUSE not in lines[function.lineno - 1]
    }
    assert not long, f"{long}: split them, or say why behind the def ({EXCUSE})"


def test_the_packages_are_where_the_design_puts_them() -> None:
    packages = {
        path.parent.relative_to(ROOT).as_posix()
        for root in ("model", "service", "training")
        for path in (ROOT / root).glob("*/__init__.py")
    }
    assert packages == {
        "model/dras_model",
        "service/dras_service",
        "service/dras_client",
        "service/dras_cli",
        "training/dras_training",
    }


@pytest.mark.parametrize("name", ["utils", "helpers", "common", "misc"])
def test_no_module_has_a_name_that_says_nothing(name: str) -> None:
    assert not [path for path in MODULES if path.stem == name]
