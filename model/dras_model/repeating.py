"""The way of a repetition: a result's provenance and the images again -> the same run, and what came out otherwise.

Everything but the images, and masks that were given, is had from the result: choices, limits, weights and atlas by
their digests, the device. Leaves out other versions of `dras` and its libraries: a result names them, one installs
them.
"""

from pathlib import Path

from dras_model.choices import choices_of
from dras_model.encoder.bundle import Bundle
from dras_model.encoder.manifest import UNTRAINED
from dras_model.encoder.runtime import Device, Encoder
from dras_model.library import (
    bundles_folder,
    find_atlas,
    load_bundle,
    names_in,
    open_atlas,
    open_bundle,
    open_untrained,
)
from dras_model.outputs.folder import refuse_to_replace
from dras_model.outputs.reading import read_result
from dras_model.pipeline import extract
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_model.results.progress import Report, silent
from dras_model.results.study import StudyResult, WeightsProvenance


def repeat(
    result: Path,
    source: Path,
    out: Path,
    *,
    lung_mask: Path | None = None,
    lobes: Path | None = None,
    bundle: Path | None = None,
    report: Report = silent,
    overwrite: bool = False,
) -> tuple[StudyResult, tuple[str, ...]]:
    """Run the study of `result` again as it was run; return the new result and what of it differs.

    What differs is told by the names of the fields, timings left out. `bundle` names weights that are not in the
    library. Raises StudyRefused; SetupRefused, REPEAT_IMPOSSIBLE where something of the run is not to be had.
    """
    former = read_result(result)
    for read in (result, source):
        refuse_to_replace(out, read)
    choices = choices_of(former.provenance, lung_mask=lung_mask, lobes=lobes)
    weights = _find_weights(former.provenance.weights, bundle)
    device: Device = "cuda" if former.provenance.device.startswith("cuda") else "cpu"
    encoder = Encoder.open(weights, device=device)
    again = extract(
        source,
        out,
        atlas=find_atlas(weights),
        encoder=encoder,
        choices=choices,
        report=report,
        overwrite=overwrite,
    )
    return again, differences(former, again)


def differences(former: StudyResult, again: StudyResult) -> tuple[str, ...]:
    """Return the fields, a level deep, in which two results differ; timings and the threads used are left out."""
    one, two = (result.model_dump(exclude={"timings"}) for result in (former, again))
    found: list[str] = []
    for name, value in one.items():
        other = two[name]
        if isinstance(value, dict) and isinstance(other, dict):
            keys = dict.fromkeys((*value, *other))
            found += [f"{name}.{key}" for key in keys if value.get(key) != other.get(key)]
        elif value != other:
            found.append(name)
    return tuple(name for name in found if name != "provenance.device")


def _find_weights(wanted: WeightsProvenance, named: Path | None) -> Bundle:
    """Return the bundle that holds the graph of the run, for the atlas of the run. Raises SetupRefused."""
    if named is not None:
        bundle = load_bundle(named)
        if _is_of(bundle, wanted):
            return bundle
        raise SetupRefused(Code.REPEAT_IMPOSSIBLE, reason=f"the bundle {named.name} is not the one it used")
    for name in names_in(bundles_folder()):
        try:
            bundle = load_bundle(name)
        except SetupRefused:  # another bundle's fault is none of this run's
            continue
        if _is_of(bundle, wanted):
            return bundle
    # Those of this version may not be in the library yet.
    atlas = open_atlas()
    made = open_untrained(atlas) if wanted.training == UNTRAINED else open_bundle(None, atlas)
    if _is_of(made, wanted):
        return made
    reason = (
        f"no bundle of the library holds its weights, {wanted.name} ({wanted.encoder_sha256[:12]}); name one"
    )
    raise SetupRefused(Code.REPEAT_IMPOSSIBLE, reason=reason)


def _is_of(bundle: Bundle, wanted: WeightsProvenance) -> bool:
    files, atlas = bundle.manifest.files.values(), bundle.manifest.atlas.sha256
    return wanted.encoder_sha256 in files and atlas == wanted.atlas_sha256
