"""Uploads made to harm the worker: each is rejected at the first attempt, and the worker goes on."""

import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGLosslessSV1

from catalogue.hostile import deflate_bomb, with_stream, without_huffman_table
from dras_client import Client, StudyRejected
from dras_model.imaging.phantom import PhantomSpec, make_phantom
from dras_model.imaging.phantom_dicom import SeriesOptions, write_series

JOB_WITHIN_S = 180.0
SPEC = PhantomSpec(seed=4, n_slices=30, matrix=64)


@pytest.fixture(scope="module")
def warm(serving):
    """The service after its first job: opening the encoder may outlast this test run's short lease."""
    with Client(serving.url) as client:
        client.submit(b"this is no image").wait(JOB_WITHIN_S)
    return serving


def _bomb(folder):
    options = SeriesOptions(transfer_syntax=DeflatedExplicitVRLittleEndian)
    path = write_series(make_phantom(SPEC).volume, folder, options)[3]
    path.write_bytes(deflate_bomb(path.read_bytes()))


def _crash(folder):
    with_stream(without_huffman_table, JPEGLosslessSV1)(make_phantom(SPEC), folder)


@pytest.mark.parametrize(
    ("make", "code"),
    [(_bomb, "READER_LIMIT"), (_crash, "READER_CRASHED")],
    ids=["deflate bomb", "codec crash"],
)
def test_a_study_that_harms_its_reader_is_rejected_at_once_and_the_worker_lives(warm, tmp_path, make, code):
    make(tmp_path)
    worker = warm.worker_pid, warm.pool_pid
    with Client(warm.url) as client:
        job = client.submit(tmp_path).wait(JOB_WITHIN_S)
        with pytest.raises(StudyRejected) as rejection:
            job.result()
    assert rejection.value.study_code == code
    assert (job.state, job.view.attempts) == ("rejected", 1)
    assert (warm.worker_pid, warm.pool_pid) == worker
