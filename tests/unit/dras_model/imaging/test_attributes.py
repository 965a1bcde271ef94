"""Header values of any kind become plain values or none, and never an error."""

import numpy as np
import pytest
from pydicom.dataset import Dataset

from dras_model.imaging.attributes import first, number, numbers, text, values, whole


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("1.5", 1.5),
        (2, 2.0),
        ("1,0", None),
        ("nan", None),
        ("inf", None),
        (None, None),
        ("", None),
        ([1], None),
    ],
)
def test_a_number_is_finite_or_none(value: object, found: float | None) -> None:
    assert number(value) == found


@pytest.mark.parametrize(("value", "found"), [("12", 12), (3.9, 3), ("x", 0), ("1e300", 0), (None, 0)])
def test_a_whole_number_beyond_reason_is_none_at_all(value: object, found: int) -> None:
    assert whole(value) == found


def test_numbers_are_as_many_as_asked_for_or_none() -> None:
    np.testing.assert_array_equal(numbers(["1", "2"], 2), [1.0, 2.0])
    assert numbers(["1", "2"], 3) is None
    assert numbers(["1", "x"], 2) is None
    assert numbers("12", 2) is None


def test_text_loses_its_padding_and_values_their_case() -> None:
    assert text(" HU\0") == "HU"
    assert text(None) == ""
    assert values("axial ") == ("AXIAL",)


def test_the_first_level_that_has_an_attribute_decides_even_where_it_is_empty() -> None:
    frame, file = Dataset(), Dataset()
    frame.KVP, file.KVP = None, "120"
    assert first([frame, file], "KVP") is None
    assert first([file], "KVP") == 120
    assert first([file], "Rows") is None
