"""The conformance statement says what the code does: its tables are compared with the code's own."""

import ast
import re
from pathlib import Path

import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dras_model.imaging import pixels, stack, volume, working_grid
from dras_model.imaging.decoding import CODECS
from dras_model.imaging.dicom_file import CT_CLASSES
from dras_model.results.codes import CODES, Code, Kind

ROOT = Path(__file__).parents[4]
IMAGING = ROOT / "model" / "dras_model" / "imaging"
# What comes with a study from elsewhere (masks, atlases, a second breath), or makes studies by code.
ELSEWHERE = ("given_", "deformable", "segmenters", "atlas", "builtin_atlas", "phantom", "anatomy")
NATIVE = {
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
}


@pytest.fixture(scope="module")
def statement() -> str:
    return (ROOT / "docs" / "dicom-conformance.md").read_text("utf-8")


def _section(statement: str, title: str) -> str:
    return statement.split(f"## {title}\n")[1].split("\n## ", maxsplit=1)[0]


def _uids(text: str) -> set[str]:
    return set(re.findall(r"\| (1\.2\.840\.10008[0-9.]+) \|", text))


def test_the_sop_classes_are_those_that_are_read(statement: str) -> None:
    assert _uids(_section(statement, "SOP classes")) == set(CT_CLASSES)


def test_the_transfer_syntaxes_are_those_that_are_decoded_and_by_these_codecs(statement: str) -> None:
    section = _section(statement, "Transfer syntaxes")
    assert _uids(section) == set(CODECS) | NATIVE
    for uid, codec in CODECS.items():
        assert re.search(rf"\| {re.escape(uid)} \| {codec}[ ,|]", section)


def _raised() -> set[Code]:
    """Every code that the modules of reading and of looking at the image name."""
    names = set()
    for path in IMAGING.rglob("*.py"):
        if not path.relative_to(IMAGING).parts[0].startswith(ELSEWHERE):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "Code":
                    names.add(Code(node.attr))
    return names


@pytest.mark.parametrize(("kind", "after"), [(Kind.REFUSAL, "Refusals"), (Kind.WARNING, "Warnings")])
def test_every_code_that_reading_answers_with_is_listed_and_no_other(
    kind: Kind, after: str, statement: str
) -> None:
    section = _section(statement, "What is answered").split(f"{after},")[1].split("\n\n")[1]
    listed = {Code(code) for code in re.findall(r"^\| ([A-Z_0-9]+) \|", section, flags=re.MULTILINE)}
    assert listed == {code for code in _raised() if CODES[code].kind is kind}


def test_every_fault_of_the_installation_is_named(statement: str) -> None:
    section = _section(statement, "What is answered")
    assert all(code in section for code in _raised() if CODES[code].kind is Kind.SETUP)


@pytest.mark.parametrize(
    ("title", "said"),
    [
        ("Limits", f"{stack.LEAST_SLICES} slices over {stack.LEAST_EXTENT_MM:.0f} mm"),
        ("Limits", f"{volume.MOST_VOXELS // 10**6:,} million"),
        ("Limits", f"{stack.MOST_SIDE:,} along an axis"),
        ("Limits", f"{working_grid.MOST_WORKING // 10**6} million (1,500 slices"),
        ("Limits", f"at most {working_grid.COARSEST_MM:.0f} mm"),
        ("Limits", f"up to {working_grid.MOST_UNAVERAGED // 10**6} million"),
        ("Geometry", f"at most {stack.MOST_MISSING_PERCENT:.0f} %, no gap above {stack.MOST_GAP_MM:.0f} mm"),
        ("Geometry", f"{stack.TILT_TOLERANCE_DEGREES}° and more"),
        ("Geometry", f"more than {100 * stack.OFF_GRID:.0f} % of a step"),
        ("Hounsfield units", f"−{-pixels.AIR_PEAK[1][0]:.0f} to −{-pixels.AIR_PEAK[1][1]:.0f}"),
        ("Hounsfield units", f"{pixels.TISSUE_PEAK[1][0]:.0f} to {pixels.TISSUE_PEAK[1][1]:.0f}"),
    ],
)
def test_the_limits_are_those_of_the_code(title: str, said: str, statement: str) -> None:
    assert said in _section(statement, title)
