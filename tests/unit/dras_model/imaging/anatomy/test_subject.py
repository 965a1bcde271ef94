import numpy as np
import pytest

from dras_model.imaging.anatomy.shapes import Points
from dras_model.imaging.anatomy.subject import make_subject
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
