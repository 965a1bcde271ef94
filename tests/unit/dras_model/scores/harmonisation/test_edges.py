import numpy as np
import pytest

from dras_model.imaging.phantom.reconstruction import KERNELS, Reconstruction, reconstruct
from dras_model.scores.harmonisation.edges import FREQUENCIES, STEP_MM, edge_response, response_of

SPACING = (1.0, 0.75, 0.75)
F = np.linspace(0.0, 1.0, 101)


def _step(
    n_slices: int = 4, size: int = 160, radius: float = 56.0, holes: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """A round lung in tissue, its border drawn with partial pixels; HU and mask (z, y, x)."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2.0
    inside = np.clip(radius - np.hypot(y, x) + 0.5, 0.0, 1.0)
    plane = 48.0 - 918.0 * inside
    if holes:
        angle = np.arctan2(y, x)
        plane[(np.abs(np.hypot(y, x) - radius + 7) < 5) & (np.cos(9 * angle) > 0.6)] = -985.0
    return np.repeat(plane[None], n_slices, 0), np.repeat((inside > 0.5)[None], n_slices, 0)


def _found(kernel: str, noise_hu: float = 10.0, *, floor: bool = True, holes: bool = False) -> np.ndarray:
    exact, lung = _step(holes=holes)
    scan = reconstruct(exact, 0.75, Reconstruction(kernel, noise_hu, floor=floor), seed=2)
    found = edge_response(scan, lung, SPACING)
    assert found is not None
    return found.response


def _expected(kernel: str) -> np.ndarray:
    """The kernel, less the blur of the pixels in which the border was drawn."""
    return response_of(KERNELS[kernel](F) * np.exp(-2.0 * np.pi**2 * 0.025 * F**2), F)


@pytest.mark.parametrize("kernel", ["soft", "standard", "lung", "bump", "two-peak", "cosine"])
def test_the_border_of_a_lung_shows_the_kernel_that_drew_it(kernel: str) -> None:
    low = np.array(FREQUENCIES) < 0.16
    np.testing.assert_allclose(_found(kernel)[low], _expected(kernel)[low], rtol=0.025)


def test_noise_does_not_change_what_the_border_shows() -> None:
    np.testing.assert_allclose(_found("lung", 25.0)[:5], _found("lung", 0.0)[:5], rtol=0.03)


@pytest.mark.parametrize("floor", [True, False])
def test_undershoot_that_the_floor_cut_is_given_back(floor: bool) -> None:
    np.testing.assert_allclose(_found("edge", 0.0, floor=floor)[:5], _expected("edge")[:5], rtol=0.08)


def test_holes_beside_the_pleura_are_left_out() -> None:
    np.testing.assert_allclose(_found("standard", holes=True)[:4], _found("standard")[:4], rtol=0.02)


def test_the_response_is_the_kernel_itself_but_for_the_steps_of_the_profile() -> None:
    kernel = np.exp(-2.0 * np.pi**2 * 0.3 * F**2)  # spreads a border over less than the profile is long
    steps = np.sinc(np.array(FREQUENCIES) * STEP_MM) ** 2
    expected = kernel[[round(100 * f) for f in FREQUENCIES]] * steps
    np.testing.assert_allclose(response_of(kernel, F), expected, atol=0.005)


def test_where_no_even_border_is_seen_there_is_no_response() -> None:
    exact, lung = _step()
    uneven = exact + 400.0 * (np.arange(160) % 8 < 4)[None, :, None]
    assert edge_response(uneven.astype(np.float32), lung, SPACING) is None
    assert edge_response(exact.astype(np.float32), np.zeros_like(lung), SPACING) is None
