import re
from pathlib import Path

import pytest
from pydicom.sr._concepts_dict import concepts
from pydicom.sr.coding import Code

from dras_model.outputs.dicom import codes
from dras_model.outputs.dicom.codes import PRIVATE, SCHEME, UNITS, private, score_concept, site, unit
from dras_model.results.phenotypes import COLUMNS, PATCH_COLUMNS
from dras_model.results.region_codes import REGION_CODES
from dras_model.results.study import Region

CONFORMANCE = Path(__file__).parents[5] / "docs" / "dicom-conformance.md"


def _public() -> list[Code]:
    found = [value for value in vars(codes).values() if isinstance(value, Code)]
    for code in COLUMNS:
        concept = score_concept(code)
        found += [each for each in (concept.name, concept.derivation) if each is not None]
    for region in Region:
        place = site(region)
        found += [each for each in (place.location, place.laterality, place.part) if each is not None]
    return [code for code in found if code.scheme_designator != SCHEME]


@pytest.mark.parametrize("code", sorted(set(_public()), key=str), ids=str)
def test_a_public_code_is_known_to_pydicoms_copy_of_the_standard_with_that_meaning(code: Code) -> None:
    """UCUM is composed, so that the list holds a part of it; UMLS has one code here, of TID 1500."""
    if code.scheme_designator in {"UCUM", "UMLS"}:
        return
    known = [
        names[code.value][0] for names in concepts[code.scheme_designator].values() if code.value in names
    ]
    assert any(code.meaning.lower() in meaning.lower() for meaning in known)


@pytest.mark.parametrize("code", COLUMNS)
def test_every_score_has_a_concept_in_the_table_and_no_two_share_one(code: str) -> None:
    concept = score_concept(code)
    assert concept.name.scheme_designator != SCHEME or code in PRIVATE
    others = [score_concept(other) for other in COLUMNS if other != code]
    assert concept not in others


def test_an_unknown_score_and_an_unknown_unit_go_by_their_own_names() -> None:
    assert score_concept("LAA-999").name == Code("LAA-999", SCHEME, "LAA-999")
    assert unit("mm") == Code("mm", "UCUM", "mm")


def test_units_of_scores_and_patches_are_in_ucum() -> None:
    told = {quantity.unit for quantity in PATCH_COLUMNS.values()} | {"%", "HU", "g/L", "mL", "g", "1"}
    assert told <= set(UNITS)
    assert {code.scheme_designator for code in UNITS.values()} == {"UCUM"}


def test_no_two_regions_share_a_site() -> None:
    assert len({site(region) for region in Region}) == len(Region)


def test_a_region_that_has_a_code_in_the_result_has_the_same_in_the_report() -> None:
    for region, code in REGION_CODES.items():
        found = site(region)
        assert found.location.value == code.site.value
        assert (None if found.laterality is None else found.laterality.value) == (
            None if code.laterality is None else code.laterality.value
        )


@pytest.mark.parametrize("value", PRIVATE)
def test_a_private_code_fits_its_attributes(value: str) -> None:
    code = private(value)
    assert len(value) <= 16
    assert 0 < len(code.meaning) <= 64
    assert value.isascii()
    assert code.meaning.isascii()


def test_the_conformance_statement_prints_every_private_code_with_its_meaning_and_no_other() -> None:
    section = CONFORMANCE.read_text("utf-8").partition("\n## Codes\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \|$", section, flags=re.MULTILINE)
    assert dict(rows) == dict(PRIVATE)
