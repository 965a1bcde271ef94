"""Two bundles side by side in the real service, each job with its own."""

import pytest

from dras_client import Client, UnknownBundle
from dras_model.encoder.architecture import EncoderConfig
from dras_model.encoder.creation import create_bundle
from dras_model.encoder.manifest import Untrained
from dras_model.encoder.weights import initialise
from dras_model.library import open_atlas
from integration.serving import Serving


@pytest.fixture(scope="module")
def serving(library, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    for seed, name in enumerate(("one", "two")):
        weights = initialise(EncoderConfig(num_experts=1, rep_dim=16 << seed), seed=seed)
        training = Untrained(seed=seed)
        create_bundle(folder / name, weights, open_atlas(), name=name, training=training, licence="MIT")
    chosen = ["--bundle", str(folder / "one"), "--offer", str(folder / "two")]
    started = Serving(folder / "data", *chosen, DRAS_GATEWAY__RETRY_AFTER_S="0.1")
    assert started.url, started.stop() or started.errors
    yield started
    assert started.stop() == 0


def test_each_job_is_encoded_by_the_bundle_it_names_and_its_result_says_so(serving, study):
    with Client(serving.url) as client:
        offered = {view.name: view for view in client.bundles()}
        assert {name: view.is_default for name, view in offered.items()} == {"one": True, "two": False}
        jobs = {name: client.submit(study, bundle=name) for name in (None, "two", "one")}
        for name, job in jobs.items():
            weights = job.wait(180.0).result().provenance.weights
            expected = offered[name or "one"]
            assert (weights.name, weights.bundle_sha256) == (expected.name, expected.sha256)
            assert weights.signature == "unsigned"
        with pytest.raises(UnknownBundle, match="Offered are one, two"):
            client.submit(study, bundle="three")
