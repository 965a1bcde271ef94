from dras_model.outputs.report.table import ranges
from dras_model.outputs.report.wording import TITLES, name_of, title_of
from dras_model.results.codes import CODES, Code, Kind
from dras_model.results.study import Region
from dras_model.scores.definitions import DEFINITIONS

# Warnings of pairs and comparisons, which have no report.
OF_PAIRS = {
    Code.NOT_EXPIRATION, Code.DEFORMATION_SUSPECT, Code.MIXED_SCANNER, Code.KERNEL_DIFFERS,
    Code.THICKNESS_DIFFERS, Code.KVP_DIFFERS, Code.CONTRAST_DIFFERS, Code.RECONSTRUCTION_DIFFERS,
    Code.COMPARABILITY_UNKNOWN, Code.INFLATION_DIFFERS, Code.METHOD_DIFFERS, Code.DEFINITION_DIFFERS,
    Code.EMBEDDINGS_INCOMPARABLE,
}  # fmt: skip


def test_every_warning_that_a_study_can_carry_has_a_title_of_its_own() -> None:
    warnings = {code for code in Code if CODES[code].kind is Kind.WARNING}
    assert set(TITLES) == warnings - OF_PAIRS
    assert len(set(TITLES.values())) == len(TITLES)


def test_every_warning_that_a_score_is_sensitive_to_has_a_title() -> None:
    assert {code for definition in DEFINITIONS for code in definition.sensitive_to} <= set(TITLES)


def test_a_code_without_a_title_is_named_in_words() -> None:
    assert title_of(Code.MIXED_SCANNER) == "Mixed scanner"


def test_every_region_has_a_name_of_its_own() -> None:
    names = [name_of(region) for region in Region]
    assert len(set(names)) == len(names)
    assert name_of(Region.RIGHT_MIDDLE) == "Right middle third"
    assert name_of(Region.RIGHT_MIDDLE_LOBE) == "Right middle lobe"
    assert name_of(Region.VENTRAL) == "Ventral"


def test_numbers_are_listed_as_readers_list_them() -> None:
    assert ranges([3, 1, 2, 5, 7, 8, 3]) == "1–3, 5, 7, 8"
    assert ranges([]) == ""
