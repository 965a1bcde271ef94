"""Uploads, workers, deaths, lost messages and restarts in any order: what was accepted is done once, or said.

Hypothesis chooses the order; a model of a few dictionaries says what must be true after every step. Time is
the model's, files and rows are real. Killing real processes is left to the tests beside this one.
"""

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings, strategies
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from dras_model.results.study import Stage
from dras_service.api.jobs import JobState
from dras_service.queue.hints import BrokerUnreachable
from dras_service.queue.publisher import Publisher
from dras_service.queue.sweeper import Sweeper
from dras_service.settings import Settings
from dras_service.store.blobs import BlobStore
from dras_service.store.engine import open_engine
from dras_service.store.errors import Cancelled, LeaseLost
from dras_service.store.keeping import keep
from dras_service.store.rows import Order
from dras_service.store.store import Store
from unit.dras_service.examples import Clock, study_result

TENANTS = ("default", "other")
LEASE_S = 60.0
NOT_STANDING = {JobState.FAILED, JobState.CANCELLED, JobState.QUARANTINED, JobState.EXPIRED}
_template: list[Path] = []


def template() -> Path:
    """A migrated database, made once."""
    if not _template:
        path = Path(tempfile.mkdtemp(prefix="dras-machine-")) / "jobs.sqlite3"
        store = Store(open_engine(f"sqlite:///{path}"))
        store.migrate()
        store.tenants.create("other")
        store.close()
        _template.append(path)
    return _template[0]


