"""A disk that is full, under a service that runs: a small file system of its own, filled and emptied."""

import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.reliability.site import Site, wait
from small_disk import Filler, mounted

SIZE_MB = 24


@pytest.fixture(scope="module")
def disk(tmp_path_factory) -> Iterator[Path]:
    with mounted(tmp_path_factory.mktemp("disk"), size_mb=SIZE_MB) as folder:
        yield folder


@pytest.fixture(scope="module")
def site(disk: Path, tmp_path_factory) -> Iterator[Site]:
    """Data on the small disk; logs and the list of executions beside it."""
    site = Site(tmp_path_factory.mktemp("site"), data=disk / "data")
    site.gateway()
    site.worker()
    yield site
    site.close()


@pytest.fixture
def filler(disk: Path) -> Iterator[Filler]:
    filler = Filler(disk)
    yield filler
    filler.remove()


def named(word: str = "quick", size: int = 0) -> str:
    return f"{word}\n{uuid.uuid4()}\n" + "x" * size


def kept(site: Site) -> tuple:
    return site.states(), site.files("studies"), site.files("incoming")


@pytest.mark.parametrize("size", [0, 1 << 20], ids=["some bytes", "a megabyte"])
def test_an_upload_is_refused_and_nothing_of_it_stays_and_room_is_enough_to_go_on(site, filler, size):
    before = kept(site)
    filler.fill()
    content = named(size=size)
    refused = site.post(content)
    assert refused.status_code == 507, refused.text
    assert refused.json()["code"] == "STORAGE_FULL"
    assert kept(site) == before
    filler.remove()
    job = site.submit(content)
    assert site.wait_for(job)[0]["state"] == "succeeded_with_warnings"
    site.check({job: content})


def test_an_upload_that_fills_the_disk_by_itself_leaves_nothing(site):
    before = kept(site)
    refused = site.post(named(size=2 * SIZE_MB << 20))
    assert refused.status_code == 507, refused.text
    assert kept(site) == before


def test_a_job_that_finds_no_room_for_its_result_is_finished_when_there_is_some(site, filler):
    content = named("sleep:1.5")
    job = site.submit(content)
    site.wait_until_running(job)
    filler.fill()
    wait(lambda: site.n_executions(content) >= 1, 20, "the job has begun")
    end = time.monotonic() + 5.0
    while time.monotonic() < end:
        filler.fill()
        time.sleep(0.05)
    assert job not in site.ended()
    filler.remove()
    (ended,) = site.wait_for(job, within_s=60)
    assert ended["state"] == "succeeded_with_warnings"
    site.check({job: content})
