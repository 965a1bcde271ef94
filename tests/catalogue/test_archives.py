"""Rows of the Transport and archive table that reading answers; the rest is answered by the service."""

import zipfile
from pathlib import Path

import pytest

from dras_model.imaging.study import read_study
from dras_model.results.codes import Code
from dras_model.results.errors import StudyRefused


def test_z6_a_truncated_zip_is_refused(phantom_study: Path, tmp_path: Path) -> None:
    path = tmp_path / "study.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in phantom_study.iterdir():
            archive.write(file, file.name)
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(StudyRefused) as refused:
        read_study(path)
    assert refused.value.code is Code.NOT_DICOM  # without its end record it is no zip
