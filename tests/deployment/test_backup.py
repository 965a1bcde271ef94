"""The scripts on a real service's rows and files: what comes back is whole, and nothing is written over."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from deployment.composing import ROOT
from dras_service.fsck import Checker
from dras_service.settings import Settings
from dras_service.store.keeping import keep
from dras_service.store.opening import open_blobs, open_store
from dras_service.store.rows import Order
from small_disk import mounted
from unit.dras_service.examples import study_result

SCRIPTS = ROOT / "deploy/backup"


def run(script: str, folder: Path, settings: Settings, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "DRAS_DATA": str(settings.data)}
    if settings.store.url:
        environment["DRAS_STORE__URL"] = settings.store.url
    command = [SCRIPTS / script, folder]
    return subprocess.run(command, env=environment | more, capture_output=True, text=True, check=False)


def fill(settings: Settings) -> list[str]:
    """Make a service with a job that is done and one that waits; return their ids."""
    store, blobs = open_store(settings), open_blobs(settings)
    blobs.prepare()
    store.tenants.create("default")
    (settings.data / "salt").write_bytes(b"s" * 32)
    ids = []
    for content in (b"first", b"second"):
        with blobs.receive() as incoming:
            incoming.write(content)
            incoming.end_file()
            kept = keep(incoming, Order(), tenant="default", submission=store.submission, blobs=blobs)
        ids.append(kept.job.id)
    claim = store.leases.claim(owner="me", lease_s=60.0)
    assert claim
    with blobs.workspace(claim) as room:
        (room / "out").mkdir()
        (room / "out" / "result.json").write_text("{}")
        outputs = blobs.keep_outputs(room / "out", claim)
    store.leases.commit(claim, study_result(), outputs=outputs)
    store.close()
    return ids


def look(settings: Settings) -> tuple[dict[str, str], list[object]]:
    """The states of all jobs, and what a deep check of files against rows finds."""
    store, blobs = open_store(settings), open_blobs(settings)
    blobs.prepare()
    jobs = store.jobs.page(tenant="default", limit=9).jobs
    checker = Checker(
        store, blobs, root=settings.blob_folder, deep=True, repair=False, settled_s=0.0, actor="uid:0"
    )
    findings = list(checker.run())
    store.close()
    return {job.id: job.state.value for job in jobs}, findings


@pytest.fixture(params=["sqlite", "postgresql"])
def places(request, tmp_path: Path) -> tuple[Settings, Settings]:
    """The settings of a service, and those of an empty one."""
    if request.param == "sqlite":
        return Settings(data=tmp_path / "old"), Settings(data=tmp_path / "new")
    for program in ("pg_dump", "pg_restore", "psql"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    server = request.getfixturevalue("postgresql")
    old, new = (
        Settings(data=tmp_path / name, store={"url": server.create(f"backup_{name}")})
        for name in ("old", "new")
    )
    return old, new


def test_a_service_comes_back_as_it_was_and_is_not_written_over(places, tmp_path):
    old, new = places
    finished, waiting = fill(old)
    done = run("backup.sh", tmp_path / "copy", old)
    assert done.returncode == 0, done.stderr
    done = run("restore.sh", tmp_path / "copy", new)
    assert done.returncode == 0, done.stderr
    states, findings = look(new)
    assert states == {finished: "succeeded_with_warnings", waiting: "queued"}
    assert findings == []
    assert (new.data / "salt").read_bytes() == b"s" * 32
    again = run("restore.sh", tmp_path / "copy", new)
    assert (again.returncode, "is not empty" in again.stderr) == (1, True)
    shutil.rmtree(new.blob_folder)
    again = run("restore.sh", tmp_path / "copy", new)
    assert again.returncode == 1
    assert "there already" in again.stderr or "has tables" in again.stderr
    assert look(old)[0] == states
    assert run("backup.sh", tmp_path / "copy", old).returncode == 1


def test_a_bucket_is_copied_to_another_and_back_and_its_objects_keep_what_is_said_of_them(
    object_store, tmp_path
):
    if not shutil.which("rclone"):
        pytest.skip("rclone is not installed")
    endpoint = {"DRAS_BLOBS__ENDPOINT": object_store.url}
    access = {name: os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION")}
    copies = object_store.bucket("dras").removeprefix("s3://")
    target = f":s3,env_auth,endpoint='{object_store.url}':{copies}"
    old, new = (
        Settings(data=tmp_path / name, blobs={"url": object_store.bucket("x"), "endpoint": object_store.url})
        for name in ("old", "new")
    )
    finished, waiting = fill(old)
    variables = endpoint | access | {"DRAS_BLOBS__URL": old.blobs.url, "DRAS_BACKUP_BUCKET": target}
    done = run("backup.sh", tmp_path / "copy", old, **variables)
    assert done.returncode == 0, done.stderr
    done = run("restore.sh", tmp_path / "copy", new, **variables | {"DRAS_BLOBS__URL": new.blobs.url})
    assert done.returncode == 0, done.stderr
    states, findings = look(new)
    assert states == {finished: "succeeded_with_warnings", waiting: "queued"}
    assert findings == []


def test_a_backup_that_has_changed_since_is_not_put_back(tmp_path):
    settings = Settings(data=tmp_path / "old")
    fill(settings)
    assert run("backup.sh", tmp_path / "copy", settings).returncode == 0
    (study,) = [
        path for path in (tmp_path / "copy").rglob("*") if path.is_file() and path.read_bytes() == b"first"
    ]
    study.write_bytes(b"first of another")
    new = Settings(data=tmp_path / "new")
    done = run("restore.sh", tmp_path / "copy", new)
    assert (done.returncode, "not as they were written" in done.stderr) == (1, True)
    assert not new.data.exists()


def test_a_disk_that_is_full_ends_a_backup_and_nothing_stays_that_looks_like_one(tmp_path):
    settings = Settings(data=tmp_path / "old")
    fill(settings)
    blobs = open_blobs(settings)
    with blobs.receive() as incoming:
        incoming.write(os.urandom(3 << 20))
        incoming.end_file()
        blobs.keep_study(incoming, tenant="default")
    (tmp_path / "disk").mkdir()
    with mounted(tmp_path / "disk", size_mb=2) as disk:
        done = run("backup.sh", disk / "copy", settings)
        assert (done.returncode, "No space left" in done.stderr) == (1, True)
        assert list(disk.iterdir()) == []


def test_the_scripts_are_sound_shell():
    shellcheck = shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("shellcheck is not installed")
    scripts = [*SCRIPTS.glob("*.sh"), ROOT / "deploy/docker/slim.sh"]
    done = subprocess.run(
        [shellcheck, "--external-sources", *scripts], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
