import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from dras_model.exporting import export, forms_of
from dras_model.outputs.exports import EXPORTS, write_exports
from dras_model.outputs.extraction import write_result
from dras_model.outputs.features import write_features
from dras_model.outputs.key_images import take_key_images, write_key_images
from dras_model.outputs.masks import low_attenuation
from dras_model.outputs.names import KEY_IMAGES
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused, StudyRefused
from dras_model.results.study import LOBES, StudyResult
from unit.dras_model.outputs.dicom.scenes import scene
from unit.dras_model.outputs.invented import stored
from unit.dras_model.outputs.test_key_images import chest
from unit.dras_model.stored import complete_result

PLAIN = ("csv", "parquet", "npz", "zarr", "masks", "feature-map")


@pytest.fixture(scope="module")
def result() -> StudyResult:
    return complete_result()


@pytest.fixture
def folder(result: StudyResult, tmp_path: Path) -> Path:
    made = stored(result)
    place = tmp_path / "run"
    place.mkdir()
    write_exports(["npz", "masks"], made, place)
    write_result(made.result, place)
    return place


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A result that every form can be made of, and its series."""
    place = tmp_path_factory.mktemp("whole")
    told = complete_result()
    told = told.model_copy(update={"scores": tuple(s for s in told.scores if s.region not in LOBES)})
    made = scene("head first", place / "series", told)
    (place / "run").mkdir()
    write_exports(["npz", "masks"], made.stored, place / "run")
    volume, lungs = chest()
    images = take_key_images(volume, lungs, low_attenuation(volume, lungs))
    write_key_images(place / "run" / KEY_IMAGES, images)
    write_result(made.stored.result, place / "run")
    return place / "run", place / "series"


def test_forms_are_made_of_a_result_that_holds_nothing_but_its_parts(folder: Path, tmp_path: Path) -> None:
    names = export(folder, tmp_path / "out", forms=["csv", "parquet", "nifti"])
    assert set(names) == {path.name for path in (tmp_path / "out").iterdir()} == {
        "regions.csv", "patches.csv", "regions.parquet", "patches.parquet", "lungs.nii.gz", "laa_map.nii.gz",
        "feature_map.nii.gz",
    }  # fmt: skip


def test_a_group_stands_for_its_forms_and_each_form_is_made_once() -> None:
    assert forms_of(["masks", "nifti", "csv", "csv"]) == ("masks", "feature-map", "csv")
    with pytest.raises(KeyError, match="dicomdir"):
        forms_of(["csv", "dicomdir"])


@pytest.mark.parametrize("missing", ["lungs.nii.gz", "features.npz"])
def test_a_part_that_is_missing_leaves_nothing_half_written(
    missing: str, folder: Path, tmp_path: Path
) -> None:
    (folder / missing).unlink()
    with pytest.raises(StudyRefused, match=f"there is no {missing}") as refused:
        export(folder, tmp_path / "deep" / "out", forms=PLAIN)
    assert refused.value.code is Code.RESULT_INVALID
    assert [entry.name for entry in tmp_path.iterdir()] == ["run"]


def test_only_what_a_form_needs_must_be_there(folder: Path, tmp_path: Path) -> None:
    (folder / "lungs.nii.gz").unlink()
    assert "features.zarr" in export(folder, tmp_path / "out", forms=["zarr", "npz"])


def test_a_map_of_a_result_of_schema_1_0_is_refused_with_the_reason(
    folder: Path, result: StudyResult, tmp_path: Path
) -> None:
    write_features(folder / "features.npz", replace(stored(result).features, lattice=None))
    with pytest.raises(StudyRefused, match="where its patches lie"):
        export(folder, tmp_path / "out", forms=["feature-map"])
    assert not (tmp_path / "out").exists()


def test_a_place_that_cannot_be_written_is_told_before_a_form_is_made(folder: Path) -> None:
    with pytest.raises(SetupRefused) as refused:
        export(folder, Path("/proc/out"), forms=PLAIN)
    assert refused.value.code is Code.OUTPUT_NOT_WRITABLE


@pytest.mark.parametrize("name", PLAIN)
def test_a_disk_that_is_full_at_any_write_is_told_and_leaves_nothing(
    name: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full from the first file of this form on: every door that its bytes can take is shut."""

    def full(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    module = {"zarr": "zarr_store:write_zarr", "npz": "forms:write_features", "masks": "masks:write_labels",
              "feature-map": "forms:write_feature_map", "parquet": "parquet:write_patches",
              "csv": "forms:patches_csv"}[name]  # fmt: skip
    monkeypatch.setattr(f"dras_model.outputs.{module.replace(':', '.')}", full)
    with pytest.raises(SetupRefused, match="No space left") as refused:
        export(folder, tmp_path / "out", forms=[name])
    assert refused.value.code is Code.OUTPUT_NOT_WRITABLE
    assert [entry.name for entry in tmp_path.iterdir()] == ["run"]


@contextmanager
def _mounted(place: Path, options: str) -> Iterator[Path]:
    """A file system in memory of its own; skips where nobody may mount one."""
    place.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("only root mounts a disk")
    if subprocess.run([mount, "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=False).returncode:
        pytest.skip("this place does not let root mount")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system on which 8 kB are free: every form needs more, or is made again until it does."""
    with _mounted(tmp_path_factory.mktemp("small") / "disk", "size=64k,nr_inodes=200") as place:
        (place / "mine").write_bytes(bytes(56 << 10))
        yield place


@pytest.fixture(scope="module")
def locked_disk(run: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system that holds a result and can be read alone, by root as well."""
    with _mounted(tmp_path_factory.mktemp("locked") / "disk", "size=64m") as place:
        shutil.copytree(run[0], place / "run")
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        yield place


def _refused(caught: SetupRefused, reason: str) -> None:
    assert caught.code is Code.OUTPUT_NOT_WRITABLE
    assert reason in str(caught)
    assert "\n" not in str(caught)


@pytest.mark.parametrize("name", EXPORTS)
def test_a_disk_that_is_really_full_is_told_and_left_as_it_was(
    name: str, run: tuple[Path, Path], small_disk: Path
) -> None:
    def fill() -> None:
        for number in range(40):
            export(run[0], small_disk / f"out{number}", forms=[name], source=run[1])

    with pytest.raises(SetupRefused) as refused:
        fill()
    _refused(refused.value, "No space left")
    assert not list(small_disk.rglob(".dras-*"))
    for out in small_disk.glob("out*"):
        assert {entry.name for entry in out.iterdir()} == set(EXPORTS[name].files)
        shutil.rmtree(out)
    assert [entry.name for entry in small_disk.iterdir()] == ["mine"]


@pytest.mark.parametrize("name", EXPORTS)
def test_a_result_on_a_disk_that_can_only_be_read_is_exported_elsewhere_and_not_onto_that_disk(
    name: str, run: tuple[Path, Path], locked_disk: Path, tmp_path: Path
) -> None:
    stored = locked_disk / "run"
    with pytest.raises(SetupRefused) as refused:
        export(stored, locked_disk / "out", forms=[name], source=run[1])
    _refused(refused.value, "Read-only")
    assert set(export(stored, tmp_path / "out", forms=[name], source=run[1])) == set(EXPORTS[name].files)


@pytest.mark.parametrize("version", ["0.9", "2.0"])
def test_a_result_of_another_major_version_is_refused_in_one_sentence(
    version: str, folder: Path, tmp_path: Path
) -> None:
    file = folder / "result.json"
    file.write_text(file.read_text().replace('"schema_version": "1.1"', f'"schema_version": "{version}"'))
    with pytest.raises(StudyRefused) as refused:
        export(folder, tmp_path / "out", forms=PLAIN)
    assert refused.value.code is Code.RESULT_VERSION
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("place", ["run", ".", "run/../run"])
def test_an_export_never_takes_the_place_of_its_result(place: str, folder: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for result in (folder, folder / "result.json"):
        with pytest.raises(SetupRefused, match="lies in it") as refused:
            export(result, tmp_path / place, forms=["csv"], overwrite=True)
        assert refused.value.code is Code.OUTPUT_NOT_WRITABLE
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_an_export_may_lie_within_its_result(folder: Path) -> None:
    assert export(folder, folder / "tables", forms=["csv"]) == ("patches.csv", "regions.csv")
