import json

import pytest

from dras_cli.main import main


def test_a_service_that_is_not_there_is_status_five(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("dras_cli.commands.submit.GREETING_S", 0.1)
    (tmp_path / "study.zip").write_bytes(b"PK")
    assert main(["submit", str(tmp_path / "study.zip"), "--url", "http://127.0.0.1:9", "--json"]) == 5
    assert json.loads(capsys.readouterr().err)["error"]["code"] == "SERVICE_UNREACHABLE"


@pytest.mark.parametrize("url", ["nonsense", "ftp://host"])
def test_an_address_that_is_none_is_a_wrong_call(tmp_path, url):
    assert main(["submit", str(tmp_path), "--url", url]) == 2


def test_a_path_that_is_not_there_is_said_before_anybody_is_asked(tmp_path, capsys):
    assert main(["submit", str(tmp_path / "nothing"), "--url", "http://127.0.0.1:9"]) == 3
    assert "NOT_FOUND" in capsys.readouterr().err


def test_the_address_may_come_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("DRAS_URL", "nonsense")
    assert main(["submit", str(tmp_path)]) == 2


def test_an_output_folder_that_holds_something_is_refused_before_anything_is_sent(tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("x")
    (tmp_path / "study.zip").write_bytes(b"PK")
    arguments = ["submit", str(tmp_path / "study.zip"), "--url", "http://127.0.0.1:9"]
    assert main([*arguments, "-o", str(tmp_path / "out")]) == 4
    assert "OUTPUT_NOT_WRITABLE" in capsys.readouterr().err
    assert main([*arguments, "-o", "/proc/x"]) == 4
