"""The user's table and the embeddings beside it: what is taken, what is refused with one sentence."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_training.downstream.outcomes import Table, read_outcome, read_table
from dras_training.downstream.people import read_people


def table(people, cells):
    return Table("t.csv", {"subject": list(people.names), "y": cells})


def test_people_without_an_outcome_are_left_out_and_the_order_of_the_table_does_not_matter(people):
    cells = {name: str(i / 7) for i, name in enumerate(people.names)}
    cells["p3"] = None
    names = sorted(cells)  # p0, p1, p10, ...
    found = read_outcome(Table("t", {"subject": names, "y": [cells[n] for n in names]}), people, "y")
    assert found.kind == "regression"
    assert found.people.names == tuple(name for name in people.names if name != "p3")
    assert found.values.tolist() == [float(cells[name]) for name in found.people.names]


def test_words_and_two_numbers_are_classes_and_whole_numbers_may_be(people):
    n = len(people)
    assert read_outcome(table(people, ["a", "b"] * (n // 2)), people, "y").classes == ("a", "b")
    assert read_outcome(table(people, ["0", "1"] * (n // 2)), people, "y").kind == "classification"
    grades = [str(i % 5) for i in range(n)]
    assert read_outcome(table(people, grades), people, "y").kind == "regression"
    assert read_outcome(table(people, grades), people, "y", kind="classification").classes == tuple("01234")


def test_csv_and_parquet_of_the_same_table_are_read_alike(tmp_path):
    (tmp_path / "t.csv").write_text("subject,y\na,1.5\nb,\n", "utf-8-sig")
    pq.write_table(pa.table({"subject": ["a", "b"], "y": [1.5, None]}), tmp_path / "t.parquet")
    for name in ("t.csv", "t.parquet"):
        found = read_table(tmp_path / name)
        assert found.columns == {"subject": ["a", "b"], "y": ["1.5", None]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("who,y\na,1\n", "no column subject"),
        ("subject,y\na,1\na,2\n", r"more than one row of a subject \(row 3"),
        ("subject,person,y\na,,1\nb,x,2\nc,,3\nd,x,4\n", r"more than one row of a person \(row 5"),
        ("", "no column subject"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path, text, said):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(SetupRefused, match=said) as refused:
        read_table(tmp_path / "t.csv")
    assert refused.value.code is Code.TABLE_INVALID


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["1.0"] * 90, "the same for all"),
        (["1.5"] * 5 + [None] * 85, "5 people"),
        (["a"] * 87 + ["b"] * 3, "the smallest has 3"),
        ([str(i) + "x" for i in range(90)], "90 classes"),
    ],
)
def test_an_outcome_that_cannot_be_fitted_is_refused(people, cells, said):
    kind = "regression" if cells[0] == "1.0" else None
    with pytest.raises(SetupRefused, match=said):
        read_outcome(table(people, cells), people, "y", kind=kind)


def test_people_are_written_and_read_to_the_bit(people, tmp_path):
    people.write(tmp_path / "people.npz")
    again = read_people([tmp_path / "people.npz"])
    assert (again.names, again.encoder) == (people.names, people.encoder)
    np.testing.assert_array_equal(again.embeddings, people.embeddings)
    np.testing.assert_array_equal(again.valid, people.valid)
    np.testing.assert_array_equal(again.corners, people.corners)


def test_embeddings_that_are_none_are_refused(tmp_path):
    (tmp_path / "people.npz").write_bytes(b"PK")
    with pytest.raises(SetupRefused) as refused:
        read_people([tmp_path / "people.npz"])
    assert refused.value.code is Code.COHORT_INVALID
