from pathlib import Path

import pytest

from dras_service.api.problems import PROBLEMS
from dras_service.reference.addresses import document, reference

DOCUMENT = Path(__file__).parents[4] / "docs" / "http-reference.md"


@pytest.fixture(scope="module")
def printed() -> str:
    return reference()


def test_the_document_is_what_the_gateway_says_of_itself(printed):
    assert DOCUMENT.read_text("utf-8") == printed, "run `make docs`"


def test_every_operation_parameter_and_answer_is_in_it(printed):
    parts = {part.partition("\n")[0]: part for part in printed.split("\n## ")}
    for path, operations in document()["paths"].items():
        for method, operation in operations.items():
            if method == "head":
                assert "HEAD is answered" in parts[f"GET {path}"]
                continue
            part = parts[f"{method.upper()} {path}"]
            assert all(f"| `{each['name']}` |" in part for each in operation.get("parameters", ()))
            assert all(f"\n| {status} | " in part for status in operation["responses"])


def test_errors_are_named_by_codes_that_there_are(printed):
    named = {text.partition("`]")[0] for text in printed.split("[`")[1:]}
    assert named
    assert named <= {code.value for code in PROBLEMS}
