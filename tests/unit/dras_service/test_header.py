"""The header walk against pydicom, on images in every syntax, and on whatever is none."""

from contextlib import suppress

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from dras_model.imaging.phantom_dicom import NATIVE_SYNTAXES, SeriesOptions, write_series
from dras_model.imaging.volume import Grid, Volume
from dras_service.header import (
    SERIES,
    SOP_CLASS,
    SOP_INSTANCE,
    STUDY,
    NotDicom,
    is_uid,
    parse_header,
    read_header,
)
from unit.dras_service.examples import dicom_image


def with_sequences(image: Dataset, _index: int) -> None:
    """Sequences of both kinds of length, nested, before what is looked for."""
    inner = Dataset()
    inner.ReferencedSOPInstanceUID = "9.9"
    inner.StudyInstanceUID = "6.6.6"
    outer = Dataset()
    outer.RelatedSeriesSequence = [inner]
    outer.StudyInstanceUID = "7.7.7"
    image.ReferencedStudySequence = [outer, outer]
    image["ReferencedStudySequence"].is_undefined_length = True


@pytest.mark.parametrize("syntax", NATIVE_SYNTAXES)
def test_the_values_are_those_that_pydicom_reads_and_none_of_a_sequence(syntax, tmp_path) -> None:
    volume = Volume(np.zeros((1, 8, 8), dtype=np.float32), Grid((1, 8, 8), np.eye(4)))
    (path,) = write_series(volume, tmp_path, SeriesOptions(transfer_syntax=syntax, edit=with_sequences))
    header, image = read_header(path), pydicom.dcmread(path)
    assert header.transfer_syntax == syntax
    for tag in (SOP_CLASS, SOP_INSTANCE, STUDY, SERIES):
        assert header[tag] == image[tag].value
    for keyword in ("Modality", "SeriesDescription", "BodyPartExamined", "Manufacturer"):
        assert header.text(keyword) == image.get(keyword)
    assert header.text("StationName") == ""


@pytest.mark.parametrize("content", [b"", b"PK\3\4", bytes(200), bytes(128) + b"DICM\2"])
def test_what_is_no_dicom_is_told(content: bytes) -> None:
    try:
        told = parse_header(content).values
    except NotDicom:
        told = {}
    assert told == {}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_damaged_file_is_read_or_told_and_nothing_else(data: st.DataObject) -> None:
    content = bytearray(dicom_image("1.2", "1.2.3"))
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(132, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    with suppress(NotDicom):
        parse_header(bytes(content[: data.draw(st.integers(0, len(content)))]))


def test_nesting_without_end_is_told() -> None:
    item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    sequence = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff"
    with pytest.raises(NotDicom):
        parse_header(dicom_image("1.2", "1.2.3")[:190] + (sequence + item) * 5000)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("1.2.3", True),
        ("1" * 64, True),
        ("1" * 65, False),
        ("", False),
        ("1..2", False),
        ("../1", False),
        ("1.٣", False),
    ],
)
def test_a_uid_has_digits_and_dots_and_64_characters(text: str, is_one: bool) -> None:
    assert is_uid(text) is is_one
