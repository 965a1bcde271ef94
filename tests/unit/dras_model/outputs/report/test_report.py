import json
import string
import sys
from dataclasses import replace
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path

import pypdf
import pytest

from dras_model.exporting import export
from dras_model.outputs.exports import EXPORTS
from dras_model.outputs.report.page import MOST_LABEL, Page
from dras_model.outputs.stored import StoredResult
from dras_model.results.codes import CODES, Code, Kind
from dras_model.results.errors import SetupRefused, StudyRefused
from dras_model.results.study import Region, Score, StudyResult, StudyWarning
from unit.dras_model.outputs.report.printing import Printed, numbers, printed

# Code, image, decimals and factor of each column of the table, left to right, as a reader of result.json sees them.
RAW = (("LAA-950insp", 2, 1), ("Perc15", 0, 1), ("MLD", 0, 1), ("volume", 2, 1000))
ROWS = {
    "Both lungs": "whole", "Right lung": "right", "Right upper third": "right_apical",
    "Right middle third": "right_middle", "Right lower third": "right_basal", "Left lung": "left",
    "Left upper third": "left_apical", "Left middle third": "left_middle", "Left lower third": "left_basal",
}  # fmt: skip
LOBE_ROWS = {
    "Right upper lobe": "right_upper_lobe", "Right middle lobe": "right_middle_lobe",
    "Right lower lobe": "right_lower_lobe", "Left upper lobe": "left_upper_lobe",
    "Left lower lobe": "left_lower_lobe",
}  # fmt: skip


def rounded(value: float, digits: int, factor: int) -> str:
    """A number with so many decimals, by decimal arithmetic."""
    exact = Decimal(value) / factor
    return str(exact.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_EVEN))


def harmonised(result: StudyResult, *, value: float | None = 4.56) -> StudyResult:
    """The result with harmonised scores beside the raw ones."""
    again = tuple(
        each.model_copy(
            update={
                "image": "harmonised",
                "value": None if value is None else value + n,
                "reason": "the noise is too high" if value is None else None,
            }
        )
        for n, each in enumerate(s for s in result.scores if s.code in {"LAA-950insp", "Perc15"})
    )
    return result.model_copy(update={"scores": (*result.scores, *again)})


def without_value(result: StudyResult, code: str, reason: str) -> StudyResult:
    """The result with one score that could not be given."""
    scores = tuple(
        each.model_copy(update={"value": None, "reason": reason}) if each.code == code else each
        for each in result.scores
    )
    return result.model_copy(update={"scores": scores})


def warning(code: Code, *, severe: bool, words: str) -> StudyWarning:
    """A warning of any code with invented evidence."""
    fields = [(name, form) for _, name, form, _ in string.Formatter().parse(CODES[code].sentence) if name]
    evidence = {name: 3.5 if form and form[-1] in "fg" else words for name, form in fields}
    return StudyWarning.of(code, severe=severe, **evidence)


def every_warning(n: int, words: str) -> tuple[StudyWarning, ...]:
    codes = [code for code in Code if CODES[code].kind is Kind.WARNING]
    return tuple(warning(code, severe=n % 3 == 0, words=words) for n, code in enumerate(codes[:n]))


def _expected_rows(result: StudyResult, rows: dict[str, str]) -> list[list[str]]:
    return [
        [name, *(rounded(result.score(code, region).value or 0, *how) for code, *how in RAW)]
        for name, region in rows.items()
    ]


def test_the_table_of_the_page_holds_the_numbers_of_the_result(ready: StoredResult) -> None:
    seen = printed(ready).page.rows
    shown = [[cell.replace("\N{MINUS SIGN}", "-") for cell in row] for row in seen[1:]]
    assert shown == _expected_rows(ready.result, ROWS)


def test_the_table_of_the_pdf_holds_the_numbers_of_the_result(ready: StoredResult) -> None:
    text = printed(ready).text.replace("\N{MINUS SIGN}", "-")
    for row in _expected_rows(ready.result, ROWS):
        assert " ".join(row) in text


def test_negative_numbers_have_a_minus_sign_and_round_like_the_result(ready: StoredResult) -> None:
    values = {"Perc15": -912.5, "MLD": -853.4999, "LAA-950insp": 0.005}
    scores = tuple(
        each.model_copy(update={"value": values[each.code]}) if each.code in values else each
        for each in ready.result.scores
    )
    result = ready.result.model_copy(update={"scores": scores})
    both = printed(ready, result)
    for row in _expected_rows(result, ROWS):
        assert " ".join(row).replace("-", "\N{MINUS SIGN}") in both.text.replace("LAA-950", "")
    assert both.page.rows[1][2:4] == ["\N{MINUS SIGN}912", "\N{MINUS SIGN}853"]


