"""What a release is made of: a wheel that is the same whoever builds it, and a list of every licence.

    python deploy/supply_chain.py wheel dist      builds twice and fails where the two differ
    python deploy/supply_chain.py licences        prints docs/licences.md of what is locked and installed

Leaves out the bill of materials and the audit, which are cyclonedx-py's and pip-audit's: `make supply-chain`.
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

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
    parser.add_argument("what", choices=["wheel", "licences"])
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / "dist")
    options = parser.parse_args()
    if options.what == "wheel":
        build_wheel(options.folder)
    else:
        sys.stdout.write(licences())


if __name__ == "__main__":
    main()
