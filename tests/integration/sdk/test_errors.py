"""Every error of the SDK, raised by what it is for: a real gateway, and trouble on the way to it."""

import sys

import pytest

from dras_client import Client, DrasClientError, errors
from dras_service.settings import GatewaySettings
from integration.gateway.standing import Standing
from integration.sdk.proxy import Page, Proxy, Silence
from integration.serving import wait_until
from servers import free_port
from unit.dras_service.examples import bundle_view, outputs_of, study_result, submit

NOBODY = "0f0f6a1e-6a0d-4c0b-8a55-0a7f4f0f2a11"


class Scene:
    """Gateways, and clients that bear no trouble."""

    def __init__(self, folder):
        self.folder = folder
        self.ended = []
        self.clients = []
        self.gateway = self.standing()

    def standing(self, *, locked=False, **limits):
        gateway = Standing(
            self.folder / f"data-{len(self.ended)}",
            GatewaySettings(**({"rate_per_minute": 10**6, "rate_burst": 10**6} | limits)),
            locked=locked,
        )
        self.ended.append(gateway)
        return gateway

    def client(self, url=None, **options):
        made = Client(url or self.gateway.url, **({"retry_for_s": 0} | options))
        self.clients.append(made)
        return made

    def behind(self, fault):
        between = Proxy(self.gateway.port, fault)
        self.ended.append(between)
        return self.client(between.url, timeout_s=0.3)

    def job(self, end=None):
        """A job whose claim `end` has ended, or one that waits."""
        store = self.gateway.store
        waiting = submit(store, priority=0 if end is None else 10)  # the next to be claimed
        if end is not None:
            end(store.leases, store.leases.claim(owner="me", lease_s=60.0))
        return self.client().job(waiting.id)

    def with_result(self):
        job = self.job(lambda leases, claim: leases.commit(claim, study_result(), outputs=outputs_of(claim)))
        outputs = self.gateway.store.jobs.outputs(job.id, tenant="default")
        place = self.gateway.blobs.output_path(outputs, outputs.artifacts[0])
        place.parent.mkdir(parents=True)
        place.write_bytes(b"{}")  # of another hash than the index has
        return job

    def end(self):
        for client in self.clients:
            client.close()
        for each in self.ended:
            each.end()


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    scene = Scene(tmp_path_factory.mktemp("scene"))
    yield scene
    scene.end()


def refused_twice(scene):
    client = scene.client(scene.standing(rate_per_minute=1, rate_burst=1).url)
    client.submit(b"1")
    client.submit(b"2")


def slow_upload(scene):
    """A second block that comes after the service has lost its patience."""
    gateway = scene.standing(idle_timeout_s=0.2)
    incoming = gateway.settings.blob_folder / "incoming"

    def on_progress(sent, total):
        if sent < total:
            wait_until(lambda: any(incoming.iterdir()), within_s=60, what="the upload has begun")
            wait_until(lambda: not any(incoming.iterdir()), within_s=60, what="the upload is given up")

    scene.client(gateway.url).submit(bytes(300_000), on_progress=on_progress)


def table_without_pandas(scene):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "pandas", None)
        scene.with_result().regions()


def no_bundle(scene):
    scene.gateway.store.bundles.offer((bundle_view(is_default=True),))
    scene.client().submit(b"x", bundle="other")


def refuse(leases, claim):
    leases.reject(claim, code="NOT_DICOM", message="No.")


def fail(leases, claim):
    leases.fail(claim, code="INTERNAL", message="No.")


def cancelled(scene):
    job = scene.job()
    job.cancel()
    return job


def stored_too_much(scene):
    full = scene.standing()
    full.store.tenants.set_quotas("default", {"max_stored_bytes": 1})
    scene.client(full.url).submit(b"more than that")


CASES = {
    errors.SourceUnreadable: lambda scene: scene.client().submit(scene.folder / "nothing"),
    errors.InvalidAddress: lambda _: Client("ftp://dras"),
    errors.ServiceUnreachable: lambda scene: scene.client(f"http://127.0.0.1:{free_port()}").health(),
    errors.TimedOut: lambda scene: scene.behind(Silence()).health(),
    errors.ProxyFailed: lambda scene: scene.behind(Page(504)).health(),
    errors.UnexpectedAnswer: lambda scene: scene.behind(Page(200)).health(),
    errors.WaitTimedOut: lambda scene: scene.job().wait(timeout_s=0.0),
    errors.DownloadCorrupt: lambda scene: scene.with_result().read("result.json"),
    errors.ExtraMissing: table_without_pandas,
    errors.AccessRefused: lambda scene: scene.client(scene.standing(locked=True).url).bundles(),
    errors.ServiceBusy: refused_twice,
    errors.UploadInterrupted: slow_upload,
    errors.UploadRefused: lambda scene: scene.client().submit(b"PK\x03\x04" + bytes(100)),
    errors.NoRoom: stored_too_much,
    errors.UnknownBundle: no_bundle,
    errors.JobNotFound: lambda scene: scene.client().job(NOBODY),
    errors.ArtifactNotFound: lambda scene: scene.with_result().read("nothing"),
    errors.ResultNotReady: lambda scene: scene.job().result(),
    errors.StudyRejected: lambda scene: scene.job(refuse).result(),
    errors.JobCancelled: lambda scene: cancelled(scene).result(),
    errors.JobFailed: lambda scene: scene.job(fail).result(),
    errors.NoEmbedding: lambda scene: scene.with_result().similar(),
    errors.ProblemError: lambda scene: scene.job().remove(),
}


@pytest.mark.parametrize("kind", CASES, ids=lambda kind: kind.__name__)
def test_an_error_is_raised_where_it_is_meant_to_be(scene, kind):
    with pytest.raises(DrasClientError) as caught:
        CASES[kind](scene)
    assert type(caught.value) is kind
    assert str(caught.value).endswith(".")


def test_every_error_of_the_tree_is_among_them():
    kinds = {
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, DrasClientError)
    }
    assert kinds - {DrasClientError} == set(CASES)
