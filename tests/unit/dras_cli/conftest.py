import pytest


@pytest.fixture(scope="session")
def library_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("library")


@pytest.fixture
def library(library_folder, monkeypatch):
    """A library of atlases and bundles that the tests of this package share."""
    monkeypatch.setenv("DRAS_LIBRARY", str(library_folder))
    return library_folder
