"""Images made by code, with the truth known voxel by voxel: a chest CT, and things that are no chest."""

from dras_model.imaging.anatomy.subject import Build
from dras_model.imaging.phantom.chest import Phantom, make_phantom
from dras_model.imaging.phantom.findings import Findings
from dras_model.imaging.phantom.others import head_ct, noise_ct, water_cylinder
from dras_model.imaging.phantom.spec import Emphysema, PhantomSpec
from dras_model.imaging.phantom.truth import RegionTruth, Truth

__all__ = [
    "Build",
    "Emphysema",
    "Findings",
    "Phantom",
    "PhantomSpec",
    "RegionTruth",
    "Truth",
    "head_ct",
    "make_phantom",
    "noise_ct",
    "water_cylinder",
]
