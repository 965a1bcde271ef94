"""The encoder on a CUDA device: skipped, by name, where ONNX Runtime has no CUDA provider or no device answers."""

import ctypes

import numpy as np
import onnxruntime
import pytest

from dras_model.encoder.batches import Study
from dras_model.encoder.bundle import Bundle
from dras_model.encoder.calibration import textures
from dras_model.encoder.runtime import Encoder, limit_on
from dras_model.imaging.atlas import Atlas
from dras_model.library import open_bundle

N = 20


def _why_not() -> str | None:
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return "this ONNX Runtime has no CUDA provider; install dras[gpu]"
    try:
        count = ctypes.c_int(0)
        answered = ctypes.CDLL("libcuda.so.1")
        if answered.cuInit(0) or answered.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
            return "the CUDA driver finds no device"
    except OSError:
        return "this machine has no CUDA driver"
    return None


REASON = _why_not()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(REASON is not None, reason=REASON or "")]


@pytest.fixture(scope="module")
def bundle(atlas: Atlas) -> Bundle:
    return open_bundle(None, atlas)


@pytest.fixture(scope="module")
def on_cuda(bundle: Bundle) -> Encoder:
    return Encoder.open(bundle, device="cuda")  # proven on the golden vectors, at the published tolerance


def _study(atlas: Atlas, *, seed: int = 81, n: int = N) -> Study:
    return Study(textures(n, seed=seed), atlas.locations[:n])


def test_cuda_gives_what_the_cpu_gives_within_the_published_tolerance(
    on_cuda: Encoder, bundle: Bundle, atlas: Atlas
) -> None:
    study = _study(atlas)
    on_cpu = Encoder.open(bundle).encode(study.patches, study.locations)
    found = on_cuda.encode(study.patches, study.locations)
    limit = bundle.manifest.tolerance.on("cuda")
    assert not limit.tf32
    # Both may be off by the tolerance, in opposite directions.
    assert np.abs(found - on_cpu).max() <= 2 * limit.max_difference


def test_the_bound_buffers_keep_batches_apart(on_cuda: Encoder, atlas: Atlas) -> None:
    n = on_cuda.form.batch + 3
    locations = np.resize(atlas.locations, (n, 3)).astype(np.float32)
    patches = np.resize(textures(7, seed=82), (n, 32, 32, 32))
    whole = on_cuda.encode(patches, locations)
    tail = on_cuda.encode(patches[-3:], locations[-3:])
    np.testing.assert_allclose(whole[-3:], tail, atol=1e-4)
    np.testing.assert_array_equal(whole, on_cuda.encode(patches, locations))


def test_studies_that_share_batches_get_what_each_gets_alone(on_cuda: Encoder, atlas: Atlas) -> None:
    studies = [_study(atlas, seed=seed, n=n) for seed, n in ((83, 5), (84, 9), (85, 2))]
    for study, found in zip(studies, on_cuda.encode_many(studies), strict=True):
        np.testing.assert_allclose(found, on_cuda.encode(study.patches, study.locations), atol=1e-4)


def test_tf32_is_off_unless_asked_for_and_drifts_no_further_than_published(
    bundle: Bundle, on_cuda: Encoder, atlas: Atlas
) -> None:
    rounded = Encoder.open(bundle, device="cuda", tf32=True)
    study = _study(atlas)
    difference = np.abs(
        rounded.encode(study.patches, study.locations) - on_cuda.encode(study.patches, study.locations)
    )
    assert 0 < difference.max() <= limit_on(bundle, "cuda", tf32=True).max_difference
