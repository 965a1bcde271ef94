from pathlib import Path

from dras_model.results.codes import CODES, Kind
from dras_model.results.study import Region
from dras_model.scores.definitions import DEFINITIONS
from dras_model.scores.documentation import documentation
from dras_model.scores.limits import Limits

DOCUMENT = Path(__file__).parents[4] / "docs" / "scores.md"


def test_the_document_is_what_the_definitions_print() -> None:
    assert DOCUMENT.read_text("utf-8") == documentation(), "print it again: make docs"


def test_every_score_region_warning_and_limit_is_in_it() -> None:
    text = documentation()
    for definition in DEFINITIONS:
        assert f"### {definition.code}\n" in text
        assert definition.text(Limits()) in text
        assert definition.reference in text
    warnings = [code for code, entry in CODES.items() if entry.kind is Kind.WARNING]
    for name in (*Region, *Limits.model_fields, *warnings):
        assert f"| `{name}` |" in text


def test_another_limit_prints_another_document() -> None:
    assert "at least 20 mm³" in documentation(Limits(smallest_cluster_mm3=20.0))
    assert "thicker than 3 mm" in documentation(Limits(thick_withheld_mm=3.0))
