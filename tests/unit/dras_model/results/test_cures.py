from dras_model.results.codes import CODES
from dras_model.results.cures import CURES


def test_every_code_has_a_cure_and_every_cure_is_a_sentence():
    assert set(CURES) == set(CODES)
    assert [code for code, cure in CURES.items() if not cure.endswith(".")] == []


def test_a_cure_holds_for_every_study_and_so_has_no_fields():
    assert [code for code, cure in CURES.items() if "{" in cure] == []
