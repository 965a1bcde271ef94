import json
import stat

import pytest

from dras_cli.main import main
from dras_service.security.keys import is_same, read_key
from dras_service.store.engine import open_engine
from dras_service.store.store import Store


@pytest.fixture
def run(tmp_path, capsys):
    def call(*arguments: str) -> tuple[int, str, str]:
        status = main([*arguments, "--data", str(tmp_path / "data")])
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


@pytest.fixture
def store(tmp_path):
    opened = Store(open_engine(f"sqlite:///{tmp_path / 'data' / 'jobs.sqlite3'}"))
    yield opened
    opened.close()


def actions(store):
    return [(entry.action, entry.outcome, entry.tenant) for entry in store.audit.after(0)]


def test_a_key_is_shown_once_and_kept_as_a_hash(run, store, tmp_path):
    status, out, _ = run("keys", "create", "--tenant", "ward", "--scope", "read", "--days", "7")
    token = out.strip()
    presented = read_key(token)
    row = store.keys.find(presented.id)
    assert status == 0
    assert is_same(presented, row.secret_sha256)
    assert (row.tenant, row.scopes) == ("ward", ("read",))
    assert row.expires_at - row.created_at == pytest.approx(7 * 86_400, abs=5)
    assert token.split("_", 2)[2].encode() not in (tmp_path / "data" / "jobs.sqlite3").read_bytes()
    assert token not in run("keys", "list")[1]
    assert actions(store) == [("key.create", "success", "ward")]


def test_a_key_goes_to_a_file_that_only_its_owner_reads_and_is_not_printed(run, store, tmp_path):
    path = tmp_path / "key"
    status, out, err = run("keys", "create", "-o", str(path))
    assert (status, out) == (0, "")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().strip() not in err
    assert store.keys.find(read_key(path.read_text().strip()).id) is not None
    assert run("keys", "create", "-o", str(path))[0] == 4, "a key in a file is never overwritten"


def test_a_revoked_key_is_refused_a_second_time(run, store):
    key_id = json.loads(run("keys", "create", "--json")[1])["id"]
    assert run("keys", "revoke", key_id)[0] == 0
    assert store.keys.find(key_id).revoked_at is not None
    status, _, err = run("keys", "revoke", key_id)
    assert (status, "KEY_NOT_FOUND" in err) == (4, True)
    assert [entry[:2] for entry in actions(store)] == [
        ("key.create", "success"),
        ("key.revoke", "success"),
        ("key.revoke", "not_found"),
    ]


def test_a_list_says_what_has_become_of_each_key(run):
    first = json.loads(run("keys", "create", "--tenant", "a", "--json")[1])["id"]
    run("keys", "create", "--tenant", "b")
    run("keys", "revoke", first)
    shown = json.loads(run("keys", "list", "--json")[1])["keys"]
    assert [(key["tenant"], key["state"]) for key in shown] == [("a", "revoked"), ("b", "valid")]
    assert [
        key["tenant"] for key in json.loads(run("keys", "list", "--tenant", "b", "--json")[1])["keys"]
    ] == ["b"]
    assert all("secret_sha256" not in key for key in shown)


@pytest.mark.parametrize("tenant", ["", "Ward", "../x", "a/b", "a" * 41, "-a", "a b"])
def test_a_tenant_that_could_be_no_folder_is_refused(run, tenant):
    assert run("keys", "create", "--tenant", tenant)[0] == 2


def test_a_scope_that_there_is_not_is_refused(run):
    assert run("keys", "create", "--scope", "everything")[0] == 2
