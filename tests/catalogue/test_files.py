"""The File table of the input catalogue, row by row: each file is read as it should be, or refused with a code.

The studies are read as the product reads them, by a process of their own.
"""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from catalogue.hostile import deflate_bomb, with_stream
from catalogue.inputs import Make, Row, codes, edited, files, in_one_slice, refused, setting
from dras_model.imaging.phantom import Phantom, PhantomSpec, make_phantom
from dras_model.imaging.phantom_dicom import SeriesOptions, write_series
from dras_model.imaging.study import read_header, read_study
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused

SECRET = "<script>alert('Canary^Jane')</script>\r\nDICOM"
_PNG = b"\x89PNG\r\n\x1a\n" + bytes(500)
_SQ_AT = 0x00081140  # ReferencedImageSequence, which nothing here looks into


@pytest.fixture(scope="module")
def small() -> Phantom:
    return make_phantom(PhantomSpec(seed=2, n_slices=30, matrix=64))


def _rewritten(change: Callable[[bytes], bytes], *, among: int = 5, **options: object) -> Make:
    """A series of which file `among` has its bytes changed."""

    def make(phantom: Phantom, folder: Path) -> None:
        path = write_series(phantom.volume, folder, SeriesOptions(**options))[among]  # type: ignore[arg-type]
        path.write_bytes(change(path.read_bytes()))

    return make


def _cut(share: float) -> Callable[[bytes], bytes]:
    return lambda content: content[: int(len(content) * share) // 2 * 2]


def _long_pixels(content: bytes) -> bytes:
    """Let the pixel data declare a gigabyte."""
    place = content.rindex(b"\xe0\x7f\x10\x00OW\0\0") + 8
    return content[:place] + struct.pack("<L", 1 << 30) + content[place + 4 :]


def _inserted(element: bytes) -> Callable[[bytes], bytes]:
    """Put an element in front of the patient's, in explicit VR little endian."""
    return lambda content: content.replace(b"\x10\0\x10\0PN", element + b"\x10\0\x10\0PN", 1)


def _sequence(body: bytes, *, defined: bool = False) -> bytes:
    head = struct.pack("<HH2sH", _SQ_AT >> 16, _SQ_AT & 0xFFFF, b"SQ", 0)
    if defined:
        item = struct.pack("<HHL", 0xFFFE, 0xE000, len(body)) + body
        return head + struct.pack("<L", len(item)) + item
    item = struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF) + body + struct.pack("<HHL", 0xFFFE, 0xE00D, 0)
    return head + b"\xff" * 4 + item + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)


def _nested(*, defined: bool) -> Callable[[bytes], bytes]:
    body = b""
    for _ in range(500):
        body = _sequence(body, defined=defined)
    return _inserted(body)


def _sized(marker: bytes, skip: int, form: str) -> Callable[[bytes], bytes]:
    """Let a stream say that it is 60,000 pixels wide and high."""

    def edit(frame: bytes) -> bytes:
        place = frame.index(marker) + skip
        size = struct.pack(form, 60_000, 60_000)
        return frame[:place] + size + frame[place + len(size) :]

    return edit


def _relabelled(written: str, named: str) -> Make:
    """A series of one syntax that calls itself another."""

    def make(phantom: Phantom, folder: Path) -> None:
        for path in write_series(phantom.volume, folder, SeriesOptions(transfer_syntax=written)):
            dataset = pydicom.dcmread(path)
            dataset.file_meta.TransferSyntaxUID = UID(named)
            dataset.save_as(path)

    return make


def _garbled(frame: bytes) -> bytes:
    return bytes(range(256)) * 2


def _unsigned_long(keyword: str, value: int) -> Callable[[Dataset, int], None]:
    def edit(dataset: Dataset, index: int) -> None:
        del dataset[keyword]
        dataset.add_new(keyword, "UL", value)

    return edit


