"""The archive half of the catalogue, at the door: each row is a table's row, made from scratch."""

import io
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest

from dras_service.gateway.archives import ArchiveLimits, check_archive
from dras_service.gateway.problems import ProblemRaised

LIMITS = ArchiveLimits(n_files=100, n_bytes=10 << 20)
CONTENT = bytes(range(256)) * 8


def zipped(*members, **options):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", **options) as file:
        for name, content in members or (("a.dcm", CONTENT), ("b.dcm", CONTENT[::-1])):
            file.writestr(name, content)
    return archive.getvalue()


def patched(content, at, form, *values):
    """`content` with a field of its first directory entry (at >= 0) or of its end record (at < 0) replaced."""
    place = content.rindex(b"PK\x05\x06") - at - 1 if at < 0 else content.index(b"PK\x01\x02") + at
    packed = struct.pack(form, *values)
    return content[:place] + packed + content[place + len(packed) :]


def end_record(content, at, form, *values):
    place = content.rindex(b"PK\x05\x06") + at
    packed = struct.pack(form, *values)
    return content[:place] + packed + content[place + len(packed) :]


def overlapping():
    """Two directory entries for one member, as in a quoted bomb (Fifield 2019)."""
    content = zipped(("a.dcm", CONTENT))
    start = content.index(b"PK\x01\x02")
    end = content.index(b"PK\x05\x06")
    entry = content[start:end]
    size = len(entry)
    doubled = content[:start] + entry + entry + content[end:]
    return end_record(doubled, 8, "<HHL", 2, 2, 2 * size)


def reaching_into_the_directory():
    """A member whose packed bytes would go on over the directory."""
    content = zipped(("a.dcm", CONTENT))
    return patched(content, 20, "<LL", len(CONTENT) + 60, len(CONTENT) + 60)


def a_million_entries():
    """Only the end record says so: the limit must be found before any directory is read."""
    content = zipped()
    return end_record(content, 8, "<HH", 0xFFFE, 0xFFFE)


