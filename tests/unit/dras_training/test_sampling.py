import itertools
from collections import Counter

import numpy as np
import pytest

from dras_training.sampling import Schedule, nearest_locations

LOCATIONS, SUBJECTS, BATCH = 5, 8, 3


def schedule(*, valid=None, seed=0, locations=range(LOCATIONS), **scans):
    return Schedule(
        valid=np.ones((SUBJECTS, LOCATIONS), dtype=np.bool_) if valid is None else valid,
        neighbours=np.array([[1, 2], [0, 2], [1, 3], [2, 4], [3, 2]]),
        locations=np.array(list(locations)),
        batch=BATCH,
        seed=seed,
        **scans,
    )


def epoch(made, n=0):
    return list(made.keys(n * made.steps_per_epoch, (n + 1) * made.steps_per_epoch))


def test_an_epoch_visits_every_location_with_whole_batches_of_different_subjects():
    keys = epoch(schedule())
    assert Counter(key.location for key in keys) == dict.fromkeys(range(LOCATIONS), SUBJECTS // BATCH)
    for location in range(LOCATIONS):
        drawn = [s for key in keys if key.location == location for s in key.subjects]
        assert len(drawn) == len(set(drawn)) == SUBJECTS // BATCH * BATCH


def test_no_subject_is_left_out_for_good():
    keys = itertools.chain.from_iterable(epoch(schedule(), n) for n in range(12))
    assert {(key.location, s) for key in keys for s in key.subjects} == {
        (location, s) for location in range(LOCATIONS) for s in range(SUBJECTS)
    }


def test_locations_are_mixed_over_time():
    many = Schedule(
        valid=np.ones((40, 50), dtype=np.bool_),
        neighbours=np.ones((50, 2), dtype=np.int64),
        locations=np.arange(50),
        batch=4,
        seed=0,
    )
    order = [key.location for key in epoch(many)]
    assert len(set(order[:50])) > 20  # one after the other, the first 50 batches know 5 locations
    assert order != [key.location for key in epoch(many, 1)]


def test_a_batch_depends_on_seed_and_step_alone():
    made, other = schedule(seed=3), schedule(seed=3)
    assert made.key(17) == next(other.keys(17, 18))
    assert [made.key(step) for step in (30, 2, 17)] == [other.key(step) for step in (30, 2, 17)]
    assert epoch(made) != epoch(schedule(seed=4))


def test_a_subject_is_not_asked_for_a_patch_that_it_lacks_nor_for_a_neighbour():
    valid = np.ones((SUBJECTS, LOCATIONS), dtype=np.bool_)
    valid[5, 4] = False  # location 4, and location 3, whose neighbour it is
    for n in range(8):
        for key in epoch(schedule(valid=valid), n):
            assert not (5 in key.subjects and key.location in {3, 4})


def test_a_location_without_a_batch_of_subjects_is_left_out():
    valid = np.ones((SUBJECTS, LOCATIONS), dtype=np.bool_)
    valid[2:, 0] = False  # two subjects are left at 0, and at 1, whose neighbour it is
    made = schedule(valid=valid)
    assert made.left_out == [0, 1]
    assert {key.location for key in epoch(made)} == {2, 3, 4}


# Subjects 0 to 7 are scans of five people, who are numbered by their first ones.
WHOSE = np.array([0, 1, 2, 3, 4, 0, 1, 0])


def test_nobody_is_twice_in_a_batch_however_many_scans_there_are_of_them():
    for key in epoch(schedule(people=WHOSE, other_scan=0.5), 1):
        assert len(set(key.people)) == BATCH
        assert WHOSE[list(key.subjects)].tolist() == WHOSE[list(key.keys)].tolist() == list(key.people)


def test_every_scan_of_a_person_is_drawn():
    keys = itertools.chain.from_iterable(epoch(schedule(people=WHOSE), n) for n in range(12))
    assert {s for key in keys for s in key.subjects} == set(range(SUBJECTS))


@pytest.mark.parametrize(("asked", "least", "most"), [(0.0, 0.0, 0.0), (0.5, 0.4, 0.6), (1.0, 1.0, 1.0)])
def test_a_key_is_of_another_scan_as_often_as_asked_and_of_the_same_where_there_is_no_other(
    asked, least, most
):
    keys = [key for n in range(60) for key in epoch(schedule(people=WHOSE, other_scan=asked), n)]
    rows = [row for key in keys for row in zip(key.people, key.subjects, key.keys, strict=True)]
    assert all(scan == other for who, scan, other in rows if who in {2, 3, 4})
    several = [scan != other for who, scan, other in rows if who in {0, 1}]
    assert len(several) > 300
    assert least <= np.mean(several) <= most


def test_a_key_is_of_a_scan_that_has_the_location():
    valid = np.ones((SUBJECTS, LOCATIONS), dtype=np.bool_)
    valid[6, :] = valid[[5, 7], 4] = (
        False  # the second scan of person 1 has nothing, two of person 0 lack location 4
    )
    for n in range(8):
        for key in epoch(schedule(valid=valid, people=WHOSE, other_scan=1.0), n):
            assert valid[list(key.keys), key.location].all()
            assert valid[np.ix_(key.subjects, (key.location, *key.neighbours))].all()


def test_scans_of_people_who_have_one_are_drawn_as_subjects_are():
    assert epoch(schedule()) == epoch(schedule(people=np.arange(SUBJECTS), other_scan=1.0))


def test_only_the_locations_asked_for_are_visited_and_their_neighbours_are_any():
    keys = epoch(schedule(locations=[0, 4]))
    assert {key.location for key in keys} == {0, 4}
    assert {key.neighbours for key in keys} == {(1, 2), (3, 2)}


@pytest.mark.parametrize("n", [1, 2, 4])
def test_neighbours_are_the_nearest_corners_of_the_atlas(atlas, n):
    found = nearest_locations(atlas, n)
    corners = atlas.corners.astype(float)
    for location in range(0, len(corners), 53):
        others = sorted(
            (float(np.linalg.norm(corners[i] - corners[location])), i)
            for i in range(len(corners))
            if i != location
        )
        assert found[location].tolist() == [i for _, i in others[:n]]
