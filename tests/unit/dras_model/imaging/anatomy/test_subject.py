import numpy as np
import pytest

from dras_model.imaging.anatomy.shapes import Points
from dras_model.imaging.anatomy.subject import Build, make_subject
from dras_model.imaging.anatomy.thorax import MEAN_THORAX


def test_a_seed_is_always_the_same_person_and_another_seed_another() -> None:
    assert make_subject(5) == make_subject(5)
    assert make_subject(5) != make_subject(6)


@pytest.mark.parametrize("seed", range(5))
def test_world_undoes_canonical(seed: int) -> None:
    subject = make_subject(seed)
    there = np.random.default_rng(seed).uniform(-140, 140, (50, 3))
    back = np.stack(subject.canonical(Points(*subject.world(there).T)), axis=-1)
    assert back == pytest.approx(there, abs=1e-3)


def test_space_is_bent_but_never_folded() -> None:
    for seed in range(20):
        subject = make_subject(seed)
        axis = np.linspace(-150, 150, 61)
        x, y, z = subject.canonical(Points(axis[None, None, :], axis[None, :, None], axis[:, None, None]))
        assert np.all(np.diff(x, axis=2) > 0)
        assert np.all(np.diff(y, axis=1) > 0)
        assert np.all(np.diff(z, axis=0) > 0)


def test_breathing_out_lifts_the_diaphragm_and_flattens_the_cage() -> None:
    full, empty = make_subject(2), make_subject(2, inflation=0.5)
    assert empty.thorax.right_dome.summit.z > full.thorax.right_dome.summit.z + 30
    assert max(empty.thorax.left.half_depth_mm) < max(full.thorax.left.half_depth_mm)
    assert empty.scale == full.scale


def test_people_differ_from_the_mean_by_a_few_per_cent() -> None:
    widths = [max(make_subject(seed).thorax.right.half_width_mm) for seed in range(30)]
    mean = max(MEAN_THORAX.right.half_width_mm)
    assert np.std(widths) > 0.005 * mean
    assert np.abs(np.array(widths) - mean).max() < 0.12 * mean


def test_a_build_is_smaller_and_narrower_at_the_base_and_the_same_person_otherwise() -> None:
    average, slender = make_subject(4), make_subject(4, build=Build(size=0.9, narrowing=0.1))
    assert slender.thorax == average.thorax
    assert np.array(slender.scale) == pytest.approx(0.9 * np.array(average.scale))

    def half_width(subject, height: float) -> float:
        """Of what is 100 mm wide in the mean thorax, at that height of it."""
        ends = subject.world(np.array([[-50.0, 0.0, height], [50.0, 0.0, height]]))
        return float(ends[1, 0] - ends[0, 0]) / 2

    apex, base = (half_width(slender, h) / half_width(average, h) for h in (140.0, -140.0))
    assert apex == pytest.approx(0.9, abs=0.01)
    assert base == pytest.approx(0.9 * 0.9, abs=0.01)


def test_a_slender_build_can_be_gone_back_from() -> None:
    subject = make_subject(6, build=Build(size=0.85, narrowing=0.15))
    there = np.random.default_rng(6).uniform(-140, 140, (50, 3))
    back = np.stack(subject.canonical(Points(*subject.world(there).T)), axis=-1)
    assert back == pytest.approx(there, abs=1e-3)


@pytest.mark.parametrize("build", [{"size": 0.5}, {"narrowing": 0.3}])
def test_a_build_that_no_field_of_view_holds_is_refused(build: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="times the mean"):
        Build(**build)
