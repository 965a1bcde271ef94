import math
import random
from array import array

import pytest

from dras_service.store.neighbours import Neighbours
from dras_service.store.rows import Embedding, Embeddings
from unit.dras_service.examples import outputs_of, study_result, submit


def unit(*numbers):
    length = math.hypot(*numbers)
    return array("f", [number / length for number in numbers]).tobytes()


def finished(store, content, *, tenant="default", space="s", clock=None, **vectors):
    """The job of a study of its own with embeddings by region."""
    if clock is not None:
        clock.now += 1
    job = submit(store, content, tenant=tenant)
    claim = store.leases.claim(owner="me", lease_s=60.0)
    assert claim.job_id == job.id
    regions = tuple(Embedding(region, 7, vector) for region, vector in vectors.items())
    store.leases.commit(
        claim, study_result(), outputs=outputs_of(claim), embeddings=Embeddings(space, regions)
    )
    return job.id


def ids(nearest):
    return [near.job_id for near in nearest.neighbours]


def test_the_nearest_come_first_with_their_cosine(store):
    vectors = {"b": (1, 0.1), "c": (-1, 0), "d": (0, 1), "e": (1, 1)}
    own = finished(store, "a", whole=unit(1, 0))
    others = {name: finished(store, name, whole=unit(*vector)) for name, vector in vectors.items()}
    found = store.neighbours.nearest(own, tenant="default", region="whole", limit=10)
    assert ids(found) == [others[name] for name in ("b", "e", "d", "c")]
    expected = [1 / math.hypot(1, 0.1), math.sqrt(0.5), 0, -1]
    assert [near.similarity for near in found.neighbours] == pytest.approx(expected, abs=1e-6)
    assert (found.space, found.n_patches, found.n_compared, found.is_complete) == ("s", 7, 4, True)


def test_it_agrees_with_a_sort_of_everything(store):
    chance = random.Random(1)
    drawn = {name: [chance.gauss() for _ in range(128)] for name in "abcdefghijklmnop"}
    jobs = {name: finished(store, name, whole=unit(*vector)) for name, vector in drawn.items()}

    def cosine(name):
        dot = sum(x * y for x, y in zip(drawn["a"], drawn[name], strict=True))
        return dot / math.hypot(*drawn["a"]) / math.hypot(*drawn[name])

    found = store.neighbours.nearest(jobs["a"], tenant="default", region="whole", limit=5)
    expected = sorted("bcdefghijklmnop", key=cosine, reverse=True)[:5]
    assert ids(found) == [jobs[name] for name in expected]


def test_another_tenant_is_neither_compared_nor_answered(store):
    store.tenants.create("other")
    own = finished(store, "a", whole=unit(1, 0))
    finished(store, "b", tenant="other", whole=unit(1, 0))
    assert ids(store.neighbours.nearest(own, tenant="default", region="whole", limit=10)) == []
    assert store.neighbours.nearest(own, tenant="other", region="whole", limit=10) is None


def test_results_of_another_bundle_are_not_compared(store):
    own = finished(store, "a", whole=unit(1, 0))
    finished(store, "b", space="t", whole=unit(1, 0))
    assert ids(store.neighbours.nearest(own, tenant="default", region="whole", limit=10)) == []


def test_a_study_is_never_its_own_neighbour_and_another_stands_once_by_its_newest_job(store, clock):
    own = finished(store, "a", clock=clock, whole=unit(1, 0))
    finished(store, "a", clock=clock, whole=unit(1, 0))
    finished(store, "b", clock=clock, whole=unit(1, 0))
    newest = finished(store, "b", clock=clock, whole=unit(0, 1))
    assert ids(store.neighbours.nearest(own, tenant="default", region="whole", limit=10)) == [newest]


def test_the_same_region_is_compared_unless_any_is_asked_for(store):
    own = finished(store, "a", whole=unit(1, 1), right=unit(1, 0))
    finished(store, "b", whole=unit(1, 0.2), right=unit(0, 1), left=unit(1, 0))
    same = store.neighbours.nearest(own, tenant="default", region="right", limit=10)
    assert [near.region for near in same.neighbours] == ["right"]
    every = store.neighbours.nearest(own, tenant="default", region="right", any_region=True, limit=10)
    assert [near.region for near in every.neighbours] == ["left", "whole", "right"]


def test_a_region_without_an_embedding_is_no_question(store):
    own = finished(store, "a", whole=unit(1, 0))
    assert store.neighbours.nearest(own, tenant="default", region="left", limit=10) is None
    assert store.neighbours.nearest(submit(store, "b").id, tenant="default", region="whole", limit=1) is None


def test_what_is_purged_is_gone_at_once_and_its_rows_with_its_files(store, engine):
    own = finished(store, "a", whole=unit(1, 0))
    other = finished(store, "b", whole=unit(1, 0))
    assert store.ending.purge(other, tenant="default")
    assert ids(store.neighbours.nearest(own, tenant="default", region="whole", limit=10)) == []
    store.ending.clear_outputs(lambda _key: None)
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT job_id FROM embedding").all()
    assert rows == [(own,)]


def test_of_too_many_the_newest_are_compared_and_it_is_said(store, clock):
    own = finished(store, "a", clock=clock, whole=unit(1, 0))
    jobs = [finished(store, name, clock=clock, whole=unit(1, 0)) for name in "bcdef"]
    few = Neighbours(store._database, most_compared=3)
    found = few.nearest(own, tenant="default", region="whole", limit=10)
    assert set(ids(found)) == set(jobs[-3:])
    assert (found.n_compared, found.is_complete) == (3, False)
    exact = Neighbours(store._database, most_compared=5)
    assert exact.nearest(own, tenant="default", region="whole", limit=2).is_complete
