"""The command as a user runs it: another process, the real pipeline."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from integration.serving import FILES_OF_A_JOB, FILES_OF_A_RUN, children_of, wait_until


def start(*arguments, **options):
    command = [sys.executable, "-m", "dras_cli.main", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def dras(*arguments):
    process = start(*arguments)
    out, errors = process.communicate(timeout=180)
    assert "Traceback" not in errors
    return process.returncode, out, errors


def test_extract_writes_all_outputs_and_replaces_only_its_own(study, library, tmp_path):
    out, timings = tmp_path / "out", tmp_path / "timings.json"
    status, shown, _ = dras("extract", str(study), "-o", str(out), "--timings", str(timings), "--json")
    assert status == 0
    assert sorted(path.name for path in out.iterdir()) == FILES_OF_A_RUN
    assert json.loads(shown) == json.loads((out / "result.json").read_text())
    assert json.loads(timings.read_text())["total"] > 0
    (out / "notes.txt").write_text("mine")
    assert dras("extract", str(study), "-o", str(out))[0] == 4
    assert (out / "notes.txt").read_text() == "mine"


def test_a_refused_study_leaves_the_output_folder_as_it_was(study, library, tmp_path):
    few = tmp_path / "few"
    few.mkdir()
    for path in sorted(study.iterdir())[:3]:
        shutil.copy(path, few)
    status, shown, errors = dras("extract", str(few), "-o", str(tmp_path / "out"), "--json")
    assert (status, shown) == (3, "")
    assert json.loads(errors)["error"]["code"] == "TOO_FEW_SLICES"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["few"]


@pytest.mark.parametrize("path", ["nothing there", "empty"])
def test_a_study_that_is_not_there_is_refused(library, tmp_path, path):
    (tmp_path / "empty").mkdir()
    for command in (
        ["extract", str(tmp_path / path), "-o", str(tmp_path / "out")],
        ["inspect", str(tmp_path / path)],
    ):
        status, shown, errors = dras(*command)
        assert (status, shown) == (3, "")
        assert errors.startswith(("dras: NOT_FOUND: ", "dras: NOT_DICOM: "))
    assert not (tmp_path / "out").exists()


def test_inspect_says_what_extract_would_use(study):
    status, shown, _ = dras("inspect", str(study), "--json")
    found = json.loads(shown)
    assert status == 0
    assert [candidate["chosen"] for candidate in found["candidates"]] == [True]
    assert found["geometry"]["size_xyz"] == [128, 128, 60]
    assert "THICK_SLICE" in {warning["code"] for warning in found["warnings"]}


def test_ctrl_c_in_mid_extraction_leaves_nothing_half_written(study, library, tmp_path):
    process = start("extract", str(study), "-o", str(tmp_path / "out"))
    wait_until(lambda: any(tmp_path.iterdir()), within_s=60, what="the draft folder is made")
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.strip().startswith("dras: INTERRUPTED")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_demo_runs_the_main_job_and_ends_everything_it_started(study, library, tmp_path):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    process = start(
        "demo", str(study), "-o", str(tmp_path / "out"), env=os.environ | {"TMPDIR": str(temporary)}
    )
    wait_until(lambda: children_of(process.pid) != [], within_s=60, what="the demo has started the service")
    (service,) = children_of(process.pid)
    shown, errors = process.communicate(timeout=180)
    assert process.returncode == 0, errors
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == FILES_OF_A_JOB
    assert shown.index("PHANTOM_TRAINED_WEIGHTS") < shown.index("Regional scores")
    assert children_of(service) == []
    assert not [path for path in temporary.iterdir() if path.name.startswith("dras")]


def test_a_demo_that_cannot_end_well_fails_with_the_code(library, tmp_path):
    (tmp_path / "note.txt").write_text("no image")
    status, _, errors = dras("demo", str(tmp_path / "note.txt"), "-o", str(tmp_path / "out"))
    assert status == 3
    assert "dras: NOT_DICOM" in errors


def test_a_reader_that_goes_away_is_no_defect(study, library, tmp_path):
    command = f"'{sys.executable}' -m dras_cli.main inspect '{study}' | head -c 10"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=180, check=False)
    assert "DEFECT" not in done.stderr
