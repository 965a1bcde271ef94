"""The site: each page is in the navigation, pictures are those of the imports, nothing comes from elsewhere."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from documents.blocks import ROOT

SITE = ROOT / "deploy/site"


@pytest.fixture(scope="module")
def tools() -> dict[str, object]:
    """The modules of deploy/site, which is no package."""
    sys.path.insert(0, str(SITE))
    try:
        return {name: importlib.import_module(name) for name in ("decisions", "pictures", "hooks")}
    finally:
        sys.path.remove(str(SITE))


def in_navigation(entries) -> list[str]:
    found = []
    for entry in entries:
        for value in entry.values() if isinstance(entry, dict) else [entry]:
            found += in_navigation(value) if isinstance(value, list) else [value]
    return found


@pytest.fixture(scope="module")
def configuration() -> dict:
    return yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))


def test_every_page_is_in_the_navigation_once(configuration, tools):
    named = in_navigation(configuration["nav"])
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} | {"decisions/README.md"}
    assert sorted(named) == sorted(pages | set(tools["hooks"].ROOT_PAGES.values()))


def test_the_list_of_decisions_is_that_of_their_titles(tools):
    assert (ROOT / "docs/decisions/README.md").read_text("utf-8") == tools["decisions"].index(), (
        "run `make docs`"
    )


def test_no_two_decisions_have_one_number(tools):
    numbers = [path.name[:4] for path in tools["decisions"].DECISIONS.glob("[0-9]*.md")]
    assert len(set(numbers)) == len(numbers)


def test_the_pictures_of_the_architecture_are_those_of_the_imports(tools):
    images = ROOT / "docs/images"
    assert (images / "packages.svg").read_text("utf-8") == tools["pictures"].packages(), "run `make docs`"
    assert (images / "way-of-a-study.svg").read_text("utf-8") == tools["pictures"].way_of_a_study(), (
        "run `make docs`"
    )


def test_an_import_that_is_not_drawn_and_an_arrow_without_one_are_found(tools):
    with pytest.raises(ValueError, match="dras_model -> dras_client"):
        tools["pictures"]._hold(
            {("dras_cli", "dras_model")}, {("dras_cli", "dras_model"), ("dras_model", "dras_client")}
        )


def test_every_layer_and_every_module_that_the_architecture_names_is_there(tools):
    page = (ROOT / "docs/architecture.md").read_text("utf-8")
    for package in ("dras_model", "dras_service"):
        rooms = {room for layer in tools["pictures"].layers_of(package) for room in layer}
        part = page.split("## Rooms of the model" if package == "dras_model" else "## Rooms of the service")[
            1
        ]
        listed = {
            name
            for row in re.findall(r"^\| (`.+?`) \|", part.split("\n## ")[0], re.MULTILINE)
            for name in row[1:-1].split("`, `")
        }
        assert listed <= rooms, package
        assert rooms - listed <= {"choices", "clock"}, package
    for module in re.findall(r"`(dras_\w+(?:\.\w+)+)`", page):
        assert importlib.util.find_spec(module), module


def test_the_paper_is_named_for_who_cites():
    paper = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))["preferred-citation"]
    assert [author["family-names"] for author in paper["authors"]] == [
        "Yu", "Sun", "Chen", "Reynolds", "Chaudhary", "Batmanghelich",
    ]  # fmt: skip
    assert (paper["journal"], paper["year"], paper["start"]) == ("Medical Image Analysis", 2024, 103062)
    assert paper["identifiers"][0]["value"] == "arXiv:2302.10390"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    pytest.importorskip("material", reason="mkdocs-material is not installed")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_a_strict_build_finds_every_link_and_every_page_loads_nothing_from_elsewhere(site):
    loads = re.compile(r'<(?:script|link|img|iframe|source)[^>]+(?:src|href)="?(?:https?:)?//')
    pages = list(site.rglob("*.html"))
    assert len(pages) > 90
    assert [path.name for path in pages if loads.search(path.read_text("utf-8"))] == []
    home = (site / "index.html").read_text("utf-8")
    assert 'href="tutorial.html"' in home
    assert 'src="docs/' not in home


def test_classes_of_the_sdk_are_printed_from_their_docstrings(site):
    text = (site / "sdk-reference.html").read_text("utf-8")
    assert 'id="dras_client.Client.submit"' in text
    assert 'id="dras_client.errors.StudyRejected"' in text
