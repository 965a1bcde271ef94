"""`dras audit`, `dras fsck`, `dras doctor` and the key of `dras submit`."""

import json
import sqlite3

import pytest

from dras_cli.main import main
from dras_service.doctor.faults import Fault, FaultCode
from dras_service.store.engine import open_engine
from dras_service.store.store import Store


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    store = Store(open_engine(f"sqlite:///{folder / 'jobs.sqlite3'}"))
    store.migrate()
    for number in range(3):
        store.audit.append(
            "study.submit", f"job {number}", tenant="a" if number else "b", actor="key:1", outcome="success"
        )
    store.close()
    return folder


@pytest.fixture
def run(data, capsys):
    def call(*arguments: str) -> tuple[int, str, str]:
        status = main([*arguments, "--data", str(data)])
        said = capsys.readouterr()
        return status, said.out, said.err

    return call


def execute(data, statement):
    connection = sqlite3.connect(data / "jobs.sqlite3")
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_a_whole_audit_log_says_so_and_gives_its_head(run):
    status, out, _ = run("audit", "verify", "--json")
    assert status == 0
    assert json.loads(out)["entries"] == 3
    assert run("audit", "verify", "--head", json.loads(out)["head"])[0] == 0


def test_an_audit_log_that_was_changed_is_told_with_the_entrys_number(run, data):
    execute(data, "UPDATE audit SET actor = 'key:2' WHERE seq = 2")
    status, _, err = run("audit", "verify")
    assert (status, "AUDIT_BROKEN" in err, "Entry 2" in err) == (4, True, True)


def test_a_log_that_was_written_anew_is_shown_by_a_head_that_was_noted(run, data):
    head = json.loads(run("audit", "verify", "--json")[1])["head"]
    for table in ("audit", "audit_head"):
        execute(data, f"DELETE FROM {table}")
    assert run("audit", "verify")[0] == 0, "an empty log is whole in itself"
    assert run("audit", "verify", "--head", head)[0] == 4


@pytest.mark.parametrize("head", ["x", ":", "-1:abc"])
def test_a_head_that_is_none_is_a_wrong_call(run, head):
    assert run("audit", "verify", "--head", head)[0] == 2


def test_an_export_is_json_lines_and_an_entry_itself(run):
    lines = [json.loads(line) for line in run("audit", "export")[1].splitlines()]
    assert [line["action"] for line in lines] == ["study.submit"] * 3 + ["audit.export"]
    assert lines[1]["previous_hash"] == lines[0]["hash"]


def test_an_export_of_one_tenant_holds_nothing_of_another(run, tmp_path):
    out = tmp_path / "a.jsonl"
    assert run("audit", "export", "--tenant", "a", "--after", "1", "-o", str(out))[0] == 0
    assert {json.loads(line)["tenant"] for line in out.read_text().splitlines()} == {"a"}
    assert run("audit", "export", "-o", str(out))[0] == 4, "an export is never overwritten"


def test_fsck_says_by_its_status_whether_something_is_left_to_mend(run, data):
    assert run("fsck") == (0, "Files and database agree.\n", "")
    execute(
        data,
        "INSERT INTO study (key, tenant, sha256, size_bytes, n_files, created_at)"
        " VALUES ('default/00', 'default', '00', 1, 1, 0)",
    )
    status, out, _ = run("fsck", "--json")
    assert (status, json.loads(out)["findings"][0]["damage"]) == (4, "STUDY_MISSING")
    assert run("fsck", "--repair")[0] == 0
    assert run("fsck", "--deep")[0] == 0


@pytest.mark.parametrize(
    ("fault", "status"),
    [(Fault.of(FaultCode.BROKER_UNREACHABLE), 4), (Fault.of(FaultCode.CLOCK_NOT_SYNCHRONISED), 0)],
)
def test_the_doctor_ends_with_a_status_that_advice_does_not_change(run, monkeypatch, fault, status):
    monkeypatch.setattr("dras_cli.commands.doctor.examine", lambda *_args, **_options: iter([fault]))
    found = run("doctor", "--json")
    assert found[0] == status
    assert json.loads(found[1])["faults"][0]["code"] == fault.code
    assert json.loads(found[1])["healthy"] is (status == 0)
    shown = run("doctor")[1]
    assert fault.sentence in shown
    assert fault.cure in shown


@pytest.mark.parametrize("content", [b"", b"two words", b"\xff", b"a\nb"])
def test_a_file_that_holds_no_key_is_refused_without_being_repeated(tmp_path, capsys, content):
    path = tmp_path / "key"
    path.write_bytes(content)
    assert main(["submit", "x", "--key-file", str(path)]) == 2
    assert "two words" not in capsys.readouterr().err


def test_a_key_file_is_sent_and_the_variable_is_used_without_one(tmp_path, monkeypatch):
    (tmp_path / "key").write_text("dras_file\n")
    monkeypatch.setenv("DRAS_API_KEY", "dras_variable")
    sent = []

    def client(_url, *, key, **_options):
        sent.append(key)
        raise KeyboardInterrupt

    monkeypatch.setattr("dras_cli.service_options.Client", client)
    main(["submit", "x", "--key-file", str(tmp_path / "key")])
    main(["submit", "x"])
    assert sent == ["dras_file", None]  # without a file the SDK looks at the variable
