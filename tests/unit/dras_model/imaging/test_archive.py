import bz2
import errno
import gzip
import io
import lzma
import struct
import tarfile
import tempfile
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dras_model.imaging import archive as archive_module
from dras_model.imaging.source import ArchiveLimits, open_source
from dras_model.results.codes import Code
from dras_model.results.errors import Refused, SetupRefused

PACKED = {"": bytes, "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}
NOISE = b"".join(struct.pack("<I", n * 2_654_435_761 % 2**32) for n in range(5_000))


def _tar(n: int = 5) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for number in range(n):
            info = tarfile.TarInfo(f"ü{number}")  # a PAX record each
            info.size = len(NOISE)
            archive.addfile(info, io.BytesIO(NOISE))
    return file.getvalue()


def _long_name(kind: bytes, size: int) -> Iterator[bytes]:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = kind, size
    yield info.tobuf(tarfile.GNU_FORMAT)
    for _ in range(size >> 20):
        yield bytes(1 << 20)
    yield tarfile.TarInfo("x").tobuf() + bytes(1024)


def _code(path: Path, limits: ArchiveLimits | None = None) -> Code:
    with pytest.raises(Refused) as refused, open_source(path, limits=limits):
        pass
    return refused.value.code


@pytest.mark.parametrize("kind", PACKED)
def test_a_whole_tar_gives_all_its_files(tmp_path: Path, kind: str) -> None:
    (tmp_path / "x").write_bytes(PACKED[kind](_tar()))
    with open_source(tmp_path / "x") as files:
        assert [file.read_bytes() for file in files] == [NOISE] * 5


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("member", [1, 4])
def test_a_tar_with_a_damaged_header_is_no_smaller_study(tmp_path: Path, kind: str, member: int) -> None:
    content = bytearray(_tar())
    at = [start for start in range(0, len(content), 512) if content[start + 257 : start + 262] == b"ustar"]
    content[at[2 * member]] ^= 1
    (tmp_path / "x").write_bytes(PACKED[kind](bytes(content)))
    assert _code(tmp_path / "x") is Code.ARCHIVE_INVALID


def test_a_tar_whose_header_was_overwritten_with_zeros_is_no_smaller_study(tmp_path: Path) -> None:
    content = bytearray(_tar())
    at = [start for start in range(0, len(content), 512) if content[start + 257 : start + 262] == b"ustar"]
    content[at[4] : at[4] + 4096] = bytes(4096)
    (tmp_path / "x").write_bytes(content)
    assert _code(tmp_path / "x") is Code.ARCHIVE_INVALID


def test_a_tar_cut_between_two_members_is_no_smaller_study(tmp_path: Path) -> None:
    content = _tar()
    at = [start for start in range(0, len(content), 512) if content[start + 257 : start + 262] == b"ustar"]
    (tmp_path / "x").write_bytes(content[: at[4]])
    assert _code(tmp_path / "x") is Code.ARCHIVE_INVALID


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_a_garbled_compressed_tar_is_refused_as_an_archive(tmp_path: Path, kind: str, share: float) -> None:
    content = bytearray(PACKED[kind](_tar()))
    at = int(share * len(content))
    content[at : at + 8] = bytes(byte ^ 0x55 for byte in content[at : at + 8])
    (tmp_path / "x").write_bytes(content)
    assert _code(tmp_path / "x") is Code.ARCHIVE_INVALID


def test_a_wrong_checksum_of_gzip_is_noticed(tmp_path: Path) -> None:
    content = bytearray(gzip.compress(_tar()))
    content[-6] ^= 1
    (tmp_path / "x.tgz").write_bytes(content)
    assert _code(tmp_path / "x.tgz") is Code.ARCHIVE_INVALID


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_a_garbled_zip_is_refused_whatever_its_method(tmp_path: Path, method: int, share: float) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", method) as archive:
        archive.writestr("a", NOISE)
    content = bytearray((tmp_path / "x.zip").read_bytes())
    at = int(share * len(content))
    content[at : at + 8] = bytes(byte ^ 0x55 for byte in content[at : at + 8])
    (tmp_path / "x.zip").write_bytes(content)
    assert _code(tmp_path / "x.zip") is Code.ARCHIVE_INVALID


def test_a_zip_whose_names_are_no_utf8_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("ü", b"1")
    content = (tmp_path / "x.zip").read_bytes()
    (tmp_path / "x.zip").write_bytes(content.replace("ü".encode(), b"\xff\xfe"))
    assert _code(tmp_path / "x.zip") is Code.ARCHIVE_INVALID


def test_an_encrypted_zip_is_said_to_be_encrypted(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a", b"1")
    content = bytearray((tmp_path / "x.zip").read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(Refused, match="encrypted"), open_source(tmp_path / "x.zip"):
        pass


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_no_member_of_a_zip_is_inflated_in_one_piece(tmp_path: Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", method) as archive, archive.open("a", "w") as member:
        for _ in range(50):
            member.write(bytes(1 << 20))
    tracemalloc.start()
    code = _code(tmp_path / "x.zip", ArchiveLimits(n_bytes=40 << 20))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert code in {Code.ARCHIVE_TOO_LARGE, Code.ARCHIVE_INVALID}
    assert peak < 10 << 20


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_compressed_file_that_is_no_tar_is_refused_as_such(tmp_path: Path, pack) -> None:
    (tmp_path / "x").write_bytes(pack(NOISE))
    with pytest.raises(Refused, match="compressed, but no tar"), open_source(tmp_path / "x"):
        pass


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE])
@pytest.mark.parametrize("packed", [False, True])
def test_a_huge_header_of_a_tar_is_never_held_in_memory(tmp_path: Path, kind: bytes, packed: bool) -> None:
    with gzip.open(tmp_path / "x", "wb", compresslevel=1) if packed else (tmp_path / "x").open("wb") as file:
        for block in _long_name(kind, 100 << 20):
            file.write(block)
    tracemalloc.start()
    assert _code(tmp_path / "x") is Code.ARCHIVE_INVALID
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 << 20


def test_a_long_chain_of_long_names_is_refused(tmp_path: Path) -> None:
    link = b"".join(_long_name(tarfile.GNUTYPE_LONGNAME, 0))[:512]
    (tmp_path / "x").write_bytes(link * 900 + tarfile.TarInfo("x").tobuf() + bytes(1024))
    assert _code(tmp_path / "x") is Code.ARCHIVE_INVALID


def test_what_a_tar_skips_is_counted_too(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = b"Z", 10 << 20  # of no type tarfile knows
    (tmp_path / "x").write_bytes(gzip.compress(info.tobuf() + bytes((10 << 20) + 1024)))
    assert _code(tmp_path / "x", ArchiveLimits(n_bytes=5 << 20)) is Code.ARCHIVE_TOO_LARGE


@pytest.mark.parametrize("n_files", [4, 100])
def test_the_folders_of_a_zip_are_counted_before_they_are_listed(tmp_path: Path, n_files: int) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for number in range(30_000):
            archive.writestr(f"{number}/", "")
    tracemalloc.start()
    assert _code(tmp_path / "x.zip", ArchiveLimits(n_files=n_files)) is Code.ARCHIVE_TOO_LARGE
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 << 20


def test_the_folders_of_a_tar_are_counted(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x")
    info.type = tarfile.DIRTYPE
    (tmp_path / "x").write_bytes(info.tobuf() * 20 + bytes(1024))
    assert _code(tmp_path / "x", ArchiveLimits(n_files=10)) is Code.ARCHIVE_TOO_LARGE


def test_a_tar_that_ends_with_a_zip_is_a_tar(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("a", b"1")
    with tarfile.open(tmp_path / "x.tar", "w") as outer:
        info = tarfile.TarInfo("inner.zip")
        info.size = len(inner.getvalue())
        outer.addfile(info, io.BytesIO(inner.getvalue()))
    with open_source(tmp_path / "x.tar") as files:
        assert [file.read_bytes() for file in files] == [inner.getvalue()]


def test_a_temporary_folder_that_cannot_be_made_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.tar").write_bytes(_tar())
    monkeypatch.setattr(tempfile, "tempdir", "/proc")
    with pytest.raises(SetupRefused, match="/proc cannot be written"), open_source(tmp_path / "x.tar"):
        pass


def test_a_disk_that_fills_while_unpacking_is_not_the_archives_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    class Full(archive_module._Target):
        def __enter__(self) -> "Full":
            super().__enter__()
            self.file.close()
            self.file = _Full(self.path, "wb")
            return self

    class _Full(io.FileIO):
        write = full

    (tmp_path / "x.tar").write_bytes(_tar())
    monkeypatch.setattr(archive_module, "_Target", Full)
    with pytest.raises(SetupRefused, match=r"dras-source-.*No space left"), open_source(tmp_path / "x.tar"):
        pass
