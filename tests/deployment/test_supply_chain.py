import hashlib
import importlib.util
import re
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from deployment.composing import ROOT

_SPEC = importlib.util.spec_from_file_location("supply_chain", ROOT / "deploy/supply_chain.py")
assert _SPEC
assert _SPEC.loader
supply_chain = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(supply_chain)
# What is locked for each image: its extras, and what is left out.
EXTRAS = {
    "gateway": ({"cluster", "otel", "pacs", "reading"}, set()),
    "worker-cpu": ({"cluster", "otel", "pacs", "cpu"}, set()),
    "worker-gpu": ({"cluster", "otel", "pacs", "gpu"}, set()),
    "training": ({"training"}, {"torch"}),
}


def wanted(extras: set[str]) -> list[Requirement]:
    """What pyproject.toml asks for, extras of extras included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found, waiting, seen = [], [*project["dependencies"]], set()
    waiting += [f"dras[{','.join(extras)}]"]
    while waiting:
        requirement = Requirement(waiting.pop())
        if requirement.name != "dras":
            found.append(requirement)
            continue
        for extra in requirement.extras - seen:
            seen.add(extra)
            waiting += project["optional-dependencies"][extra]
    return found


@pytest.mark.parametrize("image", EXTRAS)
def test_a_lock_has_all_that_its_image_is_to_hold_at_or_above_its_floors(image):
    extras, left_out = EXTRAS[image]
    locked = supply_chain.locked(image)
    for requirement in wanted(extras):
        name = supply_chain.normalised(requirement.name)
        if name not in left_out:
            assert requirement.specifier.contains(Version(locked[name])), f"{name} {locked.get(name)}"
    assert not left_out & set(locked)


def test_every_pin_has_its_hashes_and_no_line_names_a_place():
    for path in (ROOT / "deploy/requirements").glob("*.txt"):
        text = path.read_text()
        assert "://" not in text, path.name
        assert not re.search(r"^\s*-(?!-hash=sha256:[0-9a-f]{64})", text, re.MULTILINE), path.name
        for block in re.split(r"^(?=\w)", text, flags=re.MULTILINE)[1:]:
            assert "--hash=sha256:" in block, block.partition(" ")[0]


def test_the_gateway_is_locked_without_anything_that_computes():
    heavy = {"scipy", "simpleitk", "onnxruntime", "onnx", "highdicom", "matplotlib", "torch"}
    assert not heavy & set(supply_chain.locked("gateway"))


def test_every_package_of_the_images_has_its_licence_listed():
    page = (ROOT / "docs/licences.md").read_text()
    for image in EXTRAS:
        for name in supply_chain.locked(image):
            row = re.search(rf"^\| {re.escape(name)} \| (.+?) \|", page, re.MULTILINE)
            assert row, f"{name}: run `make supply-chain`"
            assert row[1] not in ("not stated", "not installed here"), name


def test_an_audit_that_knew_nothing_of_a_package_is_none():
    known = {"name": "a", "version": "1", "vulns": []}
    assert supply_chain.judged({"a": known}).startswith("1 packages")
    with pytest.raises(SystemExit, match=r"not audited: .* 1 of 2 packages, b for one\.$"):
        supply_chain.judged({"a": known, "b": {"name": "b", "skip_reason": "Dependency not found on PyPI"}})


def test_an_advisory_fails_the_audit_with_the_version_that_mends_it():
    told = {"name": "a", "version": "1.0", "vulns": [{"id": "CVE-2026-1", "fix_versions": ["1.1"]}]}
    with pytest.raises(SystemExit, match=r"^a 1\.0: CVE-2026-1, mended in 1\.1$"):
        supply_chain.judged({"a": told})


def test_two_builds_of_the_wheel_are_one_and_it_holds_the_packages_alone(tmp_path: Path, capsys):
    wheel = supply_chain.build_wheel(tmp_path)
    said = capsys.readouterr().out
    assert said.split()[0] == hashlib.sha256(wheel.read_bytes()).hexdigest()
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        *("dras_model", "dras_service", "dras_client", "dras_cli", "dras_training")
    }
