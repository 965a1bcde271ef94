import csv
import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dras_model.outputs import cohort
from dras_model.outputs.cohort import Rows, study_names, write_cohort
from dras_model.outputs.exports import write_exports
from dras_model.outputs.extraction import write_result
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused, StudyRefused
from dras_model.results.phenotypes import COLUMNS, HARMONISED_COLUMNS
from dras_model.results.study import Region, StudyResult
from dras_model.scores.harmonised import HARMONISED
from unit.dras_model.outputs.invented import features, stored

Run = Callable[[str, int], Path]


@pytest.fixture
def run(result: StudyResult, tmp_path: Path) -> Run:
    """Leaves a result folder whose numbers depend on a seed."""

    def make(name: str, seed: int) -> Path:
        scores = tuple(s.model_copy(update={"value": (s.value or 0.0) + seed / 3.0}) for s in result.scores)
        harmonised = scores[0].model_copy(update={"image": "harmonised", "value": -float(seed)})
        made = stored(result.model_copy(update={"scores": (*scores, harmonised)}), seed=seed)
        folder = tmp_path / name
        folder.mkdir(parents=True)
        write_exports(["npz"], made, folder)
        write_result(made.result, folder)
        return folder

    return make


def _scores(folder: Path) -> dict[tuple[str, str, str], float | None]:
    found = StudyResult.model_validate_json((folder / "result.json").read_bytes())
    return {(s.image, s.region.value, COLUMNS[s.code]): s.value for s in found.scores}


@pytest.fixture(params=[20_000, 40, 1], ids=["one group", "groups of two", "a group a study"])
def group_rows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(cohort, "GROUP_ROWS", dict.fromkeys(("regions", "studies", "patches"), request.param))
    return int(request.param)


def test_every_score_of_every_result_is_in_the_long_table(run: Run, tmp_path: Path, group_rows: int) -> None:
    folders = [run(f"s{n}", n) for n in range(5)]
    found = write_cohort(folders, tmp_path / "cohort.parquet")
    table = pd.read_parquet(tmp_path / "cohort.parquet")
    assert (found.n_results, found.n_read, found.n_rows) == (5, 5, len(table))
    assert table["Study"].drop_duplicates().tolist() == [folder.name for folder in folders]
    rows = {(row["Study"], row["Image"], row["Region"]): row for row in table.to_dict("records")}
    assert len(rows) == len(table) == 5 * (len(Region) + 1)
    for folder in folders:
        for (image, region, column), value in _scores(folder).items():
            assert rows[folder.name, image, region][column] == value
    n_groups = pq.ParquetFile(tmp_path / "cohort.parquet").num_row_groups
    assert n_groups == {20_000: 1, 40: 3, 1: 5}[group_rows]


def test_the_wide_table_has_a_row_a_study_and_the_mean_embedding_of_valid_patches(
    run: Run, tmp_path: Path
) -> None:
    folders = [run(f"s{n}", n) for n in range(3)]
    write_cohort(folders, tmp_path / "cohort.parquet", rows="studies", embeddings=True)
    table = pd.read_parquet(tmp_path / "cohort.parquet")
    assert len(table) == 3
    for seed, (folder, row) in enumerate(zip(folders, table.to_dict("records"), strict=True)):
        for (image, region, column), value in _scores(folder).items():
            assert row[f"{region}_{column}" + ("" if image == "raw" else "_harmonised")] == value
        own = features(seed=seed)
        mean = (
            sum(e.astype(float) for e, ok in zip(own.embeddings, own.valid, strict=True) if ok)
            / own.valid.sum()
        )
        np.testing.assert_allclose(row["EmbeddingMean"], mean, rtol=1e-6)


def test_the_patches_of_all_results_stand_in_one_table(run: Run, tmp_path: Path) -> None:
    folders = [run(f"s{n}", n) for n in range(3)]
    write_cohort(folders, tmp_path / "cohort.parquet", rows="patches")
    table = pd.read_parquet(tmp_path / "cohort.parquet")
    for seed, folder in enumerate(folders):
        rows = table[table["Study"] == folder.name]
        np.testing.assert_array_equal(np.stack(rows["embedding"]), features(seed=seed).embeddings)
        np.testing.assert_array_equal(rows["laa950"], features(seed=seed).densitometry["laa950"])


