"""One embedding a region, to tell which studies are alike: the mean direction of the patches that lie in it.

Where a patch belongs is read from the atlas' corners alone, so that a region is the same patches in every study
of one bundle. Lobes, halves and the peel are left out: a patch of 32 mm spans their borders.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dras_model.outputs.features import Features
from dras_model.results.study import Region

_THIRDS = ("basal", "middle", "apical")  # z of an atlas grows to the head (ORIENTATION)
_LEAST_LENGTH = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class RegionalEmbedding:
    """`vector` (width,) float32 of unit length, and how many valid patches it is the mean of."""

    region: Region
    n_patches: int
    vector: NDArray[np.float32]


def regional_embeddings(features: Features) -> tuple[RegionalEmbedding, ...]:
    """Return the embeddings of the regions that hold a valid patch.

    Each patch is brought to unit length, where the loss of its training compared it, and weighs as much as it holds
    lung. A region whose patches cancel out has no direction and is left out.
    """
    lengths = np.linalg.norm(features.embeddings, axis=1, keepdims=True)
    usable = features.valid & (lengths[:, 0] > _LEAST_LENGTH)
    directions = features.embeddings / np.maximum(lengths, _LEAST_LENGTH)
    found = []
    for region, members in _members(features.corners):
        chosen = members & usable
        mean = features.lung_fraction[chosen].astype(np.float64) @ directions[chosen]
        length = np.linalg.norm(mean)
        if length > _LEAST_LENGTH:
            found.append(RegionalEmbedding(region, int(chosen.sum()), (mean / length).astype(np.float32)))
    return tuple(found)


def _members(corners: NDArray[np.int64]) -> Iterator[tuple[Region, NDArray[np.bool_]]]:
    """Yield each region with the patches (n,) in it.

    Sides part in the middle of the corners; the thirds of a side hold like numbers of patches, a layer never split.
    """
    yield Region.WHOLE, np.ones(len(corners), dtype=np.bool_)
    middle = (corners[:, 0].min() + corners[:, 0].max()) / 2
    sides = {"right": corners[:, 0] < middle, "left": corners[:, 0] >= middle}  # x grows to the left
    thirds: dict[str, NDArray[np.bool_]] = {name: np.zeros(len(corners), dtype=np.bool_) for name in _THIRDS}
    for side, of_side in sides.items():
        yield Region(side), of_side
        lower, upper = np.quantile(corners[of_side, 2], (1 / 3, 2 / 3), method="nearest")
        layer = (corners[:, 2] >= lower).astype(int) + (corners[:, 2] >= upper)
        for number, name in enumerate(_THIRDS):
            part = of_side & (layer == number)
            thirds[name] |= part
            yield Region(f"{side}_{name}"), part
    yield from ((Region(name), part) for name, part in thirds.items())
