"""Studies in a tree of folders and archives, however they lie: several in a folder, one in several, zips in zips.

Files belong together by their Study Instance UID. What DICOM has no UID, or is damaged beyond it, belongs to the
one study of its folder, as it would for `dras extract`; where there are several, or none, it is a case of its own,
whose refusal then says what is wrong. Nothing is parsed here: `reading.heap` has it done.
"""

import os
from collections import deque
from collections.abc import Callable, Container, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeAlias, TypeVar

from dras_model.imaging.parallel import available_cores
from dras_model.imaging.reading.heap import AT_ONCE, HEAVY_BYTES, sort_elsewhere
from dras_model.imaging.reading.messages import FileSorted
from dras_service.batch.cases import Found
from dras_service.batch.inventory import Inventory, Piece, digest

_ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz")
_MOST_LISTED = 4  # places of a study that have no folder in common but the root
_ALONE = ("archive", "nifti")  # a case each

_Item = TypeVar("_Item")
Tell = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A regular file as its folder lists it."""

    path: Path
    size: int
    mtime_ns: int

    @property
    def stamp(self) -> tuple[str, int, int]:
        return (self.path.name, self.size, self.mtime_ns)

    @property
    def weight(self) -> int:
        """What sorting it costs, in headers; an archive is inflated."""
        return 1 + (self.size >> 20 if self.is_place else 0)

    @property
    def is_place(self) -> bool:
        """Whether it is looked after by itself, since sorting it again may cost much."""
        return self.size > HEAVY_BYTES or self.path.name.lower().endswith(_ARCHIVES)


_Found: TypeAlias = tuple[_Entry, Sequence[FileSorted]]


@dataclass(frozen=True, slots=True)
class _Place:
    """A folder with its own files, or an archive, that is not as it was when it was sorted last."""

    name: str
    signature: str
    entries: Sequence[_Entry]


def take_stock(root: Path, inventory: Inventory, *, leave_out: Path, tell: Tell) -> None:
    """Bring the inventory to what lies below `root`; `tell` hears how many files each folder has.

    Files and folders whose name begins with a dot are left alone. Raises OSError where a folder cannot be read:
    half a tree would be taken for the whole; SetupRefused.
    """
    changed = _changed(root, inventory, leave_out=leave_out, tell=tell)
    for place, found in _sorted(_together(changed)):
        n_others = sum(item.what == "other" for _, items in found for item in items)
        inventory.keep(place.name, place.signature, _pieces(root, place.name, found), n_others=n_others)
    inventory.forget_unseen()


def studies_of(root: Path, inventory: Inventory, *, wanted: Container[str] | None = None) -> Iterator[Found]:
    """Yield every study of the inventory, or those with a UID that is `wanted`."""
    for study, pieces in inventory.studies():
        study_uid = pieces[0].study_uid
        if wanted is not None and study_uid not in wanted:
            continue
        places = [piece.place for piece in pieces]
        where = _common(places)
        called = PurePosixPath(places[0] if where == "." else where).name or root.resolve().name
        yield Found(
            study=study,
            origin="tree",
            source="; ".join(places) if where == "." and len(places) <= _MOST_LISTED else where,
            identity=digest([piece.identity for piece in pieces]),
            study_uid=study_uid,
            n_images=sum(piece.n_files for piece in pieces),
            called=called,
        )


def _folders(root: Path, leave_out: Path) -> Iterator[tuple[Path, list[_Entry]]]:
    """Yield each folder below `root` once, through links, with its own files."""

    def fail(error: OSError) -> None:
        raise error

    seen: set[tuple[int, int]] = set()
    for place, folders, names in os.walk(root, onerror=fail, followlinks=True):
        state = Path(place).stat()
        if (state.st_dev, state.st_ino) in seen or Path(place).resolve() == leave_out:
            folders.clear()
            continue
        seen.add((state.st_dev, state.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files = (Path(place, name) for name in sorted(names) if not name.startswith("."))
        yield Path(place), [entry for path in files if (entry := _entry(path)) is not None]


def _entry(path: Path) -> _Entry | None:
    """Return None for what is no file, or a link to nowhere."""
    try:
        state = path.stat()
    except FileNotFoundError:
        return None
    return _Entry(path, state.st_size, state.st_mtime_ns) if path.is_file() else None


def _changed(root: Path, inventory: Inventory, *, leave_out: Path, tell: Tell) -> Iterator[_Place]:
    for folder, entries in _folders(root, leave_out.resolve()):
        plain = [entry for entry in entries if not entry.is_place]
        alone = [entry for entry in entries if entry.is_place]
        for path, own in ((folder, plain), *((entry.path, [entry]) for entry in alone)):
            name, signature = path.relative_to(root).as_posix(), digest([entry.stamp for entry in own])
            if own and not inventory.is_known(name, signature):
                yield _Place(name, signature, own)
        tell(len(entries))


def _together(places: Iterator[_Place]) -> Iterator[list[_Place]]:
    """Put places together: a process that sorts them costs as much to start as a few hundred headers."""
    together: list[_Place] = []
    weight = 0
    for place in places:
        together.append(place)
        weight += sum(entry.weight for entry in place.entries)
        if weight >= AT_ONCE:
            yield together
            together, weight = [], 0
    if together:
        yield together


def _sorted(batches: Iterator[list[_Place]]) -> Iterator[tuple[_Place, list[_Found]]]:
    """Yield each place with what its files are; as many batches are sorted at once as there are cores."""
    n_cores = available_cores()
    with ThreadPoolExecutor(n_cores) as threads:
        under_way: deque[tuple[list[_Place], Future[list[tuple[FileSorted, ...]]]]] = deque()
        for batch in batches:
            paths = [entry.path for place in batch for entry in place.entries]
            under_way.append((batch, threads.submit(_sort, paths)))
            if len(under_way) > n_cores:
                yield from _apart(*under_way.popleft())
        while under_way:
            yield from _apart(*under_way.popleft())


def _sort(paths: Sequence[Path]) -> list[tuple[FileSorted, ...]]:
    return list(sort_elsewhere(paths))


def _apart(
    batch: list[_Place], sorting: Future[list[tuple[FileSorted, ...]]]
) -> Iterator[tuple[_Place, list[_Found]]]:
    told = iter(sorting.result())
    for place in batch:
        yield place, [(entry, next(told)) for entry in place.entries]


def _pieces(root: Path, name: str, found: Sequence[_Found]) -> Iterator[Piece]:
    files = [(entry, item) for entry, items in found for item in items if not item.members]
    yield from _of_files(root, name, [pair for pair in files if pair[1].what not in _ALONE])
    for entry, item in files:
        if item.what in _ALONE:
            path = entry.path.relative_to(root).as_posix()
            yield Piece(path, "file", f"file:{path}", "", digest([(entry.size, entry.mtime_ns)]))
    for entry, items in found:
        if items and items[0].members:
            yield from _of_archive(entry.path.relative_to(root).as_posix(), entry, items)


def _of_files(root: Path, name: str, found: Sequence[tuple[_Entry, FileSorted]]) -> Iterator[Piece]:
    """Group the files of a folder by study."""
    by_study: dict[str, list[tuple[_Entry, FileSorted]]] = {}
    for entry, item in found:
        if item.what != "other":
            by_study.setdefault(item.study_uid, []).append((entry, item))
    _adopt(by_study)
    folder = PurePosixPath(name).parent.as_posix() if (root / name).is_file() else name
    for study_uid, pairs in by_study.items():
        yield Piece(
            place=name,
            kind="folder",
            study=study_uid or f"folder:{folder}",
            study_uid=study_uid,
            identity=digest([(item.instance, entry.size, entry.mtime_ns) for entry, item in pairs]),
            files=tuple((entry.path.relative_to(root)).as_posix() for entry, _ in pairs),
            n_files=len(pairs),
        )


def _of_archive(path: str, entry: _Entry, items: Sequence[FileSorted]) -> Iterator[Piece]:
    """Group the members of an archive by study."""
    by_study: dict[str, list[FileSorted]] = {}
    for item in items:
        if item.what != "other":
            number = ".".join(map(str, item.members))
            key = f"file:{path}#{number}" if item.what in _ALONE else item.study_uid
            by_study.setdefault(key, []).append(item)
    _adopt(by_study)
    is_whole = len(by_study) == 1 and all(len(item.members) == 1 for item in items)
    for study, members in by_study.items():
        yield Piece(
            place=path,
            kind="whole archive" if is_whole else "archive",
            study=study or f"file:{path}",
            study_uid="" if study.startswith("file:") else study,
            identity=digest([(item.instance, *item.members, entry.size, entry.mtime_ns) for item in members]),
            files=tuple(item.members for item in members),
            n_files=len(members),
        )


def _adopt(by_study: dict[str, list[_Item]]) -> None:
    """Give what has no UID to the one study there is."""
    named = [study for study in by_study if study and not study.startswith("file:")]
    if "" in by_study and len(named) == 1:
        by_study[named[0]] += by_study.pop("")


def _common(places: Sequence[str]) -> str:
    return os.path.commonpath(places) or "."
