import pytest

from dras_model.results.codes import Code
from dras_model.results.study import Acquisition
from dras_model.scores.comparability import acquisition_differences

ONE = Acquisition(
    manufacturer="SIEMENS", model="Force", kernel="B31f", kvp=120.0, slice_thickness_mm=1.0, contrast_agent=False,
    iterative=False, scanner_key="a",
)  # fmt: skip


def codes(other: Acquisition, thickness_mm: tuple[float, float] = (1.0, 1.0)) -> set[Code]:
    return {w.code for w in acquisition_differences(ONE, other, thickness_mm=thickness_mm)}


def test_two_scans_made_alike_differ_in_nothing() -> None:
    assert codes(ONE) == set()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"kernel": "B45f"}, Code.KERNEL_DIFFERS),
        ({"model": "Flash"}, Code.MIXED_SCANNER),
        ({"scanner_key": "b"}, Code.MIXED_SCANNER),
        ({"kvp": 100.0}, Code.KVP_DIFFERS),
        ({"contrast_agent": True}, Code.CONTRAST_DIFFERS),
        ({"iterative": True}, Code.RECONSTRUCTION_DIFFERS),
        ({"kernel": None}, Code.COMPARABILITY_UNKNOWN),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)
def test_what_differs_is_told_and_nothing_else(change: dict[str, object], code: Code) -> None:
    assert codes(ONE.model_copy(update=change)) == {code}


@pytest.mark.parametrize(("other_mm", "told"), [(1.0, False), (1.2, False), (5.0, True), (0.6, True)])
def test_slices_of_clearly_other_thickness_are_told(other_mm: float, told: bool) -> None:
    assert codes(ONE, (1.0, other_mm)) == ({Code.THICKNESS_DIFFERS} if told else set())


@pytest.mark.parametrize(("kernel", "severe"), [("B20f", False), ("B70f", True), ("mystery", True)])
def test_kernels_of_one_class_are_a_warning_and_of_two_a_severe_one(kernel: str, severe: bool) -> None:
    (warning,) = acquisition_differences(
        ONE, ONE.model_copy(update={"kernel": kernel}), thickness_mm=(1.0, 1.0)
    )
    assert (warning.code, warning.severity == "severe") == (Code.KERNEL_DIFFERS, severe)
