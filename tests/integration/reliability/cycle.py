"""Everything the service writes, once through, by the parts it is made of: a process to be killed anywhere.

What a client would have been told is written down the moment it would have been told. Run again over the same
folder it does what is left, and no more; then the folder can be held to the promises.
"""

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from queue import Empty

from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused, StudyRefused
from dras_model.results.study import Stage
from dras_service import failpoints
from dras_service.api.queues import JobQueue
from dras_service.gathering.completeness import Completer, Handling
from dras_service.gathering.room import Origin, Room
from dras_service.header import read_header
from dras_service.queue.app import create_celery, queue_name
from dras_service.queue.hints import Hints
from dras_service.queue.publisher import HOLD_S, Publisher
from dras_service.queue.sweeper import Sweeper
from dras_service.settings import EncodeSettings, Settings
from dras_service.store.blobs import BlobStore
from dras_service.store.engine import open_engine
from dras_service.store.keeping import keep
from dras_service.store.rows import Order, RequestKey
from dras_service.store.store import Store
from dras_service.worker.tasks import Doorman, Split
from unit.dras_service.examples import bundle_view, dicom_image, study_result
from unit.dras_service.stages import FakeStages

REQUESTS = ("plain", "refused", "setup", "flaky", "cancelled", "cancelled too", "withdrawn", "expiring")
# These go through the queues of the stages.
STAGED = ("staged", "staged refused", "staged cancelled", "staged bereft")
_DAY_S = 86_400.0


