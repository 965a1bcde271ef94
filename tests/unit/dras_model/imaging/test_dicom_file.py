"""The walk over a file against pydicom, which finds the same places by reading, and against cuts at every byte."""

import struct
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLosslessSV1,
)

from dras_model.imaging.codestream import is_irreversible, stream_size
from dras_model.imaging.dicom_file import open_dicom
from dras_model.imaging.dicom_walk import PIXEL_DATA, DamagedFile
from dras_model.imaging.phantom import Phantom, PhantomSpec, make_phantom
from dras_model.imaging.phantom_dicom import SeriesOptions, write_series

SYNTAXES = [
    ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian,
    JPEGLosslessSV1,
]  # fmt: skip


@pytest.fixture(scope="module")
def tiny() -> Phantom:
    return make_phantom(PhantomSpec(n_slices=2, matrix=16))


def _with_sequences(dataset: Dataset, index: int) -> None:
    inner, outer = Dataset(), Dataset()
    inner.ReferencedSOPInstanceUID = "1.2.3"
    outer.PurposeOfReferenceCodeSequence = [inner, inner]
    dataset.ReferencedImageSequence = [outer]
    dataset["ReferencedImageSequence"].is_undefined_length = index == 0


def _write(tiny: Phantom, folder: Path, syntax: str) -> list[Path]:
    return write_series(tiny.volume, folder, SeriesOptions(transfer_syntax=syntax, edit=_with_sequences))


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
def test_every_element_is_found_and_the_pixels_where_they_lie(
    syntax: str, tiny: Phantom, tmp_path: Path
) -> None:
    for path in _write(tiny, tmp_path, syntax):
        expected = pydicom.dcmread(path)
        with open_dicom(path) as file:
            assert file is not None
            assert set(file.elements) == {int(element.tag) for element in expected}
            assert (file.syntax, file.oddities) == (syntax, frozenset())
            pixels = file.elements[PIXEL_DATA]
            if pixels.fragments is None:
                found = file.content[pixels.start : pixels.start + pixels.length]
            else:
                found = encapsulate([file.content[a : a + n] for a, n in file.frames(1)[0]])
            assert found == expected.PixelData


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
def test_a_file_cut_at_any_place_is_damaged_and_never_whole(
    syntax: str, tiny: Phantom, tmp_path: Path
) -> None:
    content = _write(tiny, tmp_path, syntax)[0].read_bytes()
    path = tmp_path / "cut"
    whole, malformed = [], 0
    for end in range(140, len(content) - 1, 7):  # the last byte may be padding (PS3.5 A.5)
        path.write_bytes(content[:end])
        try:
            with open_dicom(path) as file:
                if file is None or PIXEL_DATA in file.elements:
                    whole.append(end)
        except DamagedFile as fault:
            malformed += not fault.truncated
    assert (whole, malformed) == ([], 0)


@pytest.mark.parametrize("table", [True, False], ids=["offset table", "one fragment each"])
def test_frames_are_put_together_from_their_fragments(table: bool, tiny: Phantom, tmp_path: Path) -> None:
    frames = [bytes([n]) * 10 for n in (1, 2, 3)]
    path = _write(tiny, tmp_path, JPEGLosslessSV1)[0]
    dataset = pydicom.dcmread(path)
    dataset.PixelData = encapsulate(frames, fragments_per_frame=2 if table else 1, has_bot=table)
    dataset.save_as(path)
    with open_dicom(path) as file:
        assert file is not None
        found = [b"".join(file.content[a : a + n] for a, n in places) for places in file.frames(3)]
        assert [frame[:9] for frame in found] == [frame[:9] for frame in frames]
        with pytest.raises(DamagedFile):
            file.frames(2)


def test_what_is_no_dicom_is_none(tmp_path: Path) -> None:
    for content in (b"x", bytes(1000), b"\x08\0\x05\0" * 100, b"II*\0" + bytes(300)):
        (tmp_path / "x").write_bytes(content)
        with open_dicom(tmp_path / "x") as file:
            assert file is None


def test_a_damaged_report_is_a_stranger_and_no_damaged_scan(tiny: Phantom, tmp_path: Path) -> None:
    path = _write(tiny, tmp_path, ExplicitVRLittleEndian)[0]
    dataset = pydicom.dcmread(path)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.67"
    dataset.save_as(path)
    path.write_bytes(path.read_bytes()[:-100])
    with open_dicom(path) as file:
        assert file is None


def test_the_size_of_a_stream_is_what_its_header_says() -> None:
    frame = (
        b"\xff\xd8" + b"\xff\xe0\x00\x04ab" + b"\xff" + b"\xff\xc3" + struct.pack(">HBHH", 11, 16, 300, 200)
    )
    assert stream_size(frame) == (300, 200)
    siz = b"\xff\x4f\xff\x51" + struct.pack(">HHLLLL", 41, 0, 210, 320, 10, 20)
    assert stream_size(siz) == (300, 200)
    box = b"\0\0\0\x0cjP  \r\n\x87\n"
    assert stream_size(box + b"other boxes" + siz) == (300, 200)
    assert stream_size(b"\0" * 100) is None
    assert not is_irreversible(frame)
    with pytest.raises(DamagedFile):
        stream_size(b"\xff\xd8\xff")


def test_what_opens_a_codestream_means_nothing_in_the_midst_of_another_stream() -> None:
    chance = b"\xff\x4f\xff\x51" + bytes(range(1, 40))  # JPEG-LS and RLE may hold any four bytes
    jpeg_ls = b"\xff\xd8" + b"\xff\xf7" + struct.pack(">HBHH", 11, 16, 300, 200)
    assert stream_size(jpeg_ls + chance) == (300, 200)
    assert stream_size(bytes(64) + chance) is None
    assert not is_irreversible(jpeg_ls + chance + b"\xff\x52" + bytes(20))
