"""The conformance statement's last part is what the code does."""

import re
from pathlib import Path

import pytest
from pydicom.datadict import keyword_for_tag

from dras_model.imaging.decoding import CODECS
from dras_model.imaging.dicom_file import CT_CLASSES
from dras_service.gateway.dicomweb import storing
from dras_service.pacs import library, syntaxes
from dras_service.pacs.receive.deidentification import IMPLEMENTATION, KEPT

ROOT = Path(__file__).parents[4]
NATIVE = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"}
# The statement sums these up.
SUMMED = {
    "Rows", "Columns", "PixelSpacing", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData",
    "SamplesPerPixel", "PhotometricInterpretation", "PixelPaddingValue", "PixelPaddingRangeLimit",
    "RescaleIntercept", "RescaleSlope", "RescaleType",
}  # fmt: skip


@pytest.fixture(scope="module")
def statement() -> str:
    return (ROOT / "docs/dicom-conformance.md").read_text("utf-8").split("# Over a network\n")[1]


def test_what_is_taken_is_what_can_be_read() -> None:
    assert set(syntaxes.CT_SYNTAXES) == set(CODECS) | NATIVE
    assert set(syntaxes.CT_CLASSES) == set(CT_CLASSES) == storing.CT_CLASSES


def test_every_status_of_a_store_is_listed(statement: str) -> None:
    listed = set(re.findall(r"^\| (0x[0-9A-F]{4}) \|", statement, flags=re.MULTILINE))
    names = ("SUCCESS", "INVALID_INSTANCE", "NOT_AUTHORISED", "OUT_OF_RESOURCES", "MISMATCH")
    answered = [getattr(library, name) for name in names]
    assert listed == {f"0x{status:04X}" for status in (*answered, storing.CANNOT_UNDERSTAND)}
    assert IMPLEMENTATION in statement


def test_what_a_route_that_hides_keeps_is_listed(statement: str) -> None:
    told = statement.split("Kept: ")[1]
    named = {keyword_for_tag(tag) for tag in KEPT} - SUMMED
    assert all(re.search(rf"\b{keyword}\b", told) for keyword in named), named
