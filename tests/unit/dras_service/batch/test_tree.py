"""Studies that are found in a tree, against what was put there."""

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dras_model.imaging.phantom import PhantomSpec, make_phantom
from dras_model.imaging.phantom_dicom import SeriesOptions, write_series
from dras_model.imaging.volume import Volume
from dras_service.batch import tree
from dras_service.batch.cases import Found
from dras_service.batch.inventory import Inventory, pieces_of
from dras_service.batch.ledger import Ledger
from dras_service.batch.staging import staged
from dras_service.batch.tree import studies_of, take_stock

Look = Callable[[], dict[str, Found]]


@pytest.fixture(scope="module")
def volume() -> Volume:
    return make_phantom(PhantomSpec(n_slices=4, matrix=16)).volume


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "scans").mkdir()
    return tmp_path / "scans"


@pytest.fixture
def look(ledger: Ledger, root: Path) -> Look:
    """Finds all studies, each by its source, in a run of its own."""

    def find() -> dict[str, Found]:
        inventory = Inventory(ledger, ledger.begin_run("recipe"))
        take_stock(root, inventory, leave_out=root / "results", tell=lambda _n: None)
        return {found.source: found for found in studies_of(root, inventory)}

    return find


def contents(found: Found, ledger: Ledger, root: Path, room: Path) -> list[bytes]:
    """What the pipeline would read of a study."""
    with staged(pieces_of(ledger, found.study), root, room) as source:
        files = [source] if source.is_file() else [path for path in source.rglob("*") if path.is_file()]
        read = sorted(path.read_bytes() for path in files)
    assert not room.exists()
    return read


def pack(files: list[Path], archive: Path, *, more: dict[str, bytes] | None = None) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as target:
        for file in files:
            target.write(file, file.name)
        for name, content in (more or {}).items():
            target.writestr(name, content)
    archive.write_bytes(packed.getvalue())
    return packed.getvalue()


def test_studies_mixed_in_a_folder_and_split_over_two_are_put_together_by_their_uid(
    volume: Volume, root: Path, look: Look, ledger: Ledger, tmp_path: Path
) -> None:
    ours = write_series(volume, root / "mixed", SeriesOptions(seed=1, file_name="a{index}"))
    theirs = write_series(volume, root / "mixed", SeriesOptions(seed=2, file_name="b{index}"))
    (root / "more").mkdir()
    theirs[3] = theirs[3].rename(root / "more" / "b3")
    found = look()
    assert {source: study.n_images for source, study in found.items()} == {"mixed": 4, "mixed; more": 4}
    for source, files in (("mixed", ours), ("mixed; more", theirs)):
        read = contents(found[source], ledger, root, tmp_path / "work" / "case")
        assert read == sorted(path.read_bytes() for path in files)


def test_zips_hold_one_study_or_several_and_zips(
    volume: Volume, root: Path, look: Look, ledger: Ledger, tmp_path: Path
) -> None:
    files = {seed: write_series(volume, tmp_path / str(seed), SeriesOptions(seed=seed)) for seed in (1, 2, 3)}
    whole = pack(files[1], root / "one.zip")
    inner = pack(files[2], tmp_path / "inner.zip")
    pack(files[3], root / "several.zip", more={"inner.zip": inner, "read me": b"no image"})
    look()
    found = list(studies_of(root, Inventory(ledger, 1)))
    read = sorted(contents(study, ledger, root, tmp_path / "work" / "case") for study in found)
    assert len(found) == 3
    assert [whole] in read
    for seed in (2, 3):
        assert sorted(path.read_bytes() for path in files[seed]) in read


def test_a_damaged_file_belongs_to_the_one_study_of_its_folder_and_else_to_none(
    volume: Volume, root: Path, look: Look
) -> None:
    for seed, folder in ((1, "alone"), (2, "pair"), (3, "pair")):
        write_series(volume, root / folder, SeriesOptions(seed=seed, file_name=f"{seed}_{{index}}.dcm"))
    for folder in ("alone", "pair", "nothing else"):
        (root / folder).mkdir(exist_ok=True)
        (root / folder / "damaged.dcm").write_bytes(b"")
    inventory = [(found.source, found.n_images, bool(found.study_uid)) for found in look().values()]
    assert ("alone", 5, True) in inventory
    assert ("nothing else", 1, False) in inventory
    assert ("pair", 1, False) in inventory  # the last of three that lie there


def test_what_has_not_changed_is_not_sorted_again(
    volume: Volume, root: Path, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in (1, 2):
        write_series(volume, root / str(seed), SeriesOptions(seed=seed))
    first = look()
    sorted_files: list[Path] = []
    sort = tree.sort_elsewhere
    monkeypatch.setattr(tree, "sort_elsewhere", lambda paths: sorted_files.extend(paths) or sort(paths))
    assert look() == first
    assert sorted_files == []
    touched = sorted((root / "1").iterdir())
    os.utime(touched[0], (1, 1))
    again = look()
    assert sorted_files == touched
    assert again["2"] == first["2"]
    assert again["1"].identity != first["1"].identity


def test_a_study_keeps_its_identity_when_its_folder_is_moved_and_is_gone_with_it(
    volume: Volume, root: Path, look: Look
) -> None:
    write_series(volume, root / "here", SeriesOptions(seed=1))
    first = look()["here"]
    (root / "here").rename(root / "there")
    moved = look()
    assert list(moved) == ["there"]
    assert (moved["there"].study, moved["there"].identity) == (first.study, first.identity)


def test_hidden_files_results_and_circles_of_links_are_left_alone(
    volume: Volume, root: Path, look: Look
) -> None:
    write_series(volume, root / "scan", SeriesOptions(seed=1))
    write_series(volume, root / "results" / "cases", SeriesOptions(seed=2))
    write_series(volume, root / ".trash", SeriesOptions(seed=3))
    (root / "scan" / "._IM0000.dcm").write_bytes(b"of a Mac")
    (root / "scan" / "loop").symlink_to(root)
    (root / "scan" / "nowhere").symlink_to(root / "gone")
    assert list(look()) == ["scan"]


def test_nifti_is_a_case_each(root: Path, look: Look) -> None:
    for name in ("a.nii.gz", "b.nii"):
        (root / name).write_bytes(b"read later")
    assert sorted(look()) == ["a.nii.gz", "b.nii"]
