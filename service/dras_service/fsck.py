"""Rows against files: what one says and the other does not, and a repair that can be repeated.

A repair never destroys what a row speaks of: a damaged file is laid aside under `damaged`, and the row then
says that it is gone, so that the same upload is taken and computed anew. What nobody speaks of is removed
once it is older than anything that may still be under way. Leaves out jobs and queues: the sweeper's.
"""

import hashlib
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

from dras_service.security.actions import Action, Outcome
from dras_service.store.blobs import BlobStore
from dras_service.store.inventory import KnownResult, KnownStudy
from dras_service.store.rows import Artifact
from dras_service.store.shelves import Held, last_change
from dras_service.store.store import Store


class Damage(StrEnum):
    """What can be wrong; add-only."""

    STUDY_MISSING = "STUDY_MISSING"
    STUDY_CHANGED = "STUDY_CHANGED"
    STUDY_ORPHAN = "STUDY_ORPHAN"
    RESULT_INCOMPLETE = "RESULT_INCOMPLETE"
    OUTPUTS_MISSING = "OUTPUTS_MISSING"
    OUTPUTS_CHANGED = "OUTPUTS_CHANGED"
    OUTPUTS_ORPHAN = "OUTPUTS_ORPHAN"
    DRAFT_MISSING = "DRAFT_MISSING"
    DRAFT_ORPHAN = "DRAFT_ORPHAN"
    INCOMING_REMNANT = "INCOMING_REMNANT"


