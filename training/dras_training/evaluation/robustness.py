"""How much an embedding changes where the patient does not: concordance of pairs of scans, component by component.

Lin's concordance correlation (Biometrics 1989) over people and locations together, and over people alone, which is
harder: what differs between locations is then no agreement. Pairs are made elsewhere.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dras_training.downstream.judging import Numbers
from dras_training.downstream.people import People

ASKED = 0.95
_FLAT = 1e-12


@dataclass(frozen=True, slots=True)
class Agreement:
    """Quartiles over components of the concordance; `within` of what is left without the means of locations.

    `within` is None where there is one person, who has nothing to be told from at a location.
    """

    n_pairs: int
    quartiles: tuple[float, float, float]
    within: tuple[float, float, float] | None

    @property
    def median(self) -> float:
        """The figure that is asked for."""
        return self.quartiles[1]


def concordance(first: Numbers, second: Numbers) -> Numbers:
    """Return ρ_c (components,) of pairs (n, components): 2 s_xy / (s_x² + s_y² + (x̄ − ȳ)²); NaN of a constant."""
    x, y = first - first.mean(axis=0), second - second.mean(axis=0)
    apart = (first.mean(axis=0) - second.mean(axis=0)) ** 2
    spread = (x**2).mean(axis=0) + (y**2).mean(axis=0) + apart
    return np.where(spread > _FLAT, 2.0 * (x * y).mean(axis=0) / np.maximum(spread, _FLAT), np.nan)


def agreement(first: People, second: People) -> Agreement:
    """Return how two scans of each of the same people agree, where the patches of both are valid."""
    both = first.valid & second.valid
    x, y = first.embeddings[both].astype(np.float64), second.embeddings[both].astype(np.float64)
    within = None
    if len(first) > 1:
        locations = np.nonzero(both)[1]
        means = _means((x + y) / 2.0, locations, both.shape[1])[locations]
        within = _quartiles(concordance(x - means, y - means))
    return Agreement(int(both.sum()), _quartiles(concordance(x, y)), within)


def _means(values: Numbers, locations: NDArray[np.int64], n: int) -> Numbers:
    """Return the mean of values (pairs, components) at each of `n` locations."""
    total = np.zeros((n, values.shape[1]))
    np.add.at(total, locations, values)
    return total / np.maximum(np.bincount(locations, minlength=n), 1)[:, np.newaxis]


def _quartiles(found: Numbers) -> tuple[float, float, float]:
    low, median, high = np.nanpercentile(found, [25, 50, 75])
    return float(low), float(median), float(high)
