"""When a study is complete, and what becomes of it then: a job, by the same way as every other upload.

DICOM says no end of a study: it is complete when nothing has come for a while, or when there are as many images as
its sender says there are. An image that comes later makes another version: the study as it was submitted and the
new images together, as a new job. What is known of versions is in the database, so that any process may go on.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from dras_service.gathering.room import Gathered, Origin, Room, image_name
from dras_service.header import NotDicom, read_header
from dras_service.observability.logs import outline
from dras_service.security.actions import Action, Outcome
from dras_service.store.blobs import BlobStore
from dras_service.store.errors import QuotaExceeded, StoreError
from dras_service.store.incoming import Incoming
from dras_service.store.keeping import keep
from dras_service.store.rows import Order, Submitted
from dras_service.store.store import Store

_log = logging.getLogger(__name__)
_AGAIN_S = 30.0  # after which a study is tried again that could not be submitted
_CUT_OFF_S = 600.0  # without a byte; a door cuts a silent connection sooner


@dataclass(frozen=True, slots=True)
class Handling:
    """What a route says of its studies."""

    quiet_s: float
    broken_quiet_s: float
    most_wait_s: float
    order: Order = field(default_factory=Order)
    expected: Callable[[str], int | None] | None = None  # how many images a study has, by its UID


class Completer:
    """Submits what is complete, by `run_once`."""

    def __init__(
        self,
        room: Room,
        handling_of: Callable[[Origin], Handling],
        *,
        store: Store,
        blobs: BlobStore,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._room = room
        self._handling_of = handling_of
        self._store = store
        self._blobs = blobs
        self._now = clock
        self._asked_at: dict[Path, float] = {}
        self._again_at: dict[Path, float] = {}

    def run_once(self) -> int:
        """Submit what is complete; return how many studies. One that cannot be submitted now is tried again."""
        self._room.sweep_arriving(before=self._now() - _CUT_OFF_S)
        for gathered in filter(self._is_due, list(self._room.waiting())):
            with self._put_off_where_it_fails(gathered):
                if self._is_complete(gathered):
                    self._room.take(gathered)
        n_submitted = 0
        for taken in filter(self._is_due, list(self._room.taken())):
            with self._put_off_where_it_fails(taken):
                self._submit(taken)
                n_submitted += 1
        return n_submitted

    def _is_due(self, study: Gathered) -> bool:
        return self._now() >= self._again_at.get(study.folder, 0.0)

    @contextmanager
    def _put_off_where_it_fails(self, study: Gathered) -> Iterator[None]:
        """Say what hinders a study and leave it alone for a while; the others go on.

        Each try reads and writes all of it.
        """
        try:
            yield
        except QuotaExceeded as error:
            _log.warning("a study waits: the tenant's quota %s is used up", error.quota)
        except (StoreError, OSError) as error:
            _log.warning("a study waits: %s", outline(error))
        except Exception as error:  # noqa: BLE001 - a defect that one study meets must not stop all
            _log.error("a study waits, for a defect: %s", outline(error))
        else:
            self._again_at.pop(study.folder, None)
            return
        self._again_at[study.folder] = self._now() + _AGAIN_S

    def _is_complete(self, gathered: Gathered) -> bool:
        handling = self._handling_of(gathered.origin)
        try:
            now, last_at, first_at = self._now(), gathered.last_at, gathered.first_at
        except FileNotFoundError:
            return False
        if now - first_at >= handling.most_wait_s:
            return True
        if now - last_at < handling.quiet_s:
            return False
        if handling.expected is not None:
            told = self._all_there(gathered, handling, now)
            if told is not None:
                return told
        return not gathered.is_broken or now - last_at >= handling.broken_quiet_s

    def _all_there(self, gathered: Gathered, handling: Handling, now: float) -> bool | None:
        """Whether all images are there that the sender has; None where it does not say. Asked not too often."""
        asked_at = self._asked_at.get(gathered.folder, 0.0)
        if now - asked_at < handling.quiet_s:
            return False
        self._asked_at[gathered.folder] = now
        expected = None if handling.expected is None else handling.expected(gathered.origin.study_uid)
        if expected is None:
            return None
        n_images = len(gathered.images()) + self._n_before(gathered)
        if n_images < expected:
            _log.info("a study waits: %d of %d images are there", n_images, expected)
        return n_images >= expected

    def _n_before(self, gathered: Gathered) -> int:
        """How many files the version before has; late images add to those."""
        origin = gathered.origin
        for job in self._store.jobs.of_study(origin.study_uid, tenant=origin.tenant, limit=1):
            stored = self._store.jobs.study(job.study_key, tenant=origin.tenant)
            return 0 if stored is None else stored.n_files
        return 0

    def _submit(self, taken: Gathered) -> None:
        origin = taken.origin
        order = replace(self._handling_of(origin).order, study_uid=origin.study_uid)
        with self._blobs.receive() as incoming:
            images = taken.images()
            is_late = self._take_over_earlier(incoming, origin, replaced={image.name for image in images})
            for image in images:
                incoming.adopt(image)
            if incoming.n_files == 0:
                self._room.done(taken)
                return
            submitted = keep(
                incoming,
                order,
                tenant=origin.tenant,
                submission=self._store.submission,
                blobs=self._blobs,
            )
        # Before the study leaves the room: where no entry can be written, it is submitted again, as the same job.
        self._store.audit.append(
            Action.STUDY_SUBMIT,
            submitted.job.id,
            tenant=origin.tenant,
            actor=f"route:{origin.route}",
            outcome=Outcome.SUCCESS,
        )
        self._room.done(taken)
        self._asked_at = {path: at for path, at in self._asked_at.items() if path.exists()}
        _tell(submitted, origin, is_late=is_late)

    def _take_over_earlier(self, incoming: Incoming, origin: Origin, *, replaced: Collection[str]) -> bool:
        """Put the images of the version before into the new one; False where there is none, or it was purged.

        Those of the names in `replaced` have come again, corrected perhaps: an instance has one content.
        """
        found = self._store.jobs.of_study(origin.study_uid, tenant=origin.tenant, limit=1)
        if not found or not self._blobs.has_study(found[0].study_key):
            return False
        with self._blobs.study(found[0].study_key) as earlier:
            for image in sorted(earlier.iterdir()) if earlier.is_dir() else [earlier]:
                if _name_of(image) not in replaced:
                    incoming.adopt(image)
        return True


def _name_of(image: Path) -> str | None:
    """Return an image's name in a room; None for what is no DICOM, which came by another door."""
    try:
        return image_name(read_header(image))
    except NotDicom:
        return None


def _tell(submitted: Submitted, origin: Origin, *, is_late: bool) -> None:
    job_id = submitted.job.id
    if not submitted.is_new:
        _log.info("a study by route %s came again; job %s stands", origin.route, job_id)
    elif is_late:
        _log.warning("late images by route %s: job %s is the study's next version", origin.route, job_id)
    else:
        _log.info("a study by route %s is complete: job %s", origin.route, job_id)
