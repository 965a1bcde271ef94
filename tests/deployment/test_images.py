import json
import re

import pytest

from deployment.composing import ROOT

FILES = {path.stem: path.read_text() for path in (ROOT / "deploy/docker").glob("*.Dockerfile")}


def test_there_is_an_image_for_every_part():
    assert set(FILES) == {"gateway", "worker-cpu", "worker-gpu", "training"}


@pytest.mark.parametrize("name", FILES)
def test_an_image_is_pinned_runs_as_nobody_and_says_whether_it_is_well(name):
    file = FILES[name]
    stages = re.findall(r"^FROM (\S+)", file, re.MULTILINE)
    assert stages == ["${BASE}", "${BASE}"]
    assert re.search(r"^ARG BASE=debian:bookworm-\d{8}-slim$", file, re.MULTILINE)
    instructions = re.findall(r"^([A-Z]+) (.+)$", file.split("FROM ${BASE}\n")[-1], re.MULTILINE)
    assert [value for word, value in instructions if word == "USER"] == ["10001"]
    assert [word for word, _ in instructions].count("HEALTHCHECK") == 1
    assert ("HEALTHCHECK", "NONE") not in instructions or name == "training"
    assert "pip" not in " ".join(value for _, value in instructions)


@pytest.mark.parametrize("name", FILES)
def test_what_an_image_installs_is_its_lock_with_hashes_and_holds_no_secret(name):
    file = FILES[name]
    assert set(re.findall(r"-r deploy/requirements/(\S+)\.txt", file)) == {"build", name}
    assert file.count("--require-hashes") == 2
    assert not re.search(r"(?i)(password|secret|token|api_key)\s*=", file)
    assert "://" not in file.replace("http://127.0.0.1:", "")


@pytest.mark.parametrize("name", ["worker-cpu", "worker-gpu"])
def test_a_worker_is_built_by_taking_a_phantom_through_what_slimming_has_left(name):
    file = FILES[name]
    slimmed, rehearsed = (
        file.index(f"sh deploy/docker/{step}.sh /opt/dras") for step in ("slim", "rehearse")
    )
    assert file.index("--no-compile") < slimmed < rehearsed < file.rindex("FROM ${BASE}")


def test_sizes_in_the_documents_are_those_that_were_measured():
    measured = json.loads((ROOT / "docs/images.json").read_text())
    page = (ROOT / "docs/deployment.md").read_text()
    for name, size_mb in measured["mb_beyond_base"].items():
        assert f"| `{name}` |" in page
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        assert f"{size_mb:,} MB" in row
