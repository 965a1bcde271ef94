import pytest

from dras_service.doctor.disk import check_object_store
from dras_service.doctor.faults import FaultCode
from dras_service.settings import Settings


@pytest.fixture
def faults(object_store, tmp_path):
    def of(url):
        blobs = {"url": url, "endpoint": object_store.url}
        return [fault.code for fault in check_object_store(Settings(data=tmp_path, blobs=blobs))]

    return of


def test_a_bucket_that_can_be_written_is_no_fault(object_store, faults):
    assert faults(object_store.bucket()) == []


def test_a_bucket_that_is_not_there_is_a_fault(faults):
    assert faults("s3://absent") == [FaultCode.DISK_NOT_WRITABLE]


def test_nothing_is_asked_of_an_object_store_that_nobody_names(faults):
    assert faults(None) == []
