"""Patches of a cohort on disk, laid out as training reads them: location by location, straight from the page cache.

A store is a folder: `store.json` says of which atlas, `shard-NNNNN.npy` are plain arrays (location, slot, 32, 32,
32) int16 in HU, `cases.jsonl` has a line for each finished case. A subject is in the store once its line is: voxels
that were written without one are written again. Making patches is `prepare`'s business.
"""

import base64
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from dras_model.encoder.architecture import PATCH_SIZE
from dras_model.imaging.atlas import Atlas
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_training.recipe import Section

SHARD_SLOTS = 64  # 2.4 GB at 581 locations; a location's run in a shard is 4 MB, which disks read in one go
_ABOUT, _CASES = "store.json", "cases.jsonl"


class About(Section):
    """The content of `store.json`: what every patch of the store has in common."""

    schema_version: Literal[1] = 1
    atlas: str
    atlas_sha256: str
    n_locations: int = Field(ge=1)
    slots: int = Field(ge=1, description="subjects of a shard")


class CaseRecord(Section):
    """One line of `cases.jsonl`: a subject that is in the store, or why it is not; `person`: whose scan it is."""

    subject: str
    status: Literal["stored", "refused"]
    slot: int | None = None
    person: str | None = None
    input_sha256: str | None = None
    valid: str | None = Field(None, description="one bit a location, packed, in base64")
    code: str | None = None
    sentence: str | None = None


@dataclass(eq=False)
class PatchStore:
    """An open store. Reading maps the shards; every process opens its own maps."""

    path: Path
    about: About
    records: list[CaseRecord]
    _maps: dict[int, NDArray[np.int16]] = field(default_factory=dict, repr=False)

    @classmethod
    def create(cls, path: Path, atlas: Atlas, *, slots: int) -> Self:
        """Open the store at `path` for `atlas`, or begin it there.

        Raises SetupRefused: OUTPUT_NOT_WRITABLE, STORE_INVALID, STORE_ATLAS_MISMATCH.
        """
        if (path / _ABOUT).exists():
            return cls.open(path, atlas)
        about = About(
            atlas=atlas.name,
            atlas_sha256=atlas.sha256,
            n_locations=len(atlas.corners),
            slots=max(1, min(slots, SHARD_SLOTS)),
        )
        try:
            path.mkdir(parents=True, exist_ok=True)
            draft = path / f".{_ABOUT}"
            draft.write_text(about.model_dump_json(indent=1) + "\n", "utf-8")
            draft.replace(path / _ABOUT)
        except OSError as fault:
            raise not_writable(path, fault) from fault
        return cls(path, about, [])

    @classmethod
    def open(cls, path: Path, atlas: Atlas) -> Self:
        """Open a store that exists. Raises SetupRefused (STORE_INVALID, STORE_ATLAS_MISMATCH)."""
        try:
            about = About.model_validate_json((path / _ABOUT).read_bytes())
            records = list(_records(path))
        except OSError as fault:
            raise _invalid(path, f"there is none, or it cannot be read ({fault.strerror})") from fault
        except ValidationError as fault:
            raise _invalid(path, "its description is damaged") from fault
        if about.atlas_sha256 != atlas.sha256:
            raise SetupRefused(
                Code.STORE_ATLAS_MISMATCH,
                name=path.name,
                expected=f"{about.atlas} ({about.atlas_sha256[:12]})",
                found=f"{atlas.name} ({atlas.sha256[:12]})",
            )
        return cls(path, about, records)

    @property
    def stored(self) -> list[CaseRecord]:
        """The subjects that are in the store, by slot: the index of a subject is its place in this list."""
        return sorted((r for r in self.records if r.slot is not None), key=lambda record: record.slot or 0)

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Whether the patch of a subject at a location can be trusted, (subjects, locations)."""
        n = self.about.n_locations
        rows = [unpack_bits(record.valid or "", n) for record in self.stored]
        return np.stack(rows) if rows else np.zeros((0, n), dtype=np.bool_)

    @property
    def people(self) -> NDArray[np.int64]:
        """Whose scan each subject is, (subjects,): the number of the person's first one."""
        named = [("person", r.person) if r.person else ("subject", r.subject) for r in self.stored]
        first = {who: i for i, who in reversed(list(enumerate(named)))}
        return np.array([first[who] for who in named], dtype=np.int64)

    @property
    def sha256(self) -> str:
        """The identity of what can be read: atlas, subjects in their order, whose, and which patches are valid."""
        told = [[r.slot, r.input_sha256, r.valid, *filter(None, [r.person])] for r in self.stored]
        return hashlib.sha256(json.dumps([self.about.atlas_sha256, told]).encode()).hexdigest()

    def read(self, locations: Sequence[int], subjects: Sequence[int]) -> NDArray[np.int16]:
        """Return patches (len(subjects), len(locations), 32, 32, 32) in HU.

        Raises SetupRefused STORE_INVALID where a shard is not what it should be.
        """
        slots = self._slots
        cubes = np.empty((len(subjects), len(locations), *[PATCH_SIZE] * 3), dtype=np.int16)
        for row, subject in zip(cubes, subjects, strict=True):
            shard, place = divmod(slots[subject], self.about.slots)
            mapped = self._map(shard)
            for cube, location in zip(row, locations, strict=True):
                cube[:] = mapped[location, place]
        return cubes

    def write(self, slot: int, patches: NDArray[np.int16]) -> None:
        """Write the patches (locations, 32, 32, 32) of one subject and have them on the disk. Raises OSError.

        Through the file and not through a map: of a full disk, a map tells by killing the process.
        """
        shard, place = divmod(slot, self.about.slots)
        path = self._shard(shard)
        offset = self._begun(path)
        cube = PATCH_SIZE**3 * patches.itemsize
        descriptor = os.open(path, os.O_WRONLY)
        try:
            for location, patch in enumerate(np.ascontiguousarray(patches, dtype="<i2")):
                _write_all(descriptor, patch.tobytes(), offset + (location * self.about.slots + place) * cube)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def record(self, case: CaseRecord) -> None:
        """Add a finished case. Raises OSError."""
        with (self.path / _CASES).open("ab") as lines:
            lines.write(case.model_dump_json(exclude_none=True).encode() + b"\n")
            lines.flush()
            os.fsync(lines.fileno())
        self.records.append(case)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": {}, "_slot_list": None}

    @property
    def _slots(self) -> list[int]:
        found: list[int] | None = self.__dict__.get("_slot_list")
        if found is None or len(found) != sum(r.slot is not None for r in self.records):
            found = [record.slot or 0 for record in self.stored]
            self.__dict__["_slot_list"] = found
        return found

    def _shard(self, shard: int) -> Path:
        return self.path / f"shard-{shard:05}.npy"

    def _shape(self) -> tuple[int, ...]:
        return (self.about.n_locations, self.about.slots, *[PATCH_SIZE] * 3)

    def _begun(self, path: Path) -> int:
        """Make the shard where it is missing, sparse; return where its array begins."""
        if not path.exists():
            draft = path.with_name(f".{path.name}.{os.getpid()}")
            np.lib.format.open_memmap(draft, mode="w+", dtype="<i2", shape=self._shape())
            try:
                os.link(draft, path)  # unlike a rename, it fails where another process was faster
            except FileExistsError:
                pass
            finally:
                draft.unlink()
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            np.lib.format.read_array_header_1_0(file)
            return file.tell()

    def _map(self, shard: int) -> NDArray[np.int16]:
        if shard not in self._maps:
            path = self._shard(shard)
            try:
                mapped = np.load(path, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError, EOFError) as fault:
                raise _invalid(self.path, f"{path.name} is missing or damaged") from fault
            if mapped.shape != self._shape() or mapped.dtype != np.dtype("<i2"):
                raise _invalid(self.path, f"{path.name} holds {mapped.shape} {mapped.dtype}")
            self._maps[shard] = mapped
        return self._maps[shard]


