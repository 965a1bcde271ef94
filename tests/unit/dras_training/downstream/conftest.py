"""People whose outcomes follow from their embeddings by a rule that the tests know."""

import numpy as np
import pytest

from dras_training.downstream.people import People

N_PEOPLE, N_LOCATIONS, WIDTH = 90, 12, 5
TOLD_AT = 3  # the one location that says who is sick


@pytest.fixture(scope="session")
def corners():
    x, z = np.meshgrid([10, 20], [0, 10, 20, 30, 40, 50], indexing="ij")
    return np.stack([x.ravel(), np.zeros(N_LOCATIONS, dtype=np.int64), z.ravel()], axis=1)


@pytest.fixture(scope="session")
def people(corners):
    """Component 0 says how severe, everywhere; component 1 who is sick, at one location; the rest is noise."""
    rng = np.random.default_rng(7)
    embeddings = rng.normal(size=(N_PEOPLE, N_LOCATIONS, WIDTH)).astype(np.float32)
    severity = rng.normal(size=N_PEOPLE)
    embeddings[:, :, 0] = severity[:, None] + 0.3 * embeddings[:, :, 0]
    embeddings[:, TOLD_AT, 1] = 4.0 * rng.choice([-1, 1], N_PEOPLE)
    valid = rng.random((N_PEOPLE, N_LOCATIONS)) < 0.9
    valid[:, TOLD_AT] = True
    embeddings[~valid] = np.nan
    return People(tuple(f"p{i}" for i in range(N_PEOPLE)), embeddings, valid, corners, "e" * 64)


@pytest.fixture(scope="session")
def severity(people):
    seen = np.where(people.valid, people.embeddings[:, :, 0], np.nan)
    return np.nanmean(seen, axis=1).astype(np.float64)


@pytest.fixture(scope="session")
def sick(people):
    return (people.embeddings[:, TOLD_AT, 1] > 0).astype(np.float64)
