"""Opens every bundle of the settings once, before a worker takes work, says what they are, and tries the bucket.

Runs in a process of its own, `python -m dras_service.worker.selftest`: what it loads must not be
forked. Opening checks every hash and runs the golden vectors; on first use it makes the default bundle.
"""

import subprocess
import sys
from pathlib import Path

from pydantic import ValidationError

from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_service.api.bundles import BundleList, BundleView
from dras_service.errors import CannotServe
from dras_service.settings import WorkerSettings, read_settings
from dras_service.store.opening import check_blobs
from dras_service.worker.encoders import Encoders

_REFUSED = 4


def check() -> tuple[BundleView, ...]:
    """Run the test; return the bundles that passed, which are all. Raises CannotServe with what is wrong."""
    test = subprocess.run(
        [sys.executable, "-m", "dras_service.worker.selftest"], stdout=subprocess.PIPE, text=True, check=False
    )
    if test.returncode == _REFUSED:
        code, _, sentence = test.stdout.strip().partition(" ")
        raise CannotServe(code, sentence)
    try:
        if test.returncode == 0:
            return BundleList.model_validate_json(test.stdout).bundles
    except ValidationError as error:
        raise CannotServe("SELF_TEST_FAILED", "The self-test said something unexpected.") from error
    raise CannotServe("SELF_TEST_FAILED", "The encoder cannot be opened; see the log above.")


def prove(settings: WorkerSettings) -> tuple[BundleView, ...]:
    """Open every bundle of the settings and run its golden vectors. Raises SetupRefused."""
    encoders = Encoders(settings)
    proven = tuple(_proven(encoders, choice) for choice in encoders.choices)
    default = proven[0].name
    if default in (view.name for view in proven[1:]):
        reason = "the default bundle has the same name as one that is offered beside it"
        raise SetupRefused(Code.BUNDLE_INVALID, name=default, reason=reason)
    return proven


def _proven(encoders: Encoders, choice: str | None) -> BundleView:
    is_default = choice == encoders.choices[0]
    encoder = encoders.open(None if is_default else Path(str(choice)).name).encoder
    bundle, manifest = encoder.bundle, encoder.bundle.manifest
    return BundleView(
        name=bundle.path.name,
        is_default=is_default,
        training=manifest.training.summary,
        atlas=manifest.atlas.name,
        n_patches=manifest.atlas.n_patches,
        embedding_size=manifest.encoder.rep_dim,
        signature=bundle.signature.summary,
        licence=manifest.licence,
        intended_use=manifest.intended_use,
        sha256=bundle.sha256,
        max_difference=manifest.tolerance.on(encoders.device).max_difference,
        device=encoder.device,
    )


def _with_setting(refusal: SetupRefused, settings: WorkerSettings) -> str:
    """Return the refusal's sentence with the setting that it comes from."""
    told = str(refusal).rstrip(".")
    if refusal.code is Code.MISSING_EXTRA and settings.device == "cuda":
        return f"{told} and see that a driver is there, or set DRAS_WORKER__DEVICE to cpu."
    named = "DRAS_WORKER__BUNDLE" if settings.bundle else "DRAS_WORKER__OFFERED" if settings.offered else None
    return f"{told}, or choose another by {named}." if named else f"{told}."


def main() -> int:
    """Open everything; standard output gets the bundles as JSON, or a refusal as code and sentence."""
    settings = read_settings()
    try:
        check_blobs(settings)
        proven = prove(settings.worker)
    except CannotServe as fault:
        sys.stdout.write(f"{fault.code} {fault}\n")
        return _REFUSED
    except SetupRefused as refusal:
        sys.stdout.write(f"{refusal.code} {_with_setting(refusal, settings.worker)}\n")
        return _REFUSED
    sys.stdout.write(BundleList(bundles=proven).model_dump_json())
    return 0


if __name__ == "__main__":
    sys.exit(main())