def _raw_text(keyword: str, vr: str, value: bytes) -> Make:
    """A series with a value in one slice that pydicom would not write, of the length of what it replaces."""

    def change(content: bytes) -> bytes:
        tag = pydicom.datadict.tag_for_keyword(keyword) or 0
        head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
        place = content.index(head) + 6
        length = struct.unpack_from("<H", content, place)[0]
        padded = value + b" " * (len(value) % 2)
        return content[:place] + struct.pack("<H", len(padded)) + padded + content[place + 2 + length :]

    return _rewritten(change)


def _conflict(phantom: Phantom, folder: Path) -> None:
    path = write_series(phantom.volume, folder)[4]
    dataset = pydicom.dcmread(path)
    dataset.PixelData = bytes(len(dataset.PixelData))
    dataset.save_as(folder / "again.dcm")


ROWS = [
    Row(
        "F1 text files",
        files(a=b"hello", b=b"<html></html>", c=b"\x89PNG\r\n\x1a\n" + bytes(500)),
        Code.NOT_DICOM,
    ),
    Row("F1 nothing at all", files(), Code.NOT_DICOM),
    Row("F1 an image of zeros", files(a=bytes(4000)), Code.NOT_DICOM),
    Row("F4 an empty file", _rewritten(lambda content: b""), Code.MALFORMED),
    *[
        Row(
            f"F4 cut at {share:.0%}, {UID(syntax).name}",
            _rewritten(_cut(share), transfer_syntax=syntax),
            Code.TRUNCATED,
        )
        for syntax in (
            ImplicitVRLittleEndian,
            DeflatedExplicitVRLittleEndian,
            JPEGLosslessSV1,
        )
        for share in (0.03, 0.1, 0.5, 0.99)
    ],
    Row("F4 a length beyond the file", _rewritten(_long_pixels), Code.TRUNCATED),
    Row("F4 fewer pixels than rows", edited(setting(Rows=80)), Code.TRUNCATED),
    Row("F6 no rows", edited(setting(Rows=0)), Code.GEOMETRY_MISSING),
    Row("F6 one column", edited(setting(Columns=1)), Code.GEOMETRY_MISSING),
    Row("F6 65535 rows and columns", edited(setting(Rows=65535, Columns=65535)), Code.VOLUME_TOO_LARGE),
    Row("F6 more pixels than rows", edited(setting(Rows=32)), Code.PIXEL_FORMAT),
    Row("F6 a billion frames", edited(setting(NumberOfFrames="1000000000")), Code.PIXEL_FORMAT),
    Row("F6 four billion rows in a long", edited(_unsigned_long("Rows", 0xFFFFFFFE)), Code.VOLUME_TOO_LARGE),
    Row("F7 1 bit", edited(setting(BitsAllocated=1, BitsStored=1, HighBit=0)), Code.PIXEL_FORMAT),
    Row("F7 8 bit", edited(setting(BitsAllocated=8, BitsStored=8, HighBit=7)), Code.PIXEL_FORMAT),
    Row("F7 32 bit", edited(setting(BitsAllocated=32, BitsStored=32, HighBit=31)), Code.PIXEL_FORMAT),
    Row("F7 colour", edited(setting(PhotometricInterpretation="RGB", SamplesPerPixel=3)), Code.PIXEL_FORMAT),
    Row("F7 high bit", edited(setting(BitsStored=12, HighBit=15)), Code.PIXEL_FORMAT),
    Row("F7 more bits stored than allocated", edited(setting(BitsStored=20, HighBit=19)), Code.PIXEL_FORMAT),
    Row(
        "F8 a deflate bomb",
        _rewritten(deflate_bomb, transfer_syntax=DeflatedExplicitVRLittleEndian),
        Code.READER_LIMIT,
    ),
    Row("F9 500 nested sequences", _rewritten(_nested(defined=False)), Code.MALFORMED),
    Row("F9 500 nested sequences of known length", _rewritten(_nested(defined=True)), Code.MALFORMED),
    Row("F9 an odd length", _rewritten(_inserted(b"\x09\0\x10\0LO\x03\0abc")), Code.MALFORMED),
    Row(
        "F9 no end of an item",
        _rewritten(_inserted(_sequence(b"")[:20] + _sequence(b"")[-8:])),
        Code.MALFORMED,
    ),
    Row("F9 no end of a sequence", _rewritten(_inserted(_sequence(b"")[:-8])), Code.MALFORMED),
    *[
        Row(f"F10 {UID(named).name}", _relabelled(JPEGLosslessSV1, named), Code.UNDECODABLE)
        for named in (
            JPEGBaseline8Bit,
            JPEGExtended12Bit,
            "1.2.840.10008.1.2.4.100",
        )
    ],
    *[
        Row(
            f"F11 another size in the stream, {UID(syntax).name}",
            with_stream(edit, syntax),
            Code.PIXEL_FORMAT,
        )
        for syntax, edit in (
            (JPEGLosslessSV1, _sized(b"\xff\xc3", 5, ">2H")),
            (JPEGLSLossless, _sized(b"\xff\xf7", 5, ">2H")),
            (JPEG2000Lossless, _sized(b"\xff\x4f\xff\x51", 8, ">2L")),
        )
    ],
    *[
        Row(f"F11 garbled {UID(syntax).name}", with_stream(_garbled, syntax), Code.UNDECODABLE)
        for syntax in (JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, RLELossless)
    ],
    Row(
        "F11 half a stream",
        with_stream(lambda frame: frame[: len(frame) // 2], JPEGLosslessSV1),
        Code.UNDECODABLE,
    ),
    *[
        Row(f"F14 slope {value.decode()}", _raw_text("RescaleSlope", "DS", value), Code.RESCALE_INVALID)
        for value in (b"1,0", b"NaN", b"inf", b"0", b"1e300", b"")
    ],
    Row("F14 an intercept of 9e99", edited(in_one_slice(RescaleIntercept="9e99")), Code.RESCALE_INVALID),
    Row("F15 one UID, two images", _conflict, Code.DUPLICATE_CONFLICT),
    Row(
        "F17 a secondary capture",
        edited(setting(SOPClassUID=SecondaryCaptureImageStorage)),
        Code.NO_CT_SERIES,
    ),
    Row("F17 writing in the pixels", edited(setting(BurnedInAnnotation="YES")), Code.NO_CT_SERIES),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_a_bad_file_is_refused_with_its_code_and_one_sentence(
    row: Row, small: Phantom, tmp_path: Path
) -> None:
    refused(row, small, tmp_path)


def test_f1_strangers_among_the_slices_are_ignored_and_counted(small: Phantom, tmp_path: Path) -> None:
    write_series(small.volume, tmp_path)
    files(readme=b"hello", page=b"<html></html>")(small, tmp_path)
    study = read_study(tmp_path)
    np.testing.assert_array_equal(study.volume.hu, small.volume.hu)
    assert Code.FILES_IGNORED in codes(study)


def _without_meta(path: Path, *, preamble: bool, implicit: bool) -> None:
    dataset = pydicom.dcmread(path)
    dataset.file_meta = FileMetaDataset()
    bare = path.with_suffix(".bare")
    dataset.save_as(bare, implicit_vr=implicit, little_endian=True, enforce_file_format=False)
    content = bare.read_bytes()
    bare.unlink()
    start = content.index(b"\x08\0")
    path.write_bytes((bytes(128) + b"DICM" if preamble else b"") + content[start:])


@pytest.mark.parametrize("implicit", [True, False], ids=["implicit", "explicit"])
@pytest.mark.parametrize("preamble", [True, False], ids=["preamble", "no preamble"])
def test_f2_a_file_without_meta_group_is_read_where_it_is_unambiguous(
    preamble: bool, implicit: bool, small: Phantom, tmp_path: Path
) -> None:
    for path in write_series(small.volume, tmp_path):
        _without_meta(path, preamble=preamble, implicit=implicit)
    study = read_study(tmp_path)
    np.testing.assert_array_equal(study.volume.hu, small.volume.hu)
    warning = next(w for w in study.header.warnings if w.code is Code.NONSTANDARD_FILE)
    assert warning.evidence["n_files"] == 30


@pytest.mark.parametrize("magic", [b"MZ\x90\0", b"\x7fELF"], ids=["MZ", "ELF"])
def test_f3_an_executable_preamble_is_told_and_kept_nowhere(
    magic: bytes, small: Phantom, tmp_path: Path
) -> None:
    inert = magic + b"inert" + bytes(119)
    for path in write_series(small.volume, tmp_path):
        path.write_bytes(inert + path.read_bytes()[128:])
    study = read_study(tmp_path)
    np.testing.assert_array_equal(study.volume.hu, small.volume.hu)
    warning = next(w for w in study.header.warnings if w.code is Code.EXECUTABLE_PREAMBLE)
    assert warning.evidence["n_files"] == 30


def test_f6_rows_in_a_long_are_rows(small: Phantom, tmp_path: Path) -> None:
    write_series(small.volume, tmp_path, SeriesOptions(edit=_unsigned_long("Rows", 64)))
    np.testing.assert_array_equal(read_study(tmp_path).volume.hu, small.volume.hu)


LOSSLESS = [
    ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless, JPEGLosslessSV1,
    JPEGLSLossless, JPEG2000Lossless,
]  # fmt: skip


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("syntax", LOSSLESS, ids=lambda syntax: syntax.name)
def test_f10_a_lossless_syntax_changes_no_bit(
    syntax: UID, signed: bool, small: Phantom, tmp_path: Path
) -> None:
    intercept = 0.0 if signed else -1024.0
    write_series(
        small.volume, tmp_path, SeriesOptions(transfer_syntax=syntax, signed=signed, intercept=intercept)
    )
    study = read_study(tmp_path)
    np.testing.assert_array_equal(study.volume.hu, small.volume.hu)
    assert Code.LOSSY not in codes(study)


def test_f10_any_predictor_of_jpeg_lossless_changes_no_bit(small: Phantom, tmp_path: Path) -> None:
    _relabelled(JPEGLosslessSV1, JPEGLossless)(small, tmp_path)
    np.testing.assert_array_equal(read_study(tmp_path).volume.hu, small.volume.hu)


@pytest.mark.parametrize("reversible", [True, False], ids=["lossless", "lossy"])
def test_f10_high_throughput_jpeg_2000_is_read_and_its_loss_told(
    reversible: bool, small: Phantom, tmp_path: Path
) -> None:
    imagecodecs = pytest.importorskip("imagecodecs", reason="nothing else here writes HTJ2K")
    for path in write_series(small.volume, tmp_path):
        dataset = pydicom.dcmread(path)
        frame = imagecodecs.htj2k_encode(dataset.pixel_array, reversible=reversible)
        dataset.PixelData = encapsulate([frame + bytes(len(frame) % 2)])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = HTJ2KLossless if reversible else HTJ2K
        dataset.save_as(path)
    study = read_study(tmp_path)
    assert np.array_equal(study.volume.hu, small.volume.hu) == reversible
    assert (Code.LOSSY in codes(study)) != reversible


@pytest.mark.parametrize("tagged", [True, False], ids=["tagged", "untagged"])
@pytest.mark.parametrize("syntax", [JPEG2000, JPEGLSNearLossless], ids=lambda syntax: syntax.name)
def test_f10_loss_is_told(syntax: UID, tagged: bool, small: Phantom, tmp_path: Path) -> None:
    for path in write_series(small.volume, tmp_path, SeriesOptions(transfer_syntax=syntax)):
        if not tagged:
            dataset = pydicom.dcmread(path)
            del dataset.LossyImageCompression
            dataset.save_as(path)
    study = read_study(tmp_path)
    assert np.abs(study.volume.hu - small.volume.hu).mean() <= 30.0
    assert Code.LOSSY in codes(study)


def test_f13_odd_names_change_nothing_and_are_told_nowhere(small: Phantom, tmp_path: Path) -> None:
    edit = setting(
        PatientName=SECRET, PatientID=SECRET, SeriesDescription=SECRET, Manufacturer=SECRET,
        SpecificCharacterSet="ISO_IR 6", StudyDescription=SECRET,
    )  # fmt: skip
    write_series(small.volume, tmp_path, SeriesOptions(edit=edit))
    study = read_study(tmp_path)
    np.testing.assert_array_equal(study.volume.hu, small.volume.hu)
    assert "\n" not in (study.header.acquisition.manufacturer or "")
    assert "Canary" not in repr(study.header.warnings) + repr(study.header.candidates)


def test_f13_every_character_set_is_refused_for_what_it_shows_and_not_for_its_letters(
    shared: Path, tmp_path: Path
) -> None:
    folder = shared / "ct" / "tricky_files" / "pydicom_charset_files"
    with pytest.raises(StudyRefused) as caught:
        read_header(folder)
    assert caught.value.code in {Code.NO_CT_SERIES, Code.MIXED_PATIENT}
    assert str(caught.value).isascii()


def test_f15_the_same_file_twice_counts_once(small: Phantom, tmp_path: Path) -> None:
    paths = write_series(small.volume, tmp_path)
    (tmp_path / "copy.dcm").write_bytes(paths[4].read_bytes())
    study = read_study(tmp_path)
    np.testing.assert_array_equal(study.volume.hu, small.volume.hu)
    assert Code.FILES_IGNORED in codes(study)


@pytest.mark.parametrize(
    ("keyword", "vr"), [("SeriesInstanceUID", "UI"), ("Modality", "CS"), ("PhotometricInterpretation", "CS")]
)
def test_f17_a_name_where_no_name_belongs_is_told_nowhere(
    keyword: str, vr: str, small: Phantom, tmp_path: Path
) -> None:
    _raw_text(keyword, vr, b"Canary^Jane")(small, tmp_path)
    try:
        told = repr(read_study(tmp_path).header)
    except StudyRefused as refused:
        told = repr((refused.fields, str(refused)))
    assert "canary" not in told.lower()


def test_f17_an_overlay_in_unused_bits_is_dropped(small: Phantom, tmp_path: Path) -> None:
    def edit(dataset: Dataset, index: int) -> None:
        stored = np.frombuffer(dataset.PixelData, np.uint16).reshape(64, 64).copy()
        stored[10:20, 10:50] |= 0x8000
        dataset.PixelData = stored.tobytes()
        dataset.BitsStored, dataset.HighBit = 12, 11
        dataset.add_new(0x60000010, "US", 64)
        dataset.add_new(0x60000011, "US", 64)
        dataset.add_new(0x60000100, "US", 16)
        dataset.add_new(0x60000102, "US", 15)

    write_series(small.volume, tmp_path, SeriesOptions(edit=edit))
    np.testing.assert_array_equal(read_study(tmp_path).volume.hu, small.volume.hu)


def test_the_real_odd_files_give_the_voxels_that_another_library_gives(shared: Path) -> None:
    from dras_model.imaging.decoding import open_pixels  # noqa: PLC0415 - in this process, for its single files
    from dras_model.imaging.slices import quiet_pydicom, read_slices  # noqa: PLC0415

    folder = shared / "ct" / "tricky_files"
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and "charset" not in str(path)]
    assert len(paths) >= 10
    for path in paths:
        with quiet_pydicom(), open_pixels(path) as stored:
            item = read_slices(path)[0]
            assert item.is_ct or pydicom.dcmread(path).SOPClassUID != CTImageStorage
            expected = pydicom.dcmread(path).pixel_array
            np.testing.assert_array_equal(stored(item), expected[0] if expected.ndim == 3 else expected)
