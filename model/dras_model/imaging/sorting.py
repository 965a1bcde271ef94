"""Which study each of many files belongs to, by its header alone: what is done first with a heap of files.

This runs in the reading process (`reading`), on files that nobody has looked at. An archive is opened, and archives
in it, too; what lies in one is named by its numbers, as `archive` counts members. What the images of a study are
worth is not asked here: `series` says it when the study is read.
"""

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import pydicom

from dras_model.imaging.archive import COMPRESSED, ArchiveLimits, each_member, open_members
from dras_model.imaging.dicom_file import DicomFile, open_dicom
from dras_model.imaging.dicom_walk import PIXEL_DATA, DamagedFile
from dras_model.imaging.nifti import is_nifti
from dras_model.imaging.slices import PARSE_FAULTS, quiet_pydicom, uid_of
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused

MOST_DEPTH = 3  # of archives in archives; more is no way to keep studies
_STUDY, _INSTANCE = 0x0020000D, 0x00080018
_DICOM_NAMES, _ARCHIVE_NAMES = (".dcm", ".ima"), (".zip", ".tar", ".tgz", ".tar.gz")
_MOST_UID = 128  # bytes that are looked at; a UID has at most 64 (PS3.5 9.1)

What: TypeAlias = Literal["dicom", "nifti", "damaged", "archive", "other"]


@dataclass(frozen=True, slots=True)
class Sorted:
    """One file, or one member of an archive, and where it belongs.

    `members` are the numbers that lead to it through archives, none for a file. Of "dicom", `study_uid` is empty
    where the header names none; "damaged" says that it is DICOM, or claims to be, and nothing certain is to be had
    of it; "archive" is one that cannot be opened. `instance` tells one image from another.
    """

    members: tuple[int, ...]
    what: What
    study_uid: str = ""
    instance: str = ""


def sort_files(paths: Sequence[Path], scratch: Path) -> list[list[Sorted]]:
    """Say of every file what it is, an archive's content in its place. Raises SetupRefused for `scratch`."""
    with quiet_pydicom():
        return [list(_sort(path, scratch, members=())) for path in paths]


def take_out(archive: Path, wanted: Collection[tuple[int, ...]], folder: Path, scratch: Path) -> None:
    """Write the members that are wanted, as `sort_files` has named them, below `folder`.

    Raises StudyRefused ARCHIVE_INVALID, ARCHIVE_TOO_LARGE; SetupRefused for both folders.
    """
    opened = open_members(archive)
    if opened is None:
        raise StudyRefused(Code.ARCHIVE_INVALID, fault="no zip or tar any more")
    leaves = {members[0] for members in wanted if len(members) == 1}
    inner = {members[0] for members in wanted if len(members) > 1}
    limits = ArchiveLimits()
    if leaves:
        for _ in each_member(opened, archive, folder, limits=limits, only=leaves):
            pass
    if inner:
        for number, path in each_member(opened, archive, scratch, limits=limits, only=inner):
            below = {members[1:] for members in wanted if members[0] == number}
            room = scratch / f"within {number}"
            room.mkdir()
            (folder / f"within {number}").mkdir()
            take_out(path, below, folder / f"within {number}", room)
            path.unlink()


def _sort(path: Path, scratch: Path, *, members: tuple[int, ...]) -> Iterator[Sorted]:
    try:
        opened = open_members(path) if len(members) < MOST_DEPTH else None
        if opened is None:
            yield _look(path, members)
            return
        found: list[Sorted] = []
        room = scratch / str(len(members))
        for number, member in each_member(opened, path, room, limits=ArchiveLimits()):
            found += _sort(member, scratch, members=(*members, number))
            member.unlink()
        yield from found
    except StudyRefused as refused:
        yield Sorted(members, "other" if refused.fields.get("fault") == COMPRESSED else "archive")
    except OSError:
        yield Sorted(members, "damaged")


def _look(path: Path, members: tuple[int, ...]) -> Sorted:
    try:
        with open_dicom(path) as file:
            if file is not None:
                return _of_header(members, file)
    except DamagedFile:
        return _of_damaged(path, members)
    if is_nifti(path):
        return Sorted(members, "nifti", instance=path.name)
    name = path.name.lower()
    called: What = (
        "damaged" if name.endswith(_DICOM_NAMES) else "archive" if name.endswith(_ARCHIVE_NAMES) else "other"
    )
    return Sorted(members, called)


def _of_header(members: tuple[int, ...], file: DicomFile) -> Sorted:
    study_uid = uid_of(_value(file, _STUDY))
    if not study_uid and PIXEL_DATA not in file.elements:
        return Sorted(members, "other")  # an index of a disc, for example
    return Sorted(members, "dicom", study_uid, _instance(_value(file, _INSTANCE)))


def _of_damaged(path: Path, members: tuple[int, ...]) -> Sorted:
    """Take the study's UID from a file that is not whole: a study with a damaged file is known as that."""
    try:
        found = pydicom.dcmread(
            path, stop_before_pixels=True, specific_tags=["StudyInstanceUID", "SOPInstanceUID"]
        )
        study_uid = uid_of(str(found.get("StudyInstanceUID", ""))[:_MOST_UID])
        instance = _instance(str(found.get("SOPInstanceUID", "")))
    except (*PARSE_FAULTS, OSError, pydicom.errors.InvalidDicomError):
        return Sorted(members, _without_header(path))
    return Sorted(members, "dicom" if study_uid else "damaged", study_uid, instance)


def _without_header(path: Path) -> What:
    """An empty file that does not call itself DICOM is a mark that somebody has set, not an image."""
    is_named = path.name.lower().endswith(_DICOM_NAMES)
    return "damaged" if is_named or path.stat().st_size else "other"


def _value(file: DicomFile, tag: int) -> str:
    """Return a short value of the top level as text, empty where there is none."""
    element = file.elements.get(tag)
    if element is None or element.length > _MOST_UID:
        return ""
    return (
        file.content[element.start : element.start + element.length].decode("ascii", "replace").strip(" \0")
    )


def _instance(uid: str) -> str:
    return hashlib.sha256(uid.encode(errors="replace")).hexdigest()[:32] if uid else ""
