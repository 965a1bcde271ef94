"""What a release is made of: a wheel that is the same whoever builds it, a list of every licence, an audit.

    python deploy/supply_chain.py wheel dist      builds twice and fails where the two differ
    python deploy/supply_chain.py licences        prints docs/licences.md of what is locked and installed
    python deploy/supply_chain.py audit           asks PyPI's advisories about every package that is locked

Leaves out the bill of materials, which is cyclonedx-py's: `make supply-chain`.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LOCKS = ("gateway", "worker-cpu", "worker-gpu", "training")
EPOCH = "1767225600"  # 2026-01-01: the time of every file in a wheel that is built without SOURCE_DATE_EPOCH
# Licences that ask more of who passes a program on than to keep a notice.
_COPYLEFT = re.compile(r"\b(A?GPL|LGPL|MPL|EPL|EUPL|CDDL|Mozilla|GNU)", re.IGNORECASE)
_PROPRIETARY = re.compile(r"NVIDIA|Proprietary", re.IGNORECASE)
# Of packages that are not installed where this runs, read in their licence files.
_READ = {
    "async-timeout": "Apache-2.0",
    "nvidia-ml-py": "BSD-3-Clause",
    "onnxruntime-gpu": "MIT",
    "tzdata": "Apache-2.0",
}
_REMARKS = {
    "certifi": "certificates, unchanged",
    "nvidia-": "CUDA's end-user licence: may be passed on with an application",
    "ecos": "only in the image for training; whoever passes that on offers its sources",
    "scikit-survival": "only in the image for training, likewise",
    "psycopg": "used unchanged, as a library that can be exchanged",
}


def normalised(name: str) -> str:
    """Return a package's name as PEP 503 writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(name: str) -> dict[str, str]:
    """Return what a lock pins: version by normalised name."""
    text = (ROOT / "deploy/requirements" / f"{name}.txt").read_text("utf-8")
    return {normalised(found[1]): found[2] for found in re.finditer(r"^([\w.-]+)==(\S+)", text, re.MULTILINE)}


def licence_of(name: str) -> str | None:
    """Return a licence as the installed package states it; None where it is not installed."""
    try:
        told = distribution(name).metadata
    except PackageNotFoundError:
        return _READ.get(name)
    if expression := told.get("License-Expression"):
        return str(expression)
    classifiers = [
        line.rpartition(" :: ")[2]
        for line in told.get_all("Classifier") or ()
        if line.startswith("License :: ") and not line.endswith("OSI Approved")
    ]
    first_line = (told.get("License") or "").strip().partition("\n")[0]
    return " or ".join(classifiers) or first_line[:60] or "not stated"


def licences() -> str:
    """Return docs/licences.md."""
    images: dict[str, list[str]] = {}
    for lock in LOCKS:
        for name in locked(lock):
            images.setdefault(name, []).append(lock)
    rows, flagged = [], []
    for name, where in sorted(images.items()):
        licence = licence_of(name) or ("NVIDIA" if name.startswith("nvidia-") else "not installed here")
        rows.append(f"| {name} | {licence} | {', '.join(where)} |")
        if _COPYLEFT.search(licence) or _PROPRIETARY.search(licence):
            remark = next((text for start, text in _REMARKS.items() if name.startswith(start)), "")
            flagged.append(f"| {name} | {licence} | {', '.join(where)} | {remark} |")
    return _PAGE.format(flagged="\n".join(flagged), rows="\n".join(rows))


def build_wheel(folder: Path) -> Path:
    """Build the wheel twice, from two copies of the sources, and keep one. Raises SystemExit where they differ."""
    environment = {"SOURCE_DATE_EPOCH": EPOCH} | os.environ
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        found = {}
        for place in (first, second):
            command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", place]
            subprocess.run(command, check=True, cwd=ROOT, env=environment, capture_output=True)
            (wheel,) = Path(place).glob("*.whl")
            found[place] = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if found[first] != found[second]:
            raise SystemExit("Two builds of the wheel differ.")
        folder.mkdir(parents=True, exist_ok=True)
        (wheel,) = Path(first).glob("*.whl")
        kept = folder / wheel.name
        kept.write_bytes(wheel.read_bytes())
    sys.stdout.write(f"{found[first]}  {kept}\n")
    return kept


def audit() -> str:
    """Return what is known of the packages of every lock. Raises SystemExit where that is a fault, or too little.

    pip-audit passes over a package that the service does not know and ends with 0; such a lock was not audited.
    """
    packages: dict[str, dict[str, Any]] = {}
    for lock in (*LOCKS, "build"):
        path = ROOT / "deploy/requirements" / f"{lock}.txt"
        words = ["--disable-pip", "--require-hashes", "--format=json", "--progress-spinner=off"]
        command = [sys.executable, "-m", "pip_audit", *words, "--requirement", str(path)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        try:
            packages |= {told["name"]: told for told in json.loads(done.stdout)["dependencies"]}
        except ValueError as error:
            words_last = done.stderr.strip().rpartition("\n")[2][-200:]
            raise SystemExit(f"{_NOT_AUDITED} cannot be asked ({words_last}).") from error
    return judged(packages)


def judged(packages: dict[str, dict[str, Any]]) -> str:
    """Return the sentence of an audit that passed: pip-audit's account by name. Raises SystemExit otherwise."""
    advised = [
        f"{name} {told['version']}: {flaw['id']}, mended in {', '.join(flaw['fix_versions']) or 'no version'}"
        for name, told in sorted(packages.items())
        for flaw in told.get("vulns", ())
    ]
    if advised:
        raise SystemExit("\n".join(advised))
    if unknown := [name for name, told in packages.items() if "skip_reason" in told]:
        raise SystemExit(
            f"{_NOT_AUDITED} know nothing of {len(unknown)} of {len(packages)} packages, {min(unknown)} for one."
        )
    return f"{len(packages)} packages, and no advisory against any."


_NOT_AUDITED = "The locks were not audited: PyPI's advisories, as they are reached from here,"
_PAGE = """# Licences

Printed by `make supply-chain` from what the packages state that the images hold (`deploy/requirements`). dras
itself is MIT. PyTorch (BSD-3-Clause) comes beside the lock of the training image. Debian's packages in the images
keep their licences under `/usr/share/doc`; they are run as programs.

## That ask for more than a notice

None is compiled into dras; all are imported as they were published, and can be exchanged.

| package | licence | images | |
|---|---|---|---|
{flagged}

## All

| package | licence | images |
|---|---|---|
{rows}
"""


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["wheel", "licences", "audit"])
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "dist")
    options = parser.parse_args()
    if options.what == "wheel":
        build_wheel(options.folder)
    elif options.what == "audit":
        sys.stdout.write(f"{audit()}\n")
    else:
        sys.stdout.write(licences())


if __name__ == "__main__":
    main()
