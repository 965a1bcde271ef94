"""Which study files belong to, against files whose studies are known because they were written here."""

import gzip
import io
import os
import zipfile
from pathlib import Path

import pytest

from dras_model.imaging.phantom import PhantomSpec, make_phantom
from dras_model.imaging.phantom_dicom import SeriesOptions, write_series
from dras_model.imaging.reading import heap
from dras_model.imaging.reading.heap import sort_elsewhere, take_out_elsewhere
from dras_model.imaging.reading.messages import FileSorted
from dras_model.imaging.sorting import Sorted, sort_files


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Two studies of three slices each, by their UID."""
    folder = tmp_path_factory.mktemp("studies")
    volume = make_phantom(PhantomSpec(n_slices=12, matrix=32)).volume
    found = {}
    for seed in (1, 2):
        files = write_series(volume, folder / str(seed), SeriesOptions(seed=seed))[:3]
        (told,) = sort_files(files[:1], folder)[0]
        found[told.study_uid] = files
    assert len(found) == 2
    return found


def sorted_alone(path: Path, scratch: Path) -> list[Sorted]:
    (found,) = sort_files([path], scratch)
    return found


def zipped(contents: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return packed.getvalue()


def test_every_slice_is_told_by_its_study_and_its_instance(
    studies: dict[str, list[Path]], tmp_path: Path
) -> None:
    paths = [path for files in studies.values() for path in files]
    found = [item for (item,) in sort_files(paths, tmp_path)]
    assert [item.study_uid for item in found] == [uid for uid, files in studies.items() for _ in files]
    assert {item.what for item in found} == {"dicom"}
    assert len({item.instance for item in found}) == len(paths)


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("notes.txt", b"no image at all", "other"),
        ("_SUCCESS", b"", "other"),
        ("empty.dcm", b"", "damaged"),
        ("page.dcm", b"<html>" * 100, "damaged"),
        ("cut.zip", b"PK\3\4" + b"x" * 50, "archive"),
        ("table.csv.gz", gzip.compress(b"a,b", mtime=0), "other"),
        ("scan.nii.gz", b"anything", "nifti"),
        ("magic", bytes(128) + b"DICM" + b"\xff" * 40, "damaged"),
    ],
)
def test_what_is_no_image_of_a_known_study(tmp_path: Path, name: str, content: bytes, what: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert [item.what for item in sorted_alone(tmp_path / name, tmp_path)] == [what]


def test_a_slice_that_is_cut_short_still_belongs_to_its_study(
    studies: dict[str, list[Path]], tmp_path: Path
) -> None:
    (study_uid, files), *_ = studies.items()
    (tmp_path / "cut").write_bytes(files[0].read_bytes()[:-100])
    (found,) = sorted_alone(tmp_path / "cut", tmp_path)
    assert (found.what, found.study_uid) == ("dicom", study_uid)


def test_archives_in_archives_are_told_by_their_numbers_and_taken_out_by_them(
    studies: dict[str, list[Path]], tmp_path: Path
) -> None:
    (first, ours), (second, theirs) = studies.items()
    inner = zipped({"x": theirs[0].read_bytes(), "y.txt": b"no image", "z": ours[1].read_bytes()})
    archive = tmp_path / "all.zip"
    archive.write_bytes(zipped({"a": ours[0].read_bytes(), "b.zip": inner, "c": theirs[1].read_bytes()}))
    found = {item.members: item.study_uid for item in sorted_alone(archive, tmp_path)}
    assert found == {(0,): first, (1, 0): second, (1, 1): "", (1, 2): first, (2,): second}
    assert not [path for path in tmp_path.rglob("0*") if path.is_file()]  # nothing stays unpacked
    taken = tmp_path / "taken"
    taken.mkdir()
    take_out_elsewhere(archive, [(0,), (1, 2)], taken)
    assert {path.read_bytes() for path in taken.rglob("*") if path.is_file()} == {
        ours[0].read_bytes(),
        ours[1].read_bytes(),
    }


def test_another_process_tells_the_same_and_a_file_that_ends_it_costs_no_other(
    studies: dict[str, list[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [files[0] for files in studies.values()]
    here = [
        [FileSorted(**{n: getattr(item, n) for n in FileSorted.model_fields}) for item in items]
        for items in sort_files(paths, tmp_path)
    ]
    assert [list(items) for items in sort_elsewhere(paths)] == here

    asked = heap._ask

    def brought_down(request: dict[str, object], limits: object) -> object:
        if str(paths[1]) in request["sort"]:  # type: ignore[operator]
            raise heap.ReaderDefect("by this file")
        return asked(request, limits)  # type: ignore[arg-type]

    monkeypatch.setattr(heap, "_ask", brought_down)
    found = list(sort_elsewhere(paths))
    assert (list(found[0]), found[1][0].what) == (here[0], "damaged")


def test_large_files_are_sorted_a_gigabyte_a_process(tmp_path: Path) -> None:
    paths = [tmp_path / str(number) for number in range(5)]
    for path in paths:
        with path.open("wb") as file:
            os.ftruncate(file.fileno(), 400 << 20)  # sparse
    assert [len(chunk) for chunk in heap._chunks(paths)] == [2, 2, 1]
