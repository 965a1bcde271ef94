from pathlib import Path

from dras_model.results.codes import CODES
from dras_service.api.problems import PROBLEMS
from dras_service.doctor.faults import FAULTS
from dras_service.reference.codes import reference

DOCUMENT = Path(__file__).parents[4] / "docs" / "codes.md"


def test_the_document_is_what_the_tables_say_now():
    assert DOCUMENT.read_text("utf-8") == reference(), "run `make docs`"


def test_every_code_has_a_row_with_its_sentence():
    rows = reference().splitlines()
    assert len([row for row in rows if row.startswith("| `")]) == len(CODES) + len(PROBLEMS) + len(FAULTS)
    for code, entry in (CODES | FAULTS).items():
        (row,) = [row for row in rows if row.startswith(f"| `{code}`") and entry.sentence in row]
        assert not row.endswith("|  |")