class Site:
    """One folder's parts, with a clock that can be put forward."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ahead = folder / "ahead"
        # Everything is swept at once, whatever its age.
        self.settings = Settings(
            data=folder,
            queue={"remnant_age_s": 1e-6},
            worker={"time_limit_s": 1e-6},
            store={"keep_events_days": 1},
        )
        self.store = Store(open_engine(self.settings.store_url), clock=self.now)
        self.staged = Store(self.store._database.engine, clock=self.now, first_queue=JobQueue.PREPARE)
        self.blobs = BlobStore(self.settings.blob_folder)
        self.celery = create_celery(self.settings)
        self.sweeper = Sweeper(
            store=self.store, blobs=self.blobs, wake_publisher=lambda: None, settings=self.settings
        )
        self.doorman = self._doorman(*JobQueue)
        self.preparing = self._doorman(JobQueue.PREPARE)

    def _doorman(self, *queues: JobQueue) -> Doorman:
        return Doorman(
            leases=self.store.leases,
            blobs=self.blobs,
            engine=self.compute,
            settings=self.settings.worker,
            split=Split(
                FakeStages(self._before_stage), EncodeSettings(wait_ms=0), queues, lambda *_hint: None
            ),
        )

    def now(self) -> float:
        return time.time() + (float(self._ahead.read_text()) if self._ahead.exists() else 0.0)

    def pass_time(self, duration_s: float) -> None:
        """Put the clock forward, for those who come after a death as well."""
        ahead_s = self.now() - time.time() + duration_s
        written = self.folder / "ahead.new"
        written.write_text(str(ahead_s))
        written.replace(self._ahead)

    def tell_client(self, request: str, job_id: str) -> None:
        with (self.folder / "accepted.log").open("a") as log:
            log.write(json.dumps([request, job_id]) + "\n")

    def told(self) -> dict[str, str]:
        """Return what the client has been told; being told twice must have been the same."""
        path = self.folder / "accepted.log"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        told = dict(lines)
        assert all(told[request] == job_id for request, job_id in lines), lines
        return told

    def compute(self, source: Path, out: Path, *, report, **_choices):
        """Stands in for the pipeline: what the study holds says how it ends."""
        report(Stage.READ, 0.0)
        request = source.read_text()
        if request == "refused":
            raise StudyRefused(Code.NOT_DICOM, n_files=1)
        if request == "setup":
            raise SetupRefused(Code.BUNDLE_NOT_FOUND, name="x")
        if request == "flaky" and self._flakes():
            raise OSError(5, "Input/output error")
        if request.startswith("cancelled"):
            jobs = self.store.jobs.page(tenant="default", limit=99).jobs
            (job_id,) = (job.id for job in jobs if self.blobs.study_path(job.study_key) == source)
            self.store.ending.cancel(job_id, tenant="default")
            report(Stage.LUNGS, 0.0)
        out.mkdir()
        (out / "result.json").write_text(json.dumps({"request": request}))
        report(Stage.OUTPUTS, 1.0)
        return study_result()

    def _before_stage(self, queue: JobQueue, studies: Sequence[str]) -> None:
        """What the studies hold says how they go on."""
        contents = [self.blobs.study_path(f"default/{study}").read_text() for study in studies]
        if queue is JobQueue.PREPARE and "staged refused" in contents:
            raise StudyRefused(Code.NOT_DICOM, n_files=1)
        if queue is JobQueue.ENCODE and "staged cancelled" in contents:
            self.store.ending.cancel(self.told()["staged cancelled"], tenant="default")

    def _flakes(self) -> bool:
        """Whether this is one of the first two times."""
        with (self.folder / "flaked").open("a+") as times:
            times.write(".")
            return times.tell() <= 2

    def submit(self, request: str) -> str:
        """Upload, unless the client knows that it has; one that was not answered asks again by the same key."""
        if job_id := self.told().get(request):
            return job_id
        with self.blobs.receive() as incoming:
            incoming.write(request.encode())
            order = Order(expires_at=self.now() if request == "expiring" else None)
            job = keep(
                incoming,
                order,
                tenant="default",
                submission=(self.staged if request in STAGED else self.store).submission,
                blobs=self.blobs,
                request=RequestKey(request, "0" * 64),
            ).job
        self.tell_client(request, job.id)
        return job.id

    def work_off(self, n_rounds: int) -> None:
        """Send what is due through the real broker, work off every message, let time pass, and sweep."""
        publisher = Publisher(self.store.outbox, Hints(self.celery).send)
        for _ in range(n_rounds):
            publisher.run_once()
            for _message in self.messages():
                self.doorman.admit("a hint is a turn")
            self.pass_time(40.0)
            self.sweep()

    def messages(self) -> Iterator[object]:
        """Take the messages there are."""
        with self.celery.connection_for_read() as connection:
            for queue in JobQueue:
                while True:
                    try:
                        yield connection.default_channel._get(queue_name(self.settings.queue.name, queue))
                    except Empty:
                        break

    def sweep(self) -> None:
        self.sweeper._n_sweeps = 0  # with what is done rarely
        self.sweeper.run_once()


def run(folder: str, failpoint: str | None) -> None:
    """Go once through everything."""
    failpoints.arm(failpoint)
    site = Site(Path(folder))
    store = site.store
    _set_up(site)
    ids = {request: site.submit(request) for request in REQUESTS}
    _gather(site)
    store.workitems.add("1.2", ids["withdrawn"], {}, tenant="default")
    store.ending.cancel(ids["withdrawn"], tenant="default")
    site.sweep()
    site.work_off(3)
    _go_by_stages(site)
    _lose_a_worker(site)
    _lose_a_message(site)
    for outcome in (partial(store.outbox.put_off, delay_s=0.0), store.outbox.sent):
        outcome(*store.outbox.take("webhook", hold_s=HOLD_S))
    store.ending.purge(ids["plain"], tenant="default")
    site.pass_time(2 * _DAY_S)
    site.work_off(4)
    store.numbers.gone("worker")
    store.close()


def _gather(site: Site) -> None:
    """An image that comes by DICOM, and is told as kept once it is a job."""
    if "gathered" in site.told():
        return
    room = Room(site.settings.gathering_folder, "door")
    handling = Handling(quiet_s=0.0, broken_quiet_s=0.0, most_wait_s=0.0)
    completer = Completer(room, lambda _origin: handling, store=site.store, blobs=site.blobs, clock=site.now)
    arrived = room.arriving / "image.dcm"
    arrived.write_bytes(dicom_image("1.2", "1.2.3"))
    room.keep(arrived, read_header(arrived), Origin(study_uid="1.2", route="r", tenant="default"))
    completer.run_once()
    (job,) = site.store.jobs.of_study("1.2", tenant="default")
    site.tell_client("gathered", job.id)
    room.close()


def _go_by_stages(site: Site) -> None:
    ids = {request: site.submit(request) for request in STAGED}
    for request in STAGED:
        site.preparing.admit(ids[request], JobQueue.PREPARE)
    for draft in site.store.inventory.drafts():
        if draft.job_id == ids["staged bereft"]:
            site.blobs.remove_draft(draft.key)
            site.store.inventory.prepare_again(draft)
    site.work_off(4)


def _lose_a_worker(site: Site) -> None:
    site.submit("late")
    site.store.leases.claim(owner="gone", lease_s=1.0)
    site.pass_time(30.0)
    site.sweep()
    site.work_off(1)


def _lose_a_message(site: Site) -> None:
    site.submit("overdue")
    Publisher(site.store.outbox, Hints(site.celery).send).run_once()
    assert list(site.messages()) is not None
    site.pass_time(3600.0)
    site.sweep()
    site.work_off(1)


def _set_up(site: Site) -> None:
    store = site.store
    store.migrate()
    old = site.settings.blob_folder / "studies" / "ff" / ("f" * 64)
    old.parent.mkdir(parents=True, exist_ok=True)
    old.touch()
    site.blobs.prepare()
    store.bundles.offer((bundle_view(is_default=True),))
    store.numbers.seen("worker", started_at=1.0, gauges={})
    store.tenants.create("default")
    if store.keys.find("k1") is None:
        store.keys.add("k1", "0" * 64, tenant="default", label="", scopes=("read",))
    if not store.webhooks.all(tenant="default"):
        store.webhooks.add("https://example.org/", tenant="default", secret="s")
    store.audit.append("service.start", "gateway", tenant="default", actor="test", outcome="success")


def check(folder: Path) -> None:
    """Hold a folder that was gone through to the end to the promises. Raises AssertionError."""
    site = Site(folder)
    told = site.told()
    with site.store._database.read() as connection:
        rows = connection.exec_driver_sql("SELECT id, state, purged_at, attempts FROM job").all()
        results = Counter(connection.exec_driver_sql("SELECT job_id FROM result").scalars())
        events = connection.exec_driver_sql("SELECT job_id, state FROM event ORDER BY id").all()
        studies = set(connection.exec_driver_sql("SELECT key FROM study WHERE purged_at IS NULL").scalars())
        outputs = set(connection.exec_driver_sql("SELECT outputs_key FROM result").scalars())
    jobs = {row[0]: row for row in rows}
    assert set(told) == {*REQUESTS, *STAGED, "late", "overdue", "gathered"}
    assert list(site.settings.gathering_folder.rglob("*.dcm")) == []
    assert set(told.values()) == set(jobs), "a job nobody was told of, or one that was lost"
    _check_ends({request: jobs[job_id] for request, job_id in told.items()}, results)
    ended = set()
    for job_id, state in events:
        assert job_id not in ended, "an event after the last one"
        if state in ("succeeded_with_warnings", "rejected", "failed", "cancelled", "quarantined", "expired"):
            ended.add(job_id)
    assert set(site.blobs.study_keys(older_than_s=-3600.0)) == studies
    assert set(site.blobs.output_keys()) == outputs
    assert list(site.blobs.draft_keys()) == []
    assert list((site.settings.blob_folder / "incoming").iterdir()) == []
    assert site.store.audit.first_broken() is None
    site.store.close()


def _check_ends(jobs: dict, results: Counter) -> None:
    expected = {
        "plain": {"succeeded_with_warnings"},
        "refused": {"rejected"},
        "setup": {"failed"},
        "flaky": {"succeeded_with_warnings"},
        "cancelled": {"cancelled"},
        "cancelled too": {"cancelled"},
        "withdrawn": {"cancelled"},
        "expiring": {"expired"},
        "late": {"succeeded_with_warnings"},
        "gathered": {"succeeded_with_warnings"},
        "overdue": {"succeeded_with_warnings"},
        "staged": {"succeeded_with_warnings"},
        "staged refused": {"rejected"},
        "staged cancelled": {"cancelled"},
        "staged bereft": {"succeeded_with_warnings"},
    }
    for request, (job_id, state, purged_at, attempts) in jobs.items():
        assert state in expected[request], f"{request} is {state}"
        assert attempts <= 3
        has_result = state == "succeeded_with_warnings" and purged_at is None
        assert results[job_id] == has_result, f"{request}: {results[job_id]} results"