SENTENCES: Mapping[Damage, str] = MappingProxyType(
    {
        Damage.STUDY_MISSING: "A study's row has no files.",
        Damage.STUDY_CHANGED: "A study's files are not those that were uploaded.",
        Damage.STUDY_ORPHAN: "A study's files have no row.",
        Damage.RESULT_INCOMPLETE: "A job ended well and no row says what came of it.",
        Damage.OUTPUTS_MISSING: "A result's files are not all there.",
        Damage.OUTPUTS_CHANGED: "A result's files are not those that were computed.",
        Damage.OUTPUTS_ORPHAN: "A result's files have no row.",
        Damage.DRAFT_MISSING: "What a stage has left for the next is not there.",
        Damage.DRAFT_ORPHAN: "What a stage has left is nobody's.",
        Damage.INCOMING_REMNANT: "Something was left by a process that died.",
    }
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `key` is an address of ours, of the tenant where it has one."""

    damage: Damage
    key: str
    tenant: str
    job_id: str | None = None
    repaired: bool = False


class Checker:
    """Looks at everything once; with `repair`, mends as it goes. Raises StoreError, OSError."""

    def __init__(
        self,
        store: Store,
        blobs: BlobStore,
        *,
        root: Path,
        deep: bool,
        repair: bool,
        settled_s: float,
        actor: str,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._root = root
        self._deep = deep
        self._repair = repair
        self._settled_s = settled_s
        self._actor = actor

    def run(self) -> Iterator[Finding]:
        """Yield what is wrong, each repaired already where that was asked for."""
        yield from self._studies()
        yield from self._results()
        yield from self._drafts()
        yield from self._remnants()  # before orphans are thrown there
        yield from self._orphan_studies()
        yield from self._orphan_outputs()
        yield from self._orphan_drafts()
        if self._repair:
            self._blobs.empty_trash()

    # Rows

    def _studies(self) -> Iterator[Finding]:
        for known in self._store.inventory.studies():
            if not self._blobs.has_study(known.key):
                damage = Damage.STUDY_MISSING
            elif self._deep and self._is_changed(known):
                damage = Damage.STUDY_CHANGED
            else:
                continue
            # A study may be purged or kept between our two looks.
            is_there = self._blobs.has_study(known.key)
            if self._store.inventory.knows_study(known.key) and is_there is (damage is Damage.STUDY_CHANGED):
                yield self._mend_study(known, damage)

    def _is_changed(self, known: KnownStudy) -> bool:
        try:
            with self._blobs.study(known.key) as path:
                return _study_hash(path) != known.sha256
        except FileNotFoundError:  # purged meanwhile
            return False
        except OSError:  # an object that is not what was kept
            return True

    def _mend_study(self, known: KnownStudy, damage: Damage) -> Finding:
        if not self._repair or self._store.inventory.has_running(known.key):
            return Finding(damage, known.key, known.tenant)
        if damage is Damage.STUDY_CHANGED:
            self._lay_aside(self._blobs.study(known.key), known.key)
            self._blobs.remove_study(known.key)
        self._store.inventory.forget_study(known.key, tenant=known.tenant)
        return self._mended(Finding(damage, known.key, known.tenant))

    def _results(self) -> Iterator[Finding]:
        for known in self._store.inventory.results():
            damage = self._damage_of(known)
            if damage is None:
                continue
            key = known.job_id if known.outputs is None else known.outputs.key
            finding = Finding(damage, key, known.tenant, known.job_id)
            if not self._repair:
                yield finding
                continue
            if damage is Damage.OUTPUTS_CHANGED:
                self._lay_aside(self._blobs.outputs(key), key)
                self._blobs.remove_outputs(key)
            # From here on the job has no result, and the same upload is a new job; the sweeper clears the rest.
            self._store.ending.purge(known.job_id, tenant=known.tenant)
            yield self._mended(finding)

    def _damage_of(self, known: KnownResult) -> Damage | None:
        if known.outputs is None or not known.outputs.artifacts:
            return Damage.RESULT_INCOMPLETE
        try:
            with self._blobs.outputs(known.outputs.key) as folder:
                return self._damage_in(folder, known.outputs.artifacts)
        except FileNotFoundError:
            return Damage.OUTPUTS_MISSING
        except OSError:  # an object that is not what was kept
            return Damage.OUTPUTS_CHANGED

    def _damage_in(self, folder: Path, files: Iterable[Artifact]) -> Damage | None:
        for file in files:
            path = folder / file.name
            if not path.is_file():
                return Damage.OUTPUTS_MISSING
            if path.stat().st_size != file.size_bytes or (self._deep and not _is_same(path, file)):
                return Damage.OUTPUTS_CHANGED
        return None

    def _drafts(self) -> Iterator[Finding]:
        for known in self._store.inventory.drafts():
            if self._blobs.has_draft(known.key):
                continue
            # Handed over between our two looks, the job would wait for another draft.
            finding = Finding(Damage.DRAFT_MISSING, known.key, known.tenant, known.job_id)
            if not self._repair:
                if known in self._store.inventory.drafts():
                    yield finding
            elif self._store.inventory.prepare_again(known):
                yield self._mended(finding)

    # Files

    def _orphan_studies(self) -> Iterator[Finding]:
        for key in sorted(self._blobs.study_keys(older_than_s=self._settled_s)):
            tenant = key.partition("/")[0]
            if not self._store.inventory.knows_study(key):
                if self._repair:
                    self._blobs.remove_study(key)
                yield self._done(Finding(Damage.STUDY_ORPHAN, key, tenant))

    def _orphan_outputs(self) -> Iterator[Finding]:
        for key in sorted(self._blobs.output_keys(older_than_s=self._settled_s)):
            job_id = key.rpartition("-")[0]
            if not self._store.inventory.knows_outputs(key, job_id=job_id):
                if self._repair:
                    self._blobs.remove_outputs(key)
                yield self._done(Finding(Damage.OUTPUTS_ORPHAN, key, "", job_id))

    def _orphan_drafts(self) -> Iterator[Finding]:
        old = sorted(self._blobs.draft_keys(older_than_s=self._settled_s))
        for key in self._store.orphans.drafts(old):
            if self._repair:
                self._blobs.remove_draft(key)
            yield self._done(Finding(Damage.DRAFT_ORPHAN, key, "", key.rpartition("-")[0]))

    def _remnants(self) -> Iterator[Finding]:
        found = [path for path in sorted((self._root / "incoming").iterdir()) if self._is_settled(path)]
        if found and self._repair:
            self._blobs.sweep_incoming(older_than_s=self._settled_s)
        for path in found:
            yield self._done(Finding(Damage.INCOMING_REMNANT, path.name, ""))

    # Mending

    def _is_settled(self, path: Path) -> bool:
        return time.time() - last_change(path) > self._settled_s

    def _lay_aside(self, damaged: Held, key: str) -> None:
        """Copy what is damaged out of the way, so that somebody may look at it, as far as it can be had."""
        aside = self._root / "damaged"
        aside.mkdir(exist_ok=True)
        place = aside / f"{key.rpartition('/')[2]}-{time.time_ns()}"
        with suppress(OSError), damaged as path:
            if path.is_dir():
                shutil.copytree(path, place)
            else:
                shutil.copyfile(path, place)

    def _done(self, finding: Finding) -> Finding:
        return self._mended(finding) if self._repair else finding

    def _mended(self, finding: Finding) -> Finding:
        self._store.audit.append(
            Action.STORE_REPAIR,
            finding.key,
            tenant=finding.tenant,
            actor=self._actor,
            outcome=Outcome.SUCCESS,
            detail={"damage": finding.damage.value},
        )
        return Finding(finding.damage, finding.key, finding.tenant, finding.job_id, repaired=True)


def _study_hash(path: Path) -> str:
    """Hash a study as `Incoming` does: of one file its content, of several the sorted hashes."""
    if path.is_file():
        return _hash(path).hex()
    digests = sorted(_hash(child) for child in path.iterdir() if child.is_file())
    return hashlib.sha256(b"".join(digests)).hexdigest()


def _is_same(path: Path, file: Artifact) -> bool:
    return _hash(path).hex() == file.sha256


def _hash(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
