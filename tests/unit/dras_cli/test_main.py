import importlib
import json
import subprocess
import sys

import click
import pytest

from dras_cli.lazy import Entry
from dras_cli.main import _COMMANDS, main
from dras_model import __version__


@pytest.fixture
def command(monkeypatch):
    """Put a command of the test's own into the table."""

    def put(function, name="probe"):
        probe = type(sys)("probe")
        probe.command = function
        monkeypatch.setitem(sys.modules, "dras_cli_probe", probe)
        monkeypatch.setitem(_COMMANDS, name, Entry("dras_cli_probe:command", "A probe."))

    return put


@pytest.mark.parametrize("name", list(_COMMANDS))
def test_every_command_of_the_table_is_there_and_listed_by_its_own_first_sentence_or_so(name):
    module, _, attribute = _COMMANDS[name].target.partition(":")
    found = getattr(importlib.import_module(module), attribute)
    assert isinstance(found, click.Command)
    assert found.name == name
    assert found.help


def test_help_names_every_command_but_the_hidden_and_loads_none(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all((f"  {name} " in shown) is not row.hidden for name, row in _COMMANDS.items())
    code = "import sys; from dras_cli.main import main; main(['--help']); print('|', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.rpartition("|")[2].split())
    assert not loaded & {"numpy", "rich", "pydantic", "httpx2", "celery", "fastapi", "SimpleITK"}


def test_version_is_one_line_or_one_document(capsys):
    assert main(["version"]) == 0
    assert __version__ in capsys.readouterr().out
    assert main(["version", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["dras"] == __version__


def test_an_unknown_command_is_a_wrong_call(capsys):
    assert main(["nothing"]) == 2
    assert "No such command" in capsys.readouterr().err


def test_a_wrong_option_is_answered_in_json_where_json_was_asked_for(capsys):
    assert main(["version", "--colour", "--json"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    # click stops at the unknown option before it sees --json, wherever that stands
    assert "--colour" in shown.err


def test_a_missing_argument_is_answered_in_json_where_json_was_asked_for(capsys):
    assert main(["inspect", "--json"]) == 2
    shown = capsys.readouterr()
    assert json.loads(shown.err)["error"]["code"] == "USAGE"
    assert shown.out == ""


def test_a_defect_is_one_sentence_and_a_traceback_only_when_asked_for(command, capsys):
    @click.command("probe")
    def probe():
        raise RuntimeError("boom")

    command(probe)
    assert main(["probe"]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("dras: DEFECT: RuntimeError")
    assert "Traceback" not in shown
    assert main(["--debug", "probe"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_ends_with_its_own_status(command, capsys):
    @click.command("probe")
    def probe():
        raise KeyboardInterrupt

    command(probe)
    assert main(["probe"]) == 130
    assert "Traceback" not in capsys.readouterr().err
