import numpy as np
import pytest

from dras_model.imaging.phantom import Emphysema, PhantomSpec


def test_the_default_scan_covers_a_thorax_in_three_hundred_slices() -> None:
    grid = PhantomSpec().grid
    assert grid.shape == (300, 512, 512)
    assert grid.spacing_mm == pytest.approx((1.0, 0.75, 0.75))
    assert grid.orientation == "LPS"


def test_fewer_slices_cover_the_same_length() -> None:
    many, few = (PhantomSpec(n_slices=n).grid for n in (300, 60))
    lengths = [g.shape[0] * g.spacing_mm[0] for g in (many, few)]
    assert lengths[0] == pytest.approx(lengths[1])


def test_given_spacings_are_kept() -> None:
    assert PhantomSpec(pixel_mm=0.9, slice_mm=2.5).grid.spacing_mm == pytest.approx((2.5, 0.9, 0.9))


@pytest.mark.parametrize(("thickness_mm", "n"), [(0.6, 1), (1.25, 1), (2.5, 2), (5.0, 4)])
def test_a_thick_slice_averages_thin_ones_about_its_middle(thickness_mm: float, n: int) -> None:
    offsets = PhantomSpec(thickness_mm=thickness_mm).sub_slices_mm
    assert len(offsets) == n
    assert np.mean(offsets) == pytest.approx(0.0)
    assert max(offsets) <= thickness_mm / 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_slices": 1},
        {"matrix": 8},
        {"inflation": 0.1},
        {"pixel_mm": 0.0},
        {"thickness_mm": -1.0},
        {"noise_hu": -1.0},
        {"seed": -1},
        {"kernel": "medium"},
    ],
)
def test_a_spec_that_makes_no_sense_is_an_error(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        PhantomSpec(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [("centrilobular", 0.0), ("none", 0.1), ("panlobular", 0.9), ("lobular", 0.1), ("none", 0.0, "x")],
)
def test_emphysema_needs_kind_fraction_and_place_that_exist(wrong: tuple[object, ...]) -> None:
    with pytest.raises(ValueError, match=r"."):
        Emphysema(*wrong)  # type: ignore[arg-type]
