import json
import re

import pytest
import yaml
from compose_spec import ComposeSpecification, PyCompose

from deployment.composing import ROOT, Missing, composed, example, interpolated

SECRETS = {"POSTGRES_PASSWORD", "OBJECTS_USER", "OBJECTS_PASSWORD", "GRAFANA_PASSWORD", "ORTHANC_PASSWORD"}
OURS = {"gateway-a", "gateway-b", "worker-cpu", "worker-gpu", "pacs"}

SITES = ("./bundles", "./pacs")  # folders that a site makes


@pytest.fixture(scope="module")
def services() -> dict:
    return composed()["services"]


def test_the_file_follows_the_compose_specification():
    document = composed()
    plain = {name: part for name, part in document.items() if not name.startswith("x-")}
    PyCompose.from_yaml(yaml.safe_dump(plain, sort_keys=False)).validate()
    ComposeSpecification.model_validate(json.loads(json.dumps(plain)))


def test_a_word_that_the_specification_does_not_know_is_found():
    document = composed()
    document["services"]["redis"]["restarts"] = "always"
    with pytest.raises(Exception, match="restarts"):
        PyCompose.from_yaml(yaml.safe_dump({"services": document["services"]})).validate()


def test_the_example_holds_no_secret_and_the_stack_does_not_start_with_it():
    assert {name for name, value in example().items() if not value} == SECRETS | {"DRAS_SITE"}
    for secret in SECRETS:
        others = {name: value or "set" for name, value in example().items() if name != secret}
        with pytest.raises(Missing, match=f"set {secret} in .env"):
            interpolated(others)


def test_every_service_runs_without_rights_that_it_does_not_need(services):
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["read_only"] or name == "orthanc", name
        assert not service.get("privileged"), name
    assert {name for name, service in services.items() if "cap_add" in service} == {"proxy"}


def test_every_image_of_others_is_pinned_and_needs_no_registry_of_its_own(services):
    for name, service in services.items():
        image, _, tag = service["image"].rpartition(":")
        assert re.search(r"\d", tag) or name in OURS, name
        assert "." not in image.split("/")[0], name


def test_nothing_but_the_proxy_and_the_dicom_node_is_reached_from_other_machines(services):
    for name, service in services.items():
        if name not in ("proxy", "pacs"):
            assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name


def test_what_computes_and_what_stores_reaches_no_other_network(services):
    networks = composed()["networks"]
    for name in ("worker-cpu", "worker-gpu", "redis", "postgres", "objects", "bucket"):
        assert services[name]["networks"] == ["inside"], name
    assert networks["inside"]["internal"]


def test_what_starts_by_default_is_the_service_and_nothing_else(services):
    by_profile = {name: service.get("profiles") for name, service in services.items()}
    assert {name for name, profiles in by_profile.items() if profiles == ["gpu"]} == {"worker-gpu"}
    assert {name for name, profiles in by_profile.items() if profiles == ["demo"]} == {"orthanc"}
    assert {name for name, profiles in by_profile.items() if profiles == ["pacs"]} == {"pacs"}
    assert {name for name, profiles in by_profile.items() if profiles == ["observe"]} == {
        "prometheus",
        "grafana",
    }


def test_every_file_that_a_service_mounts_is_there(services):
    for name, service in services.items():
        for volume in service.get("volumes", ()):
            if volume.startswith("./") and not volume.startswith(SITES):
                assert (ROOT / volume.split(":")[0]).exists(), f"{name}: {volume}"


def test_redis_keeps_hints_through_a_restart_and_drops_none():
    lines = (ROOT / "deploy/redis/redis.conf").read_text().splitlines()
    options = dict(line.split(maxsplit=1) for line in lines if not line.startswith("#"))
    assert (options["appendonly"], options["maxmemory-policy"]) == ("yes", "noeviction")