def pack_bits(valid: NDArray[np.bool_]) -> str:
    """Return flags (n,) as text."""
    return base64.b64encode(np.packbits(valid).tobytes()).decode()


def unpack_bits(text: str, n: int) -> NDArray[np.bool_]:
    """Return the flags (n,) that `pack_bits` wrote."""
    packed = np.frombuffer(base64.b64decode(text), dtype=np.uint8)
    return np.unpackbits(packed, count=n).astype(np.bool_)


def not_writable(path: Path, fault: OSError) -> SetupRefused:
    """Return the refusal of a place that cannot be written, a full disk among the reasons."""
    return SetupRefused(
        Code.OUTPUT_NOT_WRITABLE, path=str(path), reason=fault.strerror or type(fault).__name__
    )


def _write_all(descriptor: int, content: bytes, offset: int) -> None:
    """Write at `offset`; a disk that fills up takes a part first and refuses the rest."""
    view = memoryview(content)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def _records(path: Path) -> Iterator[CaseRecord]:
    """Read the finished cases; a last line without its end is a case that was not finished."""
    try:
        content = (path / _CASES).read_bytes()
    except FileNotFoundError:
        return
    whole = content.rfind(b"\n") + 1
    if whole != len(content):
        os.truncate(path / _CASES, whole)
    for line in content[:whole].splitlines():
        yield CaseRecord.model_validate_json(line)


def _invalid(path: Path, reason: str) -> SetupRefused:
    return SetupRefused(Code.STORE_INVALID, name=path.name, reason=reason)
