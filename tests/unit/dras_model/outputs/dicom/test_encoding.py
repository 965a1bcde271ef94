"""The oracle is pydicom: what is written by hand is read back by it, and equals what it writes itself."""

import io

import pydicom
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SegmentationStorage

from dras_model.outputs.dicom.encoding import encoded, put_sequence, sequence, unsigned_longs


def _root() -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = SegmentationStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3"
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName = "Müller^Jörg=山田^太郎"
    return dataset


def _saved(dataset: Dataset) -> bytes:
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


@given(st.lists(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=5), max_size=6))
def test_a_sequence_of_indices_is_the_one_that_pydicom_writes(rows: list[list[int]]) -> None:
    plain = _root()
    plain.PerFrameFunctionalGroupsSequence = []
    for row in rows:
        content, group = Dataset(), Dataset()
        content.DimensionIndexValues = row
        group.FrameContentSequence = [content]
        plain.PerFrameFunctionalGroupsSequence.append(group)
    quick = _root()
    items = [sequence(0x00209111, unsigned_longs(0x00209157, *row)) for row in rows]
    put_sequence(quick, 0x52009230, items)
    assert pydicom.dcmread(io.BytesIO(_saved(quick))) == pydicom.dcmread(io.BytesIO(_saved(plain)))


def test_an_item_encoded_once_may_stand_in_many_places() -> None:
    item = Dataset()
    item.ReferencedSOPInstanceUID = "1.2.3.4"
    item.ReferencedFrameNumber = 7
    dataset = _root()
    put_sequence(dataset, 0x00082112, [encoded(item)] * 3)
    read = pydicom.dcmread(io.BytesIO(_saved(dataset)))
    assert list(read.SourceImageSequence) == [item] * 3


def test_text_around_it_keeps_its_character_set() -> None:
    dataset = _root()
    put_sequence(dataset, 0x00082112, [])
    assert pydicom.dcmread(io.BytesIO(_saved(dataset))).PatientName == "Müller^Jörg=山田^太郎"
