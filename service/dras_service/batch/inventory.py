"""Where the files of each study lie, kept in the ledger so that no header is read twice.

A place is a folder with its own files, or one archive. It is sorted again only when names, sizes or times of its
files change: going on after a crash costs a look at each file's entry, not at its content.
"""

import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, TypeAlias

from dras_service.batch.ledger import Ledger

Member: TypeAlias = tuple[int, ...]
Kind: TypeAlias = Literal["folder", "archive", "whole archive", "file"]
_SCHEMA = """
CREATE TABLE IF NOT EXISTS places (
    place TEXT PRIMARY KEY, signature TEXT NOT NULL, n_others INTEGER NOT NULL, seen INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS pieces (
    place TEXT NOT NULL, kind TEXT NOT NULL, study TEXT NOT NULL, study_uid TEXT NOT NULL, identity TEXT NOT NULL,
    n_files INTEGER NOT NULL, files BLOB NOT NULL, PRIMARY KEY (study, place)
);
CREATE INDEX IF NOT EXISTS pieces_place ON pieces (place);
"""


@dataclass(frozen=True, slots=True)
class Piece:
    """What one place holds of one study: files below the root, or members of an archive.

    A "whole archive" holds nothing else and can be read as it is, as can a "file", which is NIfTI or an archive
    that cannot be opened. `identity` changes with what the images are, not with where they lie.
    """

    place: str
    kind: Kind
    study: str
    study_uid: str
    identity: str
    files: tuple[str | Member, ...] = ()
    n_files: int = 1


class Inventory:
    """The places of a tree. Everything is written through the ledger's own connection."""

    def __init__(self, ledger: Ledger, run: int) -> None:
        self._ledger = ledger
        self._run = run
        ledger.connection.executescript(_SCHEMA)

    def is_known(self, place: str, signature: str) -> bool:
        """Whether the files of a place are those that were sorted; it counts as seen in this run then."""
        with self._ledger.writing() as connection:
            found = connection.execute(
                "UPDATE places SET seen = ? WHERE place = ? AND signature = ?", (self._run, place, signature)
            )
        return found.rowcount > 0

    def keep(self, place: str, signature: str, pieces: Iterable[Piece], *, n_others: int) -> None:
        """Write down what a place holds, in the place of what was known; `n_others` files are no images."""
        with self._ledger.writing() as connection:
            connection.execute("DELETE FROM pieces WHERE place = ?", (place,))
            connection.executemany(
                "INSERT INTO pieces (place, kind, study, study_uid, identity, n_files, files)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (p.place, p.kind, p.study, p.study_uid, p.identity, p.n_files, _packed(p.files))
                    for p in pieces
                ],
            )
            connection.execute(
                "INSERT OR REPLACE INTO places (place, signature, n_others, seen) VALUES (?, ?, ?, ?)",
                (place, signature, n_others, self._run),
            )

    def forget_unseen(self) -> None:
        """Forget the places that are no more."""
        with self._ledger.writing() as connection:
            connection.execute(
                "DELETE FROM pieces WHERE place IN (SELECT place FROM places WHERE seen < ?)", (self._run,)
            )
            connection.execute("DELETE FROM places WHERE seen < ?", (self._run,))

    @property
    def n_others(self) -> int:
        """How many files are no images."""
        found = self._ledger.connection.execute("SELECT SUM(n_others) FROM places").fetchone()[0]
        return int(found or 0)

    def studies(self) -> Iterator[tuple[str, list[Piece]]]:
        """Yield each study with its pieces, without the names of their files."""
        rows = self._ledger.connection.execute(
            "SELECT place, kind, study, study_uid, identity, n_files FROM pieces ORDER BY study, place"
        )
        for study, found in groupby(rows, key=lambda row: row["study"]):
            yield study, [Piece(**dict(row)) for row in found]


def pieces_of(ledger: Ledger, study: str) -> list[Piece]:
    """Return all that lies anywhere of a study."""
    rows = ledger.connection.execute("SELECT * FROM pieces WHERE study = ? ORDER BY place", (study,))
    return [Piece(**{**dict(row), "files": _unpacked(row["files"])}) for row in rows]


def digest(parts: Sequence[object]) -> str:
    """Return the digest of some values of which the order does not matter."""
    lines = sorted(json.dumps(part) for part in parts)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _packed(files: Sequence[object]) -> bytes:
    return zlib.compress(json.dumps(files).encode(), 1)


def _unpacked(content: bytes) -> tuple[str | Member, ...]:
    found = json.loads(zlib.decompress(content))
    return tuple(entry if isinstance(entry, str) else tuple(entry) for entry in found)
