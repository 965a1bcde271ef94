from pathlib import Path

import pytest

from dras_service.doctor.examination import check_variables
from dras_service.reference.settings import reference

DOCUMENT = Path(__file__).parents[4] / "docs" / "settings.md"


def variables() -> list[str]:
    return [line.split("`")[1] for line in reference().splitlines() if line.startswith("| `DRAS_")]


def test_the_document_is_what_the_settings_say_now():
    assert DOCUMENT.read_text("utf-8") == reference(), "run `make docs`"


@pytest.mark.parametrize("name", ["DRAS_DATA", "DRAS_GATEWAY__PORT", "DRAS_AUTHENTICATION__OIDC__ISSUER"])
def test_a_setting_is_listed_under_the_variable_that_sets_it(name):
    assert name in variables()


def test_no_variable_is_listed_twice_and_the_doctor_knows_them_all():
    assert len(set(variables())) == len(variables())
    assert list(check_variables(dict.fromkeys(variables(), ""))) == []
