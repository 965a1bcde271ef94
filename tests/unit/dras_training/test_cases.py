import pytest

from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_training.cases import list_cases, phantom_cases
from dras_training.recipe import Phantoms


def test_a_cohort_s_folder_has_an_entry_a_subject(tmp_path):
    for name in ("b", "a/series", ".hidden"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("c.nii.gz", "d.zip", "notes.txt", "a/series/1.dcm"):
        (tmp_path / name).write_bytes(b"")
    cases = list_cases([tmp_path])
    assert [(case.subject, case.source.name) for case in cases] == [
        ("a", "a"),
        ("b", "b"),
        ("c", "c.nii.gz"),
        ("d", "d.zip"),
    ]


def test_a_folder_of_slices_is_one_subject(tmp_path):
    folder = tmp_path / "someone"
    folder.mkdir()
    for name in ("1.dcm", "2.dcm"):
        (folder / name).write_bytes(b"")
    assert [(case.subject, case.source) for case in list_cases([folder])] == [("someone", folder)]


def test_a_list_names_paths_beside_itself_and_what_it_wants_to_say_of_them(tmp_path):
    table = tmp_path / "cohort.csv"
    table.write_text("subject,path,series_uid,person\nA,x/a,1.2.3,\n,x/b.nii.gz,,somebody\n", "utf-8")
    plain = tmp_path / "more.txt"
    plain.write_text("# of the second site\n/elsewhere/c\n", "utf-8")
    cases = list_cases([table, plain])
    assert [(case.subject, str(case.source), case.series_uid, case.person) for case in cases] == [
        ("A", str(tmp_path / "x/a"), "1.2.3", None),
        ("b", str(tmp_path / "x/b.nii.gz"), None, "somebody"),
        ("c", "/elsewhere/c", None, None),
    ]


@pytest.mark.parametrize("content", ["", "subject,path\nA,\n", b"\xff\xfe\x00"])
def test_a_list_of_nothing_is_refused(tmp_path, content):
    table = tmp_path / "cohort.csv"
    table.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SetupRefused) as refused:
        list_cases([table])
    assert refused.value.code is Code.COHORT_INVALID


def test_a_cohort_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(SetupRefused, match="no such file"):
        list_cases([tmp_path / "nowhere"])


def test_phantoms_are_the_same_people_every_time_and_differ_from_each_other():
    cohort = Phantoms(count=40, seed=5)
    cases = phantom_cases(cohort)
    assert cases == phantom_cases(cohort)
    assert phantom_cases(Phantoms(count=2, seed=7)) == cases[2:4]
    specs = [case.source for case in cases]
    assert len({(spec.seed, spec.noise_hu) for spec in specs}) == 40
    healthy = sum(spec.emphysema.fraction == 0 for spec in specs)
    assert 2 <= healthy <= 20


def test_people_who_are_scanned_twice_are_two_cases_of_one_person_and_their_first_scans_stay_as_they_are():
    once, twice = phantom_cases(Phantoms(count=3, seed=5)), phantom_cases(Phantoms(count=3, scans=2, seed=5))
    assert [case.source for case in twice[:3]] == [case.source for case in once]
    assert [case.person for case in twice] == [case.subject for case in once] * 2
    assert len({case.subject for case in twice}) == 6
