"""A batch that a real service computes, killed while its studies are on their way."""

import json
from pathlib import Path

import pandas as pd
import pydicom

from dras_client import Client
from integration.batch.conftest import WITHIN_S, batch, cases, start
from integration.serving import Serving, wait_until


def test_each_study_is_one_job_however_often_the_batch_is_killed(
    scans: Path, serving: Serving, tmp_path: Path
) -> None:
    job, out = tmp_path / "job.toml", tmp_path / "results"
    job.write_text(
        f'out = "results"\n[source]\nfolder = "{scans}"\nmanifest = "list.csv"\n'
        f'[service]\nurl = "{serving.url}"\nin_flight = 2\n'
    )
    uids = {path.name[:2]: uid for path, uid in _studies(scans / "mixed")}
    (tmp_path / "list.csv").write_text(
        "StudyInstanceUID;subject;age\n" + "".join(f"{uid};{name};6{name[1]}\n" for name, uid in uids.items())
    )
    with Client(serving.url) as client:
        before = {found.id for found in client.jobs()}
        process = start("run", str(job))
        wait_until(
            lambda: len({found.id for found in client.jobs()} - before) == len(uids),
            within_s=WITHIN_S,
            what="both studies are sent",
        )
        process.kill()
        process.communicate()
        status, shown, errors = batch("run", str(job), "--json")
        assert status == 0, errors
        assert json.loads(shown.splitlines()[-1])["done"] == len(uids)
        made = {found.id for found in client.jobs()} - before
    assert len(made) == len(uids)
    table = pd.read_parquet(out / "cohort.parquet").drop_duplicates("Study").set_index("subject")
    assert table["StudyInstanceUID"].to_dict() == uids
    assert table["age"].to_dict() == {"s0": 60, "s1": 61}
    assert {name.split("-")[0] for name, _, _ in cases(out)} == set(uids)
    assert all((out / "cases" / name / "features.npz").is_file() for name in table["Study"])


def _studies(folder: Path) -> list[tuple[Path, str]]:
    """The first file of each study of a folder, with its UID."""
    return [
        (path, str(pydicom.dcmread(path, specific_tags=["StudyInstanceUID"]).StudyInstanceUID))
        for path in sorted(folder.glob("*_000.dcm"))
    ]