@pytest.mark.parametrize("rows", ["regions", "studies", "patches"])
def test_a_broken_result_is_a_line_of_the_failures_and_costs_no_other(
    rows: Rows, run: Run, tmp_path: Path
) -> None:
    folders = [run("a", 0), tmp_path / "gone", run("b", 1), run("c", 2), run("d", 3)]
    (folders[3] / "result.json").write_bytes(b"{")
    (folders[4] / "result.json").write_text(
        (folders[4] / "result.json").read_text().replace('"schema_version": "1.1"', '"schema_version": "7.0"')
    )
    found = write_cohort(folders, tmp_path / "cohort.parquet", rows=rows)
    assert (found.n_results, found.n_read) == (5, 2)
    assert set(pd.read_parquet(tmp_path / "cohort.parquet")["Study"]) == {"a", "b"}
    with found.failures.open(encoding="utf-8") as file:
        told = {(Path(row["Path"]).name, row["Code"]) for row in csv.DictReader(file)}
    assert told == {("gone", "NOT_FOUND"), ("c", "RESULT_INVALID"), ("d", "RESULT_VERSION")}


def test_arrays_of_another_encoder_are_a_failure_of_their_result(run: Run, tmp_path: Path) -> None:
    folders = [run("a", 0), run("b", 1)]
    with np.load(folders[1] / "features.npz") as arrays:
        np.savez(folders[1] / "features.npz", **{**arrays, "embeddings": np.zeros((7, 9), np.float32)})
    found = write_cohort(folders, tmp_path / "cohort.parquet", rows="patches")
    assert found.n_read == 1
    assert "not those of the results before it" in found.failures.read_text()


def test_a_cohort_of_broken_results_alone_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(StudyRefused) as refused:
        write_cohort([tmp_path / "a", tmp_path / "b"], tmp_path / "out" / "cohort.parquet")
    assert refused.value.code is Code.COHORT_EMPTY
    assert list(tmp_path.iterdir()) == []


def test_a_table_that_exists_is_left_alone_unless_it_may_be_replaced(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "cohort.parquet"
    out.write_text("mine")
    with pytest.raises(SetupRefused, match="it exists"):
        write_cohort([run("a", 0)], out)
    assert out.read_text() == "mine"
    assert write_cohort([tmp_path / "a"], out, overwrite=True).n_read == 1
    assert pq.read_table(out).num_rows == len(Region) + 1


def test_equal_results_give_equal_bytes(run: Run, tmp_path: Path) -> None:
    folders = [run("a", 0), run("b", 1)]
    for name in ("one", "other"):
        write_cohort(folders, tmp_path / f"{name}.parquet")
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "other.parquet").read_bytes()


def test_studies_are_named_by_their_folder_and_by_their_path_where_that_is_not_enough() -> None:
    paths = [Path("x/a"), Path("x/out"), Path("y/out/result.json"), Path("b/result.json")]
    assert study_names(paths) == ["a", "x/out", "y/out", "b"]


def test_the_harmonised_columns_are_those_that_are_measured_on_the_harmonised_image() -> None:
    assert tuple(COLUMNS[definition.code] for definition in HARMONISED) == HARMONISED_COLUMNS


def test_a_disk_that_fills_up_leaves_no_table(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [run("a", 0), run("b", 1)]
    before = sorted(tmp_path.iterdir())

    def full(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(cohort.pq.ParquetWriter, "write_table", full)
    with pytest.raises(SetupRefused, match="No space left"):
        write_cohort(folders, tmp_path / "new" / "cohort.parquet")
    assert sorted(tmp_path.iterdir()) == before


def test_no_more_waits_to_be_written_than_a_row_group_however_many_results_there_are(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cohort, "GROUP_ROWS", dict.fromkeys(("regions", "studies", "patches"), 50))
    waiting: list[int] = []
    add = cohort._Table.add

    def watched(self: cohort._Table, table: pa.Table, source: Path) -> None:
        add(self, table, source)
        waiting.append(sum(each.num_rows for each in self._waiting))

    monkeypatch.setattr(cohort._Table, "add", watched)
    write_cohort([run("a", 0)] * 30, tmp_path / "cohort.parquet")
    assert len(waiting) == 30
    assert max(waiting) < 50