def test_harmonised_numbers_stand_beside_the_raw_ones(ready: StoredResult) -> None:
    result = harmonised(ready.result)
    whole = result.score("LAA-950insp"), result.score("LAA-950insp", image="harmonised")
    expected = [rounded(each.value or 0, 2, 1) for each in whole]
    both = printed(ready, result)
    assert both.page.rows[1][1:3] == expected
    assert f"Both lungs {expected[0]} {expected[1]}" in both.text
    assert f"harmonised {expected[1]} %" in both.text


def test_lobes_have_rows_where_the_result_has_them(ready: StoredResult, result: StudyResult) -> None:
    both = printed(ready, result)
    assert [row[0] for row in both.page.rows[1:]] == [*ROWS, *LOBE_ROWS]
    for row in _expected_rows(result, LOBE_ROWS):
        assert " ".join(row) in both.text


def test_an_empty_cell_says_why_in_a_footnote(ready: StoredResult) -> None:
    reason = "slices are thicker than 5.05 mm"
    both = printed(ready, without_value(ready.result, "LAA-950insp", reason))
    assert both.page.rows[1][1] == "\N{EM DASH}a"
    assert f"a {reason}" in both.text
    assert reason in both.page.text


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"warnings": ()},
        {"warnings": every_warning(5, "of some evidence")},
        {"warnings": every_warning(12, "evidence that is longer than a line of the page " * 2)},
        {"warnings": every_warning(31, "evidence that is much longer than a line of the page " * 6)},
        {"status": "partial"},
        {"scores": ()},
    ],
    ids=["plain", "no warnings", "five", "twelve", "all", "partial", "no scores"],
)
def test_the_pdf_is_one_page_whatever_the_result_says(
    ready: StoredResult, result: StudyResult, change: dict[str, object]
) -> None:
    # Letter is the shorter paper.
    longest = harmonised(without_value(result, "MLD", "a long reason " * 12), value=None)
    for told in (ready.result, longest):
        made = printed(
            ready, told.model_copy(update=change), Page("W" * MOST_LABEL, date(2026, 1, 2), "letter")
        )
        assert made.pages == 1
        assert "SHA-256" in made.text  # the last part is there


@pytest.mark.parametrize(("paper", "size_mm"), [("a4", (210.0, 297.0)), ("letter", (215.9, 279.4))])
def test_the_paper_is_the_one_asked_for(ready: StoredResult, paper, size_mm, tmp_path) -> None:
    (tmp_path / "p.pdf").write_bytes(printed(ready, page=Page(paper=paper)).pdf)
    box = pypdf.PdfReader(tmp_path / "p.pdf").pages[0].mediabox
    assert (float(box.width) * 25.4 / 72, float(box.height) * 25.4 / 72) == pytest.approx(size_mm, abs=0.2)


def _forms(made: Printed) -> tuple[str, str]:
    return made.text, made.page.text


def test_warnings_come_before_any_number_and_severe_ones_first(ready: StoredResult) -> None:
    warnings = (
        warning(Code.THICK_SLICE, severe=False, words=""),
        warning(Code.SHARP_KERNEL, severe=True, words="B70f"),
    )
    for text in _forms(printed(ready, ready.result.model_copy(update={"warnings": warnings}))):
        sharp, thick = text.index("kernel B70f is sharp"), text.index("Slices are 3.50 mm thick")
        assert text.index("Read first: 2 warnings, 1 of them severe") < sharp < thick
        assert thick < text.index("Emphysema index")


def test_every_warning_is_in_the_page_in_full_and_in_the_pdf_at_least_by_title(ready: StoredResult) -> None:
    warnings = every_warning(31, "evidence " * 60)
    made = printed(ready, ready.result.model_copy(update={"warnings": warnings}))
    for each in warnings:
        assert " ".join(each.message.split()) in made.page.text.replace("\N{MINUS SIGN}", "-")
    for n in range(1, 32):
        assert f" {n}. " in made.text
    assert "in full in report.html" in made.text


def test_the_numbers_of_warnings_are_those_that_bear_on_a_column(ready: StoredResult) -> None:
    # Of the invented scores, Perc15 alone carries LOSSY, which is put third.
    warnings = (
        warning(Code.TILT, severe=False, words=""),
        warning(Code.KVP_NOT_120, severe=False, words=""),
        StudyWarning.of(Code.LOSSY),
    )
    heads = printed(ready, ready.result.model_copy(update={"warnings": warnings})).page.rows[0]
    assert [head for head in heads if "see" in head] == ["Perc15HUsee 3"]


@pytest.mark.parametrize(
    ("training", "said"),
    [
        ("untrained", "Untrained encoder weights"),
        ("trained on phantoms of seed 3, 12 epochs", "Phantom-trained encoder weights"),
        ("trained on COPDGene, 50 epochs", None),
        ("imported from a DrasCLR checkpoint, epoch 19", None),
    ],
)
def test_a_band_says_so_where_the_weights_mean_nothing_and_nowhere_else(
    ready: StoredResult, training: str, said: str | None
) -> None:
    weights = ready.result.provenance.weights.model_copy(update={"training": training})
    provenance = ready.result.provenance.model_copy(update={"weights": weights})
    for text in _forms(printed(ready, ready.result.model_copy(update={"provenance": provenance}))):
        assert ("encoder weights: the embeddings have no clinical meaning" in text) == (said is not None)
        assert said is None or said in text