def zip64_of_a_million():
    """The same said in a zip64 end record, with a directory of 1 GB that is not there."""
    content = zipped()
    end = content.rindex(b"PK\x05\x06")
    record = b"PK\x06\x06" + struct.pack("<QHHLLQQQQ", 44, 45, 45, 0, 0, 10**6, 10**6, 1 << 30, 0)
    locator = b"PK\x06\x07" + struct.pack("<LQL", 0, end, 1)
    tail = content[end : end + 8] + struct.pack("<HHLLH", 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return content[:end] + record + locator + tail


def bomb():
    """1 GB and more of zeros in a few MB; limits of its own allow the bytes."""
    content = zipped(("a.dcm", bytes(4 << 20)), compression=zipfile.ZIP_DEFLATED)
    return patched(content, 24, "<L", 1 << 31)


REFUSED = [
    ("Z1 empty", zipped(("folder/", b"")), "EMPTY_UPLOAD"),
    ("Z1 of empty files", zipped(("a.dcm", b"")), "EMPTY_UPLOAD"),
    ("Z1 nothing at all", b"PK\x05\x06" + bytes(18), "EMPTY_UPLOAD"),
    ("Z2 overlapping", overlapping(), "ARCHIVE_INVALID"),
    ("Z2 over the directory", reaching_into_the_directory(), "ARCHIVE_INVALID"),
    ("Z3 says too much", patched(zipped(), 24, "<L", 11 << 20), "ARCHIVE_INVALID"),
    ("Z3 stored, two sizes", patched(zipped(), 24, "<L", len(CONTENT) + 1), "ARCHIVE_INVALID"),
    ("Z3 more than deflate can", bomb(), "ARCHIVE_INVALID"),
    ("Z4 too many, by the end record", a_million_entries(), "TOO_MANY_FILES"),
    ("Z4 too many, by zip64", zip64_of_a_million(), "TOO_MANY_FILES"),
    ("Z4 too many", zipped(*((f"{n}", b"1") for n in range(101))), "TOO_MANY_FILES"),
    (
        "Z4 too many, the end record lies",
        end_record(zipped(*((f"{n}", b"1") for n in range(101))), 8, "<HH", 1, 1),
        "TOO_MANY_FILES",
    ),
    ("Z6 encrypted", patched(zipped(), 8, "<H", 1), "ARCHIVE_INVALID"),
    ("Z6 strong encryption", patched(zipped(), 8, "<H", 1 << 6 | 1), "ARCHIVE_INVALID"),
    ("Z6 bzip2", zipped(compression=zipfile.ZIP_BZIP2), "ARCHIVE_INVALID"),
    ("Z6 lzma", zipped(compression=zipfile.ZIP_LZMA), "ARCHIVE_INVALID"),
    ("Z6 truncated", zipped()[:-30], "ARCHIVE_INVALID"),
    ("Z6 truncated in the middle", zipped()[:1000], "ARCHIVE_INVALID"),
    ("Z6 head cut off", zipped()[100:], "ARCHIVE_INVALID"),
    ("Z6 directory elsewhere", end_record(zipped(), 16, "<L", 1 << 30), "ARCHIVE_INVALID"),
    ("Z6 no directory there", patched(zipped(), 0, "<L", 0), "ARCHIVE_INVALID"),
    ("Z6 no member there", b"\0\0\0\0" + zipped()[4:], "ARCHIVE_INVALID"),
    ("Z6 one of several volumes", end_record(zipped(), 4, "<HH", 1, 1), "ARCHIVE_INVALID"),
    ("Z6 name beyond the directory", patched(zipped(), 28, "<H", 0xFFFF), "ARCHIVE_INVALID"),
]
TAKEN = [
    ("plain", zipped()),
    ("deflated", zipped(compression=zipfile.ZIP_DEFLATED)),
    ("with a comment", zipped() and end_record(zipped(), 20, "<H", 5) + b"hello"),
    ("behind a program", b"MZ" + bytes(5000) + zipped()),
    ("Z1 nested", zipped(("inner.zip", zipped()), ("a.dcm", CONTENT))),
    ("Z5 traversal", zipped(("../../etc/passwd", CONTENT))),
    ("Z5 absolute", zipped(("/etc/passwd", CONTENT))),
    ("Z5 backslash", zipped(("..\\..\\a.dcm", CONTENT))),
    ("no archive", CONTENT),
    ("DICOM that ends like a zip", bytes(128) + b"DICM" + CONTENT + b"PK\x05\x06"),
    ("short", b"P"),
]


def check(content, tmp_path, limits=LIMITS):
    path = tmp_path / "upload"
    path.write_bytes(content)
    check_archive(path, limits)


@pytest.mark.parametrize(("content", "code"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_an_archive_that_no_reader_would_take_is_refused_at_the_door(content, code, tmp_path):
    with pytest.raises(ProblemRaised) as raised:
        check(content, tmp_path)
    assert raised.value.problem.code == code
    assert raised.value.problem.status in (400, 413, 422)


@pytest.mark.parametrize("content", [row[1] for row in TAKEN], ids=[row[0] for row in TAKEN])
def test_what_is_sound_or_no_zip_passes(content, tmp_path):
    check(content, tmp_path)


def test_a_tar_of_a_zip_is_not_taken_for_the_zip(tmp_path):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as file:
        info = tarfile.TarInfo("a.zip")
        content = overlapping()
        info.size = len(content)
        file.addfile(info, io.BytesIO(content))
    check(archive.getvalue().rstrip(b"\0"), tmp_path)


def test_a_zip64_archive_as_python_writes_it_passes(tmp_path):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file, file.open("a.dcm", "w", force_zip64=True) as member:
        member.write(CONTENT)
    check(archive.getvalue(), tmp_path)


def test_an_archive_of_more_entries_than_16_bits_count_passes(tmp_path):
    content = zipped(*((f"{n}", b"1") for n in range(70_000)))
    check(content, tmp_path, ArchiveLimits(n_files=70_000, n_bytes=1 << 20))


def test_honest_air_may_be_packed_tightly_as_long_as_it_is_no_bomb(tmp_path):
    content = zipped(("a.dcm", bytes(8 << 20)), compression=zipfile.ZIP_DEFLATED)
    assert (8 << 20) / len(content) > 900
    check(content, tmp_path)


def test_more_bytes_than_are_allowed_are_too_many_whatever_they_pack_to(tmp_path):
    content = zipped(("a.dcm", bytes(8 << 20)), compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ProblemRaised) as raised:
        check(content, tmp_path, ArchiveLimits(n_files=10, n_bytes=4 << 20))
    assert (raised.value.problem.status, raised.value.problem.code) == (413, "ARCHIVE_TOO_LARGE")


def test_nothing_of_an_archive_is_inflated(tmp_path, monkeypatch):
    monkeypatch.setattr("zlib.decompressobj", None)
    monkeypatch.setattr("zlib.decompress", None)
    check(zipped(compression=zipfile.ZIP_DEFLATED), tmp_path)


def test_every_archive_that_is_refused_here_is_refused_by_the_reader_too_or_is_empty_or_large(tmp_path):
    """The door must not be stricter than the room behind it."""
    from dras_model.imaging.archive import ArchiveLimits as ReadersLimits  # noqa: PLC0415 - loads the imaging stack
    from dras_model.imaging.archive import open_members, unpack  # noqa: PLC0415
    from dras_model.results.errors import StudyRefused  # noqa: PLC0415

    stricter = []
    for name, content, code in REFUSED:
        if code != "ARCHIVE_INVALID":
            continue
        path = tmp_path / "upload"
        path.write_bytes(content)
        folder = Path(tmp_path, name.replace(" ", "_"))
        folder.mkdir()
        try:
            members = open_members(path)
            if members is not None:
                unpack(members, path, folder, limits=ReadersLimits(n_files=100, n_bytes=10 << 20))
                stricter.append(name)
        except StudyRefused:
            pass
    # zipfile looks at neither the sizes nor the number of the volume, so these are read; no program writes them.
    assert set(stricter) <= {
        "Z3 stored, two sizes",
        "Z3 says too much",
        "Z3 more than deflate can",
        "Z6 one of several volumes",
    }
