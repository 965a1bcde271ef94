import shutil

import pytest

from dras_service.store import shelves
from dras_service.store.shelves import FolderShelf


@pytest.fixture
def synced(monkeypatch):
    """The folders whose entries were seen to the disk."""
    seen = []
    monkeypatch.setattr(shelves, "sync_folder", lambda folder: seen.append(folder.name))
    return seen


@pytest.fixture
def put(tmp_path):
    shelf = FolderShelf(tmp_path, depths={"studies": 4})

    def put(address):
        arrived = tmp_path / "arrived"
        arrived.write_bytes(b"image")
        assert shelf.put(arrived, address, step="keep_study")

    return put


def test_each_study_syncs_its_folder_and_what_leads_there_only_where_that_may_be_new(put, synced):
    put("studies/ward/ab/abc")
    assert synced == ["ab", "ward", "studies"]
    put("studies/ward/ab/abd")
    assert synced[3:] == ["ab"]
    put("studies/ward/cd/cde")
    assert synced[4:] == ["cd", "ward"]


def test_what_another_process_has_made_is_synced_all_the_same(tmp_path, put, synced):
    (tmp_path / "studies" / "ward" / "ab").mkdir(parents=True)  # and it may die before it syncs them
    put("studies/ward/ab/abc")
    assert synced == ["ab", "ward", "studies"]


def test_folders_that_were_removed_and_come_again_are_synced_again(tmp_path, put, synced):
    put("studies/ward/ab/abc")
    shutil.rmtree(tmp_path / "studies" / "ward")
    put("studies/ward/ab/abc")
    assert synced[3:] == ["ab", "ward", "studies"]
