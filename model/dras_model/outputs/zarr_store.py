"""`features.zarr`: the arrays of the patches as a Zarr group (format 3), one array a quantity.

An array is one chunk, so that studies can be stacked along a new axis without being rewritten (one study, one
chunk, one object of a store). Axes are named, as xarray reads them; units and definitions are attributes.
"""

import json
from pathlib import Path

import numpy as np
import zarr

from dras_model.outputs.features import Features
from dras_model.outputs.quantities import FEATURE_QUANTITIES, provenance_attributes
from dras_model.results.study import StudyResult

_SECOND_AXIS = {
    "embeddings": "feature",
    "corners": "axis_xyz",
    "locations": "axis_xyz",
    "corner_mm": "axis_lps",
}


def write_zarr(path: Path, features: Features, result: StudyResult) -> None:
    """Write the group; equal content gives equal bytes with one version of the compressor."""
    attributes: dict[str, object] = dict(provenance_attributes(result))
    attributes["provenance"] = json.loads(str(attributes["provenance"]))
    if (lattice := features.lattice) is not None:
        attributes |= {
            "patch_size": lattice.patch_size,
            "patch_step": lattice.patch_step,
            "atlas_affine_lps_mm": lattice.affine.tolist(),
        }
    group = zarr.create_group(path, zarr_format=3, attributes=attributes)
    for name, values in features.columns().items():
        quantity = FEATURE_QUANTITIES.get(name)
        group.create_array(
            name,
            data=np.ascontiguousarray(values),
            chunks=values.shape,
            dimension_names=("patch", _SECOND_AXIS[name]) if values.ndim == 2 else ("patch",),
            attributes={} if quantity is None else {"units": quantity.unit, "long_name": quantity.definition},
        )
