"""No code without use: each is given somewhere in the product, and some test waits for it by its name."""

import re
from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

import pytest

from dras_model.results.codes import Code
from dras_service.api.problems import ProblemCode

ROOT = Path(__file__).parents[2]
PACKAGES = ("model", "service", "training")
DEFINED_IN = {
    "Code": "model/dras_model/results/codes.py",
    "ProblemCode": "service/dras_service/api/problems.py",
}


def _words(files: Iterable[Path], pattern: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for path in files:
        found.update(re.findall(pattern, path.read_text()))
    return found


@pytest.mark.parametrize("codes", [Code, ProblemCode])
def test_every_code_is_given_somewhere(codes: type[StrEnum]) -> None:
    defined = ROOT / DEFINED_IN[codes.__name__]
    files = (path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if path != defined)
    given = _words(files, rf"\b{codes.__name__}\.([A-Z0-9_]+)")
    assert [code.name for code in codes if not given[code.name]] == []


@pytest.mark.parametrize("codes", [Code, ProblemCode])
def test_every_code_is_waited_for_by_a_test(codes: type[StrEnum]) -> None:
    named = _words((ROOT / "tests").rglob("*.py"), r"[A-Za-z0-9_-]+")
    assert [code.name for code in codes if not named[code.name] and not named[code.value]] == []
