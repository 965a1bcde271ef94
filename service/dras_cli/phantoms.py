"""Phantoms on disk: a DICOM series in a folder that appears when complete, and its truth beside it."""

from pathlib import Path

from dras_model.imaging.phantom import PhantomSpec, make_phantom
from dras_model.imaging.phantom.spec import Kernel
from dras_model.imaging.phantom_dicom import SeriesOptions, write_series
from dras_model.outputs.folder import new_folder

_KERNEL_NAMES = {Kernel.SOFT: "STANDARD", Kernel.SHARP: "LUNG"}  # as a scanner's header has them
_INSPIRED = 0.75  # inflation from which the header names inspiration: midway between both breaths


def write_phantom(out: Path, spec: PhantomSpec) -> Path:
    """Write the series of `spec` to the new folder `out`; return the file that tells its truth.

    Raises SetupRefused where `out` cannot be written, ValueError where the spec cannot be met.
    """
    with new_folder(out) as folder:
        phantom = make_phantom(spec)
        options = SeriesOptions(
            seed=spec.seed,
            description="CHEST EXP" if spec.inflation < _INSPIRED else "CHEST INSP",
            kernel=_KERNEL_NAMES[spec.kernel],
            slice_thickness_mm=spec.thickness_mm,
        )
        write_series(phantom.volume, folder, options)
    place = out.resolve()
    truth = place.with_name(f"{place.name}.truth.json")
    phantom.truth.write_json(truth, scanned=phantom.volume.hu)
    return truth
