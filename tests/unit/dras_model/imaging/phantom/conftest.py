"""Small phantoms, made once: a person breathing in, without noise unless a test says so."""

from collections.abc import Callable
from functools import cache

import pytest

from dras_model.imaging.phantom import Phantom, PhantomSpec, make_phantom

SMALL = {"n_slices": 50, "matrix": 96, "noise_hu": 0.0}

Maker = Callable[..., Phantom]


@pytest.fixture(scope="session")
def small() -> Maker:
    @cache
    def make(**changes: object) -> Phantom:
        return make_phantom(PhantomSpec(**{**SMALL, **changes}))  # type: ignore[arg-type]

    return make
