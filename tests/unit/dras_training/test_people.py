"""Invented people: the same for all, of any number, and so varied that none of their traits tells another."""

import csv
from dataclasses import asdict

import numpy as np
import pytest

from dras_model.imaging.phantom.spec import EmphysemaKind
from dras_training.people import BASE_HAZARD, ROOM, invent, scanned_again, write_truth
from dras_training.recipe import Phantoms

COHORT = Phantoms(count=600, seed=10)


@pytest.fixture(scope="module")
def people():
    return list(invent(COHORT))


def test_a_person_is_the_same_in_any_cohort(people):
    assert list(invent(Phantoms(count=2, seed=11))) == people[1:3]
    assert len({person.spec.seed for person in people}) == len(people)


def test_every_subtype_place_and_scanner_occurs_and_a_quarter_are_healthy(people):
    kinds = [person.spec.emphysema.kind for person in people]
    assert set(kinds) == set(EmphysemaKind)
    assert np.mean([kind is EmphysemaKind.NONE for kind in kinds]) == pytest.approx(0.25, abs=0.06)
    assert {person.spec.emphysema.place for person in people} == set(ROOM)
    assert len({(person.spec.kernel, person.spec.thickness_mm) for person in people}) == 8


def test_no_place_is_asked_for_more_than_it_holds(people):
    for person in people:
        disease = person.spec.emphysema
        assert disease.fraction <= ROOM[disease.place]


def test_traits_do_not_tell_one_another(people):
    traits = np.array(
        [
            [
                p.spec.emphysema.fraction,
                p.spec.inflation,
                p.spec.build.size,
                p.spec.noise_hu,
                p.spec.thickness_mm,
                p.spec.kernel == "sharp",
            ]
            for p in people
        ],
        dtype=np.float64,
    )
    found = np.corrcoef(traits.T)
    assert np.abs(found - np.eye(len(found))).max() < 0.15  # 3.7 standard errors of 600 people


def test_the_sickest_die_first_and_some_are_seen_to_the_end(people):
    panlobular = [p for p in people if p.spec.emphysema.kind is EmphysemaKind.PANLOBULAR]
    severe = [p for p in panlobular if p.spec.emphysema.fraction > 0.1]
    healthy = [p for p in people if p.spec.emphysema.kind is EmphysemaKind.NONE]

    def rate(group):  # events over years at risk: the hazard's maximum likelihood
        return sum(p.died for p in group) / sum(p.years for p in group)

    assert rate(healthy) == pytest.approx(BASE_HAZARD, rel=0.4)
    assert rate(severe) > 3 * rate(healthy)
    assert 0.1 < np.mean([p.died for p in people]) < 0.9


def test_the_table_of_the_truth_is_that_of_the_people(people, tmp_path):
    assert write_truth(COHORT, tmp_path / "truth.csv") == len(people)
    with (tmp_path / "truth.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[3] == {name: str(value) for name, value in people[3].row.items()}


def test_a_further_scan_is_of_the_same_person_by_another_scanner_in_another_breath(people):
    scanner = {"inflation", "noise_hu", "kernel", "thickness_mm", "repeat"}
    pairs = [(person.spec, scanned_again(person, 1)) for person in people]
    for first, second in pairs:
        once, again = asdict(first), asdict(second)
        assert {name for name in once if once[name] != again[name]} <= scanner
        assert (once["inflation"], once["noise_hu"]) != (again["inflation"], again["noise_hu"])
    assert scanned_again(people[0], 0) == people[0].spec
    breaths = np.array([(first.inflation, second.inflation) for first, second in pairs])
    assert abs(np.corrcoef(breaths.T)[0, 1]) < 0.15