class Service(RuleBasedStateMachine):
    jobs = Bundle("jobs")
    claims = Bundle("claims")

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="dras-machine-"))
        shutil.copy(template(), self.folder / "jobs.sqlite3")
        self.settings = Settings(
            data=self.folder, queue={"remnant_age_s": 1e-6}, worker={"time_limit_s": 1e-6}
        )
        self.clock = Clock()
        self.blobs = BlobStore(self.settings.blob_folder)
        self.blobs.prepare()
        self.messages: list[str] = []
        self.broker_is_up = True
        self.accepted: dict[str, tuple[str, str]] = {}  # id: tenant, content
        self.ended: dict[str, JobState] = {}
        self.cancelled: set[str] = set()
        self.purged: set[str] = set()
        self.executions: dict[str, int] = {}
        self.store = None
        self.restart()

    # The service's processes

    @rule()
    def restart(self):
        """Whoever served is gone, and with it everything it only remembered."""
        if self.store is not None:
            self.store.close()
        self.store = Store(open_engine(self.settings.store_url), clock=self.clock)
        self.publisher = Publisher(self.store.outbox, self.send, clock=self.clock)
        self.sweeper = Sweeper(
            store=self.store, blobs=self.blobs, wake_publisher=lambda: None, settings=self.settings
        )

    def send(self, job_id, *_queue):
        if not self.broker_is_up:
            raise BrokerUnreachable("down")
        self.messages.append(job_id)

    # Clients

    @rule(
        target=jobs,
        content=strategies.sampled_from(["a", "b", "c"]),
        tenant=strategies.sampled_from(TENANTS),
        repeat=strategies.booleans(),
        keeps_for=strategies.sampled_from([None, 100.0]),
    )
    def submit(self, content, tenant, repeat, keeps_for):
        with self.blobs.receive() as incoming:
            incoming.write(content.encode())
            expires_at = None if keeps_for is None else self.clock.now + keeps_for
            submitted = keep(
                incoming,
                Order(repeat=repeat, expires_at=expires_at),
                tenant=tenant,
                submission=self.store.submission,
                blobs=self.blobs,
            )
        job = submitted.job
        assert submitted.is_new == (job.id not in self.accepted)
        if not submitted.is_new:
            assert self.accepted[job.id] == (tenant, content)
            assert self.ended.get(job.id) not in NOT_STANDING
            assert job.id not in self.purged | self.cancelled
        self.accepted[job.id] = (tenant, content)
        return job.id

    @rule(target=jobs, content=strategies.sampled_from(["a", "d"]), tenant=strategies.sampled_from(TENANTS))
    def die_between_blob_and_row(self, content, tenant):
        """The client is never answered; nothing may come of it but a file that is swept."""
        with self.blobs.receive() as incoming:
            incoming.write(content.encode())
            self.blobs.keep_study(incoming, tenant=tenant)
        return "nobody"

    @rule(job_id=jobs)
    def cancel(self, job_id):
        tenant = self.accepted.get(job_id, ("default", ""))[0]
        job = self.store.ending.cancel(job_id, tenant=tenant)
        assert (job is not None) == (job_id in self.accepted)
        if job is not None and job_id not in self.ended:
            self.cancelled.add(job_id)

    @rule(job_id=jobs)
    def purge(self, job_id):
        tenant = self.accepted.get(job_id, ("default", ""))[0]
        if self.store.ending.purge(job_id, tenant=tenant):
            assert job_id in self.ended
            self.purged.add(job_id)

    # Workers

    @precondition(lambda self: self.messages)
    @rule(target=claims)
    def take_a_message(self):
        self.messages.pop()
        claim = self.store.leases.claim(owner="worker", lease_s=LEASE_S)
        if claim is not None:
            assert (claim.tenant, claim.job_id) == (self.accepted[claim.job_id][0], claim.job_id)
            assert claim.job_id not in self.ended
            assert self.blobs.has_study(claim.study_key), "a job without its study"
            self.executions[claim.job_id] = self.executions.get(claim.job_id, 0) + 1
        return claim

    @rule(claim=claims, stage=strategies.sampled_from(list(Stage)))
    def report(self, claim, stage):
        self.on(claim, lambda: self.store.leases.advance(claim, stage, progress=0.5, lease_s=LEASE_S))

    @rule(claim=consumes(claims))
    def finish(self, claim):
        if claim is None:
            return
        with self.blobs.workspace(claim) as room:
            (room / "out").mkdir()
            (room / "out" / "result.json").write_text("{}")
            try:
                outputs = self.blobs.keep_outputs(room / "out", claim)
            except OSError:
                return  # another hand has this very attempt's files; there is none, but for a wrong test
        if not self.on(claim, lambda: self.store.leases.commit(claim, study_result(), outputs=outputs)):
            self.blobs.remove_outputs(outputs.key)

    @rule(claim=consumes(claims))
    def die_between_files_and_result(self, claim):
        if claim is not None:
            with self.blobs.workspace(claim) as room:
                (room / "out").mkdir()
                self.blobs.keep_outputs(room / "out", claim)

    @rule(claim=consumes(claims), how=strategies.sampled_from(["reject", "fail", "give_back", "drain"]))
    def end_otherwise(self, claim, how):
        leases = self.store.leases
        ways = {
            "reject": lambda: leases.reject(claim, code="NOT_DICOM", message=""),
            "fail": lambda: leases.fail(claim, code="INTERNAL", message=""),
            "give_back": lambda: leases.give_back(claim, delay_s=5.0),
            "drain": lambda: leases.give_back(claim, delay_s=0.0, counts=False),
        }
        if claim is not None and how == "give_back" and claim.attempt >= 3:
            how = "fail"  # as the doorman does
        if self.on(claim, ways[how]) and how == "drain":
            self.executions[claim.job_id] -= 1

    @rule(claim=consumes(claims))
    def die(self, claim):
        """A claim that nobody speaks of any more."""

    def on(self, claim, act) -> bool:
        """Do what a worker does with a claim, which may be a zombie's; return whether it came to pass."""
        if claim is None:
            return False
        before = self.store.jobs.find(claim.job_id, tenant=claim.tenant)
        try:
            act()
        except LeaseLost:
            after = self.store.jobs.find(claim.job_id, tenant=claim.tenant)
            assert after == before, "a zombie changed its former job"
            return False
        except Cancelled:
            assert claim.job_id in self.cancelled
            self.store.leases.end_cancelled(claim)
            return False
        assert claim.job_id not in self.ended
        return True

    # Time, the broker and the sweeper

    @rule(duration_s=strategies.sampled_from([1.0, 10.0, 61.0, 200.0]))
    def pass_time(self, duration_s):
        self.clock.now += duration_s

    @rule()
    def publish(self):
        self.publisher.run_once()

    @rule()
    def lose_all_messages(self):
        self.messages.clear()

    @rule(is_up=strategies.booleans())
    def switch_broker(self, is_up):
        self.broker_is_up = is_up

    @rule()
    def sweep(self):
        self.sweeper._n_sweeps = 0
        swept = self.sweeper.run_once()
        assert not set(swept.requeued) & set(self.ended)
        self.check_files()

    # What is always true

    @invariant()
    def states_are_monotone_and_nothing_vanishes(self):
        found = {
            job_id: self.store.jobs.find(job_id, tenant=tenant)
            for job_id, (tenant, _) in self.accepted.items()
        }
        for job_id, job in found.items():
            assert job is not None, f"{job_id} has vanished"
            assert job.attempts <= 3
            if job_id in self.ended:
                assert job.state is self.ended[job_id], "a terminal state changed"
            elif job.state.is_terminal:
                self.ended[job_id] = job.state
            if job.purged_at is not None:
                self.purged.add(job_id)
        assert {job.id for job in self.listed()} == set(self.accepted) - self.purged
        self._check_results(found)

    def listed(self):
        return [job for tenant in TENANTS for job in self.store.jobs.page(tenant=tenant, limit=10_000).jobs]

    def _check_results(self, found):
        for job_id, job in found.items():
            other = TENANTS[1 - TENANTS.index(job.tenant)]
            assert self.store.jobs.find(job_id, tenant=other) is None
            assert self.store.jobs.document(job_id, tenant=other) is None
            has_result = self.store.jobs.document(job_id, tenant=job.tenant) is not None
            assert has_result == (job.state.has_result and job_id not in self.purged)
            if has_result:
                outputs = self.store.jobs.outputs(job_id, tenant=job.tenant)
                assert self.blobs.output_path(outputs, outputs.artifacts[0]).exists()

    def check_files(self):
        """After a sweep every file has a row, and every row its file."""
        listed = self.listed()
        running = {job.id for job in listed if job.state.is_running}
        outputs = {
            found.key
            for job in listed
            if (found := self.store.jobs.outputs(job.id, tenant=job.tenant)) is not None
        }
        assert set(self.blobs.study_keys(older_than_s=-3600.0)) == {job.study_key for job in listed}
        kept = {key for key in self.blobs.output_keys() if key.rpartition("-")[0] not in running}
        assert kept == outputs

    def teardown(self):
        """Left alone, with a broker and a worker that live, everything that was accepted comes to an end."""
        self.broker_is_up = True
        for _ in range(40):
            self.clock.now += LEASE_S + 1
            self.sweep()
            self.publish()
            while self.messages:
                self.finish(self.take_a_message())
        self.states_are_monotone_and_nothing_vanishes()
        assert set(self.ended) == set(self.accepted)
        self.store.close()
        shutil.rmtree(self.folder)


Service.TestCase.settings = settings(
    max_examples=20,
    stateful_step_count=30,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
TestService = Service.TestCase
