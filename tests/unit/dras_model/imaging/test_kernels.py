import pytest

from dras_model.imaging.kernels import Sharpness, sharpness

CASES = [
    ("GE MEDICAL SYSTEMS", "STANDARD", "smooth"),
    ("GE MEDICAL SYSTEMS", "LUNG", "sharp"),
    ("GE MEDICAL SYSTEMS", "BONEPLUS", "sharp"),
    ("Philips", "B", "smooth"),
    ("Philips", "L", "sharp"),
    ("Philips", "YC", "sharp"),
    ("Philips", "YA", "smooth"),
    ("SIEMENS", "B31f", "smooth"),
    ("SIEMENS", "B10f", "smooth"),
    ("SIEMENS", "B70f", "sharp"),
    ("SIEMENS", "I30f\\3", "smooth"),
    ("Siemens Healthineers", "Br40d", "smooth"),
    ("Siemens Healthineers", "Bl57d", "sharp"),
    ("SIEMENS", "Qr36d", "smooth"),
    ("TOSHIBA", "FC08", "smooth"),
    ("Canon Medical Systems", "FC51", "sharp"),
    ("Neusoft", "F20", "unknown"),
    ("GE MEDICAL SYSTEMS", "", "unknown"),
    ("GE MEDICAL SYSTEMS", None, "unknown"),
    (None, "LUNG", "unknown"),
]


@pytest.mark.parametrize(("manufacturer", "kernel", "expected"), CASES)
def test_a_kernel_is_classed_by_its_vendors_scale(
    manufacturer: str | None, kernel: str | None, expected: str
) -> None:
    assert sharpness(manufacturer, kernel) is Sharpness(expected)
