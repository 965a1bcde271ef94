import string

import pytest

from dras_service.api.problems import PROBLEMS, Problem, ProblemCode


def test_the_table_holds_every_code_and_nothing_else():
    assert set(PROBLEMS) == set(ProblemCode)


@pytest.mark.parametrize("code", list(ProblemCode))
def test_a_problem_has_an_error_status_and_sentences(code):
    entry = PROBLEMS[code]
    assert 400 <= entry.status <= 599
    assert not entry.title.endswith(".")
    assert entry.detail.endswith((".", "}"))


@pytest.mark.parametrize("code", list(ProblemCode))
def test_a_problem_document_is_rendered_from_its_fields(code):
    names = [name for _, name, _, _ in string.Formatter().parse(PROBLEMS[code].detail) if name]
    problem = Problem.of(code, dict.fromkeys(names, 7))
    assert problem.type == f"urn:dras:problem:{code}"
    assert problem.status == PROBLEMS[code].status
    assert "{" not in problem.detail


def test_a_missing_field_is_a_defect_and_not_an_empty_sentence():
    with pytest.raises(KeyError):
        Problem.of(ProblemCode.UPLOAD_TOO_LARGE)
