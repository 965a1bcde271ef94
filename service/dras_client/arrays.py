"""The patches of a result as numpy arrays. What that takes is loaded when they are asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, BinaryIO

from dras_client.errors import UnexpectedAnswer
from dras_model.results.notebook import table_html

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NAME = "features.npz"


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """One row a patch, in the atlas' order.

    `embeddings` (n, width) float32; `corners` (n, 3) int64, (x, y, z) voxels of the atlas; `locations` (n, 3)
    float32 in [-1, 1]; `valid` (n,) bool, false where a row is not to be used; `inside` and `lung_fraction` (n,)
    float32 in 0..1; `corner_mm` (n, 3) LPS mm in the scan. `more` holds whatever else the file does, by name:
    densitometry (n,) (`laa950`, `laa910`, `perc15_hu`, `mean_hu`, `n_lung_voxels`) and the lattice of the atlas.
    """

    embeddings: "NDArray[np.float32]"
    corners: "NDArray[np.int64]"
    locations: "NDArray[np.float32]"
    valid: "NDArray[np.bool_]"
    inside: "NDArray[np.float32]"
    lung_fraction: "NDArray[np.float32]"
    corner_mm: "NDArray[np.float64]"
    more: "Mapping[str, NDArray[Any]]"

    def __repr__(self) -> str:
        n_patches, width = self.embeddings.shape
        return f"<Features: {int(self.valid.sum())} of {n_patches} patches valid, {width} wide>"

    def _repr_html_(self) -> str:
        named = {name: getattr(self, name) for name in _ARRAYS} | dict(self.more)
        rows = [
            (name, " × ".join(map(str, array.shape)) or "1", str(array.dtype))
            for name, array in named.items()
        ]
        return f"<p>{repr(self)[1:-1]}</p>" + table_html(("array", "shape", "type"), rows)


_ARRAYS = tuple(each.name for each in fields(Features) if each.name != "more")


def read_features(file: BinaryIO) -> Features:
    """Read `features.npz`; nothing in it is run. Raises UnexpectedAnswer where it is another file."""
    import zipfile  # noqa: PLC0415 - see the top
    import zlib  # noqa: PLC0415

    import numpy as np  # noqa: PLC0415

    try:
        with np.load(file, allow_pickle=False) as stored:
            arrays = dict(stored)
        own = {name: arrays.pop(name) for name in _ARRAYS}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UnexpectedAnswer(f"{NAME} holds no features of this version.") from error
    return Features(**own, more=arrays)
