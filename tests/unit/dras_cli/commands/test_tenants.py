import json

import pytest

from dras_cli.main import main
from dras_service.store.engine import open_engine
from dras_service.store.store import Store


@pytest.fixture
def store(tmp_path):
    assert main(["keys", "create", "--tenant", "ward", "--data", str(tmp_path / "data")]) == 0
    opened = Store(open_engine(f"sqlite:///{tmp_path / 'data' / 'jobs.sqlite3'}"))
    yield opened
    opened.close()


@pytest.fixture
def run(tmp_path, capsys, store):
    def call(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(["tenants", *arguments, "--data", str(tmp_path / "data")])
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


def test_a_limit_that_is_named_is_set_lifted_and_recorded_and_the_others_stay(run, store):
    assert run("limit", "ward", "--stored-bytes", "1000", "--queued-jobs", "5")[0] == 0
    assert run("limit", "ward", "--stored-bytes", "none")[0] == 0
    tenant = store.tenants.find("ward")
    assert (tenant.max_stored_bytes, tenant.max_queued_jobs, tenant.uploads_per_minute) == (None, 5, None)
    entries = [entry for entry in store.audit.after(0) if entry.action == "tenant.limit"]
    assert [(entry.tenant, entry.object, entry.outcome) for entry in entries] == [
        ("ward", "tenant:ward", "success")
    ] * 2


def test_every_tenant_is_listed_with_what_it_takes_up_and_may(run):
    run("limit", "ward", "--uploads-per-minute", "0")
    listed = {tenant["name"]: tenant for tenant in json.loads(run("list", "--json")[1])["tenants"]}
    assert set(listed) == {"default", "ward"}
    assert (listed["ward"]["uploads_per_minute"], listed["ward"]["stored_bytes"]) == (0, 0)
    assert "ward  0 of any number bytes" in run("list")[1]


@pytest.mark.parametrize("value", ["-1", "many", "1.5", ""])
def test_a_limit_that_is_no_number_is_wrong_use(run, store, value):
    assert run("limit", "ward", "--queued-jobs", value)[0] == 2
    assert store.tenants.find("ward").max_queued_jobs is None


def test_a_call_without_a_limit_or_with_an_unknown_tenant_changes_nothing(run, store):
    assert run("limit", "ward")[0] == 2
    status, _, said = run("limit", "nobody", "--queued-jobs", "1")
    assert (status, "TENANT_NOT_FOUND" in said) == (4, True)
    assert store.tenants.find("nobody") is None
