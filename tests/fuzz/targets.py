"""What is fed bytes of a stranger's making: each takes them, or refuses them in its own words.

A target is a name, seeds to begin with, and what is done with an input; any error that leaves it is a defect. The
node's socket is not among them: `integration/pacs/test_receiving.py` feeds a real one.
"""

import gzip
import io
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dras_model.imaging.dicom_walk import DamagedFile
from dras_model.imaging.loading import load_study
from dras_model.imaging.nifti import read_nifti, write_nifti
from dras_model.imaging.phantom import PhantomSpec, make_phantom
from dras_model.imaging.phantom_dicom import SeriesOptions, write_series
from dras_model.imaging.slices import quiet_pydicom, read_slices
from dras_model.imaging.source import ArchiveLimits, open_source
from dras_model.results.errors import StudyRefused
from dras_service.gateway.bodies import open_body
from dras_service.gateway.problems import ProblemRaised
from dras_service.header import NotDicom, parse_header
from dras_service.store.incoming import Incoming

BOUNDARY = "x"
MULTIPART = f"multipart/related; boundary={BOUNDARY}"
LIMITS = ArchiveLimits(n_files=50, n_bytes=8 << 20)
_EDIT = struct.Struct("<HLB")  # which file, where, how many bytes are exchanged for those that follow


@dataclass(frozen=True, slots=True)
class Target:
    """`run` is given an input and an empty folder."""

    seeds: Callable[[], list[bytes]]
    run: Callable[[bytes, Path], None]


def image(content: bytes, folder: Path) -> None:
    """The header of one file, as the reader of studies sees it."""
    path = folder / "file.dcm"
    path.write_bytes(content)
    with quiet_pydicom(), suppress(DamagedFile, StudyRefused):
        read_slices(path)


def head(content: bytes, folder: Path) -> None:
    """The same file, as the gateway and the node see it."""
    with suppress(NotDicom):
        parse_header(content)


def archive(content: bytes, folder: Path) -> None:
    """A zip or tar, packed or not; whatever it holds is written under a limit."""
    path = folder / "archive"
    path.write_bytes(content)
    with suppress(StudyRefused), open_source(path, limits=LIMITS, scratch=folder) as files:
        assert len(files) <= LIMITS.n_files
        assert sum(file.stat().st_size for file in files) <= max(LIMITS.n_bytes, len(content))


def nifti(content: bytes, folder: Path) -> None:
    """A NIfTI, plain."""
    path = folder / "image.nii"
    path.write_bytes(content)
    with suppress(StudyRefused):
        read_nifti(path)


def multipart(content: bytes, folder: Path) -> None:
    """A body of parts that arrives in two blocks; the first byte says where it is cut."""
    with suppress(ProblemRaised), Incoming(folder) as incoming:
        body = open_body(MULTIPART, incoming, max_files=20)
        cut = content[0] if content else 0
        body.feed(content[1:cut])
        body.feed(content[max(1, cut) :])
        body.end()


def series(content: bytes, folder: Path) -> None:
    """A whole series in which bytes of some files were exchanged: it is read, or refused."""
    files = [bytearray(file) for file in _slices()]
    stream = io.BytesIO(content)
    while len(edit := stream.read(_EDIT.size)) == _EDIT.size:
        number, place, n = _EDIT.unpack(edit)
        file = files[number % len(files)]
        place %= len(file)
        file[place : place + n] = stream.read(n)
    for number, file in enumerate(files):
        (folder / f"{number:02d}.dcm").write_bytes(file)
    with suppress(StudyRefused):
        load_study(folder)


TARGETS = {
    "image": Target(lambda: [_slices()[0], _implicit()], image),
    "head": Target(lambda: [_slices()[0], _implicit()], head),
    "archive": Target(lambda: [_zip(), _tar(), gzip.compress(_tar())], archive),
    "nifti": Target(lambda: [_nifti()], nifti),
    "multipart": Target(lambda: [_parts()], multipart),
    "series": Target(lambda: [b"", *(_EDIT.pack(3, place, 1) + b"9" for place in (400, 700, 900))], series),
}


def run(target: Target, content: bytes) -> None:
    """Do with one input what the target does, in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="dras-fuzz-") as folder:
        target.run(content, Path(folder))


@cache
def _material() -> dict[str, list[bytes]]:
    """A small series in two syntaxes and a NIfTI; drawn by another process, whose memory is no input's."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_drawn).result()


def _drawn() -> dict[str, list[bytes]]:
    volume = make_phantom(PhantomSpec(n_slices=30, matrix=16)).volume
    with tempfile.TemporaryDirectory() as folder:
        made = {
            syntax: [
                path.read_bytes()
                for path in write_series(volume, Path(folder, syntax), SeriesOptions(transfer_syntax=syntax))
            ]
            for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
        }
        write_nifti(Path(folder, "image.nii"), volume.hu[:4], volume.grid)
        return {**made, "nifti": [Path(folder, "image.nii").read_bytes()]}


def _slices() -> list[bytes]:
    return _material()[ExplicitVRLittleEndian]


def _implicit() -> bytes:
    return _material()[ImplicitVRLittleEndian][0]


def _zip() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for number, content in enumerate(_slices()[:2]):
            file.writestr(f"folder/{number}", content)
    return packed.getvalue()


def _tar() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as file:
        for number, content in enumerate(_slices()[:2]):
            member = tarfile.TarInfo(f"folder/{number}" + "é" * 60)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def _nifti() -> bytes:
    return _material()["nifti"][0]


def _parts() -> bytes:
    part = f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode() + b"DICM" * 20 + b"\r\n"
    return b"\x40" + part * 2 + f"--{BOUNDARY}--\r\n".encode()