def test_research_use_and_a_partial_result_are_said_in_both(ready: StoredResult) -> None:
    for text in _forms(printed(ready, ready.result.model_copy(update={"status": "partial"}))):
        assert "Research use. Not for diagnosis." in text
        assert "Partial result: 1 of 2 patches are valid." in text
    for text in _forms(printed(ready)):
        assert "Partial result" not in text


def test_the_label_and_the_date_are_the_users_own(ready: StoredResult) -> None:
    for text in _forms(printed(ready, page=Page("Study 12, <b> & co", date(2026, 11, 23)))):
        assert "Study 12, <b> & co" in text
        assert "2026-11-23" in text


def test_without_a_label_nothing_names_the_study(ready: StoredResult) -> None:
    made = printed(ready)
    uid = ready.result.series_instance_uid
    assert made.page.elements
    for text in (*_forms(made), made.html):
        assert f"{uid} " not in text
        assert "202" not in numbers(text)


def test_equal_input_gives_equal_bytes(ready: StoredResult) -> None:
    page = Page("twice", date(2026, 11, 23))
    assert printed(ready, page=page) == printed(ready, page=page)


def test_tags_of_the_header_are_shown_as_they_are_and_do_nothing(ready: StoredResult) -> None:
    strange = "<script>alert(1)</script> #panic() $x$"
    acquisition = ready.result.acquisition.model_copy(
        update={"kernel": strange[:38], "manufacturer": "メーカー\x00\u202e"}
    )
    made = printed(ready, ready.result.model_copy(update={"acquisition": acquisition}))
    assert not [tag for tag, _ in made.page.elements if tag == "script"]
    assert "<script>alert(1)</script>" in made.page.text
    assert "<script>alert(1)</script>" in made.text.replace("</script >", "</script>")
    assert made.pages == 1


def test_a_missing_or_damaged_part_is_told(ready: StoredResult, tmp_path) -> None:
    (tmp_path / "key_images.npz").write_bytes(b"damaged")
    for _ in range(2):
        with pytest.raises(StudyRefused) as refused:
            EXPORTS["report"].writer()(ready, tmp_path / "out")
        assert refused.value.code is Code.RESULT_INVALID
        (tmp_path / "key_images.npz").unlink(missing_ok=True)


@pytest.mark.parametrize(("version", "code"), [("2.0", Code.RESULT_VERSION), ("one", Code.RESULT_VERSION)])
def test_a_result_of_another_schema_gets_no_report(
    ready: StoredResult, version: str, code: Code, tmp_path: Path
) -> None:
    content = ready.result.model_dump(mode="json") | {"schema_version": version}
    (tmp_path / "result.json").write_text(json.dumps(content))
    with pytest.raises(StudyRefused) as refused:
        export(tmp_path, tmp_path / "out", forms=["report"])
    assert refused.value.code is code
    assert not (tmp_path / "out").exists()


def test_without_typst_the_package_is_named(ready: StoredResult, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "typst", None)
    with pytest.raises(SetupRefused, match=r"dras\[cpu\]") as refused:
        printed(ready)
    assert refused.value.code is Code.MISSING_EXTRA


def test_the_form_is_exported_with_the_page_of_the_stored_result(ready: StoredResult, tmp_path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    EXPORTS["report"].writer()(replace(ready, page=Page("mine")), out)
    assert {entry.name for entry in out.iterdir()} == set(EXPORTS["report"].files)
    assert "mine" in (out / "report.html").read_text("utf-8")


def _invented(region: Region, value: float | None) -> Score:
    return Score(
        code="LAA-950insp", value=value, unit="%", region=region, n_voxels=1, volume_ml=1.0, definition="",
        reference="", reason=None if value is not None else "why",
    )  # fmt: skip


def test_the_third_with_most_low_attenuation_is_named(ready: StoredResult) -> None:
    zones = ("right_apical", "right_middle", "right_basal", "left_apical", "left_middle", "left_basal")
    scores = tuple(_invented(Region(zone), 10.0 - n) for n, zone in enumerate(reversed(zones)))
    for text in _forms(printed(ready, ready.result.model_copy(update={"scores": scores}))):
        assert "Left lower third LAA-950 10.00 % least: right upper third, 5.00 %" in text.replace(
            "\xa0", " "
        )


@pytest.mark.parametrize("label", ["", "a\nb", "x" * (MOST_LABEL + 1), "\x1b[31m"])
def test_a_label_that_is_no_line_of_text_is_refused(label: str) -> None:
    with pytest.raises(ValueError, match="a label has"):
        Page(label)
