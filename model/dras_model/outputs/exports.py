"""Every form that a result can be given in, by name: how it is made, and whether that needs the CT again.

The run and `dras export` write through this one table. A form is a function that writes its files into a folder
that exists; the folder appears whole or not at all (`outputs.folder`), so no function here cleans up after itself.
To add a form: one row of EXPORTS and one function `(stored, folder, source=None)`, imported when it is called.
"""

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from dras_model.outputs.stored import StoredResult
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused


class Writer(Protocol):
    """Writes the files of one form into `folder`; `source` is the path of the study's images."""

    def __call__(self, stored: StoredResult, folder: Path, source: Path | None = None) -> None:
        """Raise StudyRefused where a part of the result, or the source, cannot be used."""


@dataclass(frozen=True, slots=True)
class Export:
    """One form: `target` is the writer as `module:function`, `files` what it writes into the folder."""

    target: str
    files: tuple[str, ...]
    needs_source: bool
    summary: str

    def writer(self) -> Writer:
        """Import the function that writes it."""
        module, _, name = self.target.partition(":")
        found: Writer = getattr(importlib.import_module(module), name)
        return found


EXPORTS: Mapping[str, Export] = MappingProxyType(
    {
        "csv": Export(
            "dras_model.outputs.forms:export_csv",
            ("regions.csv", "patches.csv"),
            needs_source=False,
            summary="regions and patches as text",
        ),
        "parquet": Export(
            "dras_model.outputs.forms:export_parquet",
            ("regions.parquet", "patches.parquet"),
            needs_source=False,
            summary="the same with types, units and definitions, and the embeddings",
        ),
        "npz": Export(
            "dras_model.outputs.forms:export_npz",
            ("features.npz",),
            needs_source=False,
            summary="the arrays of the patches, for NumPy",
        ),
        "zarr": Export(
            "dras_model.outputs.forms:export_zarr",
            ("features.zarr",),
            needs_source=False,
            summary="the arrays of the patches as a Zarr group, for stacking studies",
        ),
        "masks": Export(
            "dras_model.outputs.forms:export_masks",
            ("lungs.nii.gz", "laa_map.nii.gz"),
            needs_source=False,
            summary="lungs and low attenuation as NIfTI label maps",
        ),
        "feature-map": Export(
            "dras_model.outputs.forms:export_feature_map",
            ("feature_map.nii.gz",),
            needs_source=False,
            summary="the embeddings on the atlas' patch lattice, as NIfTI",
        ),
        "report": Export(
            "dras_model.outputs.report.writing:export_report",
            ("report.pdf", "report.html"),
            needs_source=False,
            summary="one page for a clinician, as PDF and HTML",
        ),
        "sr": Export(
            "dras_model.outputs.dicom.forms:export_sr",
            ("dras_sr.dcm",),
            needs_source=True,
            summary="every score as a DICOM Structured Report, TID 1500",
        ),
        "seg": Export(
            "dras_model.outputs.dicom.forms:export_seg",
            ("dras_seg.dcm",),
            needs_source=True,
            summary="lungs and low attenuation as a DICOM Segmentation",
        ),
        "map": Export(
            "dras_model.outputs.dicom.forms:export_map",
            ("dras_map.dcm",),
            needs_source=True,
            summary="a feature of the patches as a DICOM Parametric Map",
        ),
        "page": Export(
            "dras_model.outputs.dicom.forms:export_page",
            ("dras_report.dcm",),
            needs_source=True,
            summary="the report's page as a DICOM Encapsulated PDF",
        ),
        "dicom": Export(
            "dras_model.outputs.dicom.forms:export_dicom",
            ("dras_sr.dcm", "dras_seg.dcm", "dras_map.dcm", "dras_report.dcm"),
            needs_source=True,
            summary="all DICOM objects, reading the source once",
        ),
    }
)
GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType({"nifti": ("masks", "feature-map")})
# What `dras extract` makes of a result beside the masks; `docs/outputs.md` says why these.
DEFAULTS = ("csv", "parquet", "npz", "feature-map", "report")


def write_exports(
    names: Iterable[str], stored: StoredResult, folder: Path, *, source: Path | None = None
) -> None:
    """Write forms of EXPORTS into a folder that exists; KeyError for a name that is none.

    Raises SetupRefused SOURCE_NEEDED before anything is written, and what the writers raise.
    """
    names = tuple(names)
    if source is None and (wanting := [name for name in names if EXPORTS[name].needs_source]):
        raise SetupRefused(Code.SOURCE_NEEDED, forms=", ".join(wanting))
    for name in names:
        EXPORTS[name].writer()(stored, folder, source)
