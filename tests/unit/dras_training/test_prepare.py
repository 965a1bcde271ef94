"""A cohort with everything that goes wrong, prepared in processes as a user's is."""

import errno
import json
import os
import shutil
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pytest

from dras_model.imaging.phantom import noise_ct
from dras_model.imaging.phantom_dicom import write_series
from dras_model.preparing import prepare
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused, StudyRefused
from dras_training import prepare as preparing
from dras_training.cases import Case, list_cases
from dras_training.prepare import Summary, prepare_store
from dras_training.store import PatchStore


@pytest.fixture(scope="module")
def cohort(phantom_study, tmp_path_factory):
    """A good subject, the same under another name, one without lungs, one of damaged files, one of no image."""
    folder = tmp_path_factory.mktemp("cohort")
    shutil.copytree(phantom_study, folder / "a-good")
    shutil.copytree(phantom_study, folder / "b-again")
    write_series(noise_ct(), folder / "c-no-lungs")
    shutil.copytree(phantom_study, folder / "d-damaged")
    for path in (folder / "d-damaged").iterdir():
        os.truncate(path, 2000)
    (folder / "e-empty").mkdir()
    return folder


@pytest.fixture(scope="module")
def prepared(cohort, atlas, tmp_path_factory):
    cases = [*list_cases([cohort]), Case("a-good", cohort / "a-good")]
    place = tmp_path_factory.mktemp("prepared") / "store"
    heard = []
    summary = prepare_store(
        cases,
        PatchStore.create(place, atlas, slots=len(cases)),
        atlas,
        processes=1,
        heard=lambda *told: heard.append(told),
    )
    return place, cases, summary, heard


def test_what_cannot_be_used_is_recorded_with_its_code_and_stops_nobody(prepared):
    place, _, summary, _ = prepared
    assert summary == Summary(stored=1, refused=5, already=0)
    lines = [json.loads(line) for line in (place / "cases.jsonl").read_text().splitlines()]
    outcome = [(line["subject"], line["status"], line.get("code")) for line in lines]
    codes = {subject: code for subject, status, code in outcome if status == "refused"}
    assert ("a-good", "stored", None) in outcome
    assert ("a-good", "refused", "DUPLICATE_SUBJECT") in outcome
    assert codes["b-again"] == "DUPLICATE_SUBJECT"
    assert codes["c-no-lungs"] == "OUT_OF_SCOPE"
    assert codes["d-damaged"] in {"TRUNCATED", "MALFORMED", "NOT_DICOM"}
    assert codes["e-empty"] == "NOT_DICOM"
    assert all(line["sentence"].endswith(".") for line in lines if line["status"] == "refused")


def test_each_outcome_is_told_with_how_many_are_done(prepared):
    _, cases, _, heard = prepared
    assert [(done, total) for _, done, total in heard] == [(i + 1, len(cases)) for i in range(len(cases))]


def test_the_patches_are_those_that_serving_cuts(prepared, cohort, atlas):
    place, *_ = prepared
    served = prepare(cohort / "a-good", atlas=atlas).patches
    store = PatchStore.open(place, atlas)
    assert np.array_equal(store.read(range(581), [0])[0], served.hu)
    assert np.array_equal(store.valid[0], served.valid)


def test_called_again_it_does_nothing_twice(prepared, atlas, monkeypatch):
    place, cases, *_ = prepared
    monkeypatch.setattr(preparing, "_until_broken", lambda *_, **__: pytest.fail("a case was taken up again"))
    summary = prepare_store(cases, PatchStore.open(place, atlas), atlas, processes=1)
    assert summary == Summary(stored=0, refused=0, already=len(cases))


@pytest.fixture
def here(monkeypatch):
    """Run the cases in this process; a case may be given an exception instead."""
    outcomes = {}

    class Pool:
        def __init__(self, *_, **__):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def shutdown(self, **_):
            pass

        def submit(self, _, case, slot):
            outcome = outcomes[case.subject]
            return type(
                "Done", (), {"result": lambda _: _raised(outcome(slot) if callable(outcome) else outcome)}
            )()

    monkeypatch.setattr(preparing, "ProcessPoolExecutor", Pool)
    return outcomes


def _raised(outcome):
    if isinstance(outcome, BaseException) and not isinstance(outcome, StudyRefused):
        raise outcome
    return outcome


def _cut(name):
    return preparing._Cut(name * 64, np.ones(6, dtype=np.bool_))


def test_a_case_that_kills_its_process_is_found_and_the_others_are_kept(here, few_corners, tmp_path):
    store = PatchStore.create(tmp_path / "store", few_corners, slots=9)
    here.update({"1": _cut("1"), "2": BrokenProcessPool(), "3": _cut("3"), "4": _cut("4")})
    cases = [Case(name, tmp_path) for name in "1234"]
    assert prepare_store(cases, store, few_corners, processes=1) == Summary(3, 1, 0)
    (refused,) = [record for record in store.records if record.status == "refused"]
    assert (refused.subject, refused.code) == ("2", Code.CASE_CRASHED)


def test_a_full_disk_is_one_sentence_and_the_next_call_goes_on(here, few_corners, tmp_path):
    store = PatchStore.create(tmp_path / "store", few_corners, slots=9)
    here.update({"1": _cut("1"), "2": OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))})
    cases = [Case(name, tmp_path) for name in "12"]
    with pytest.raises(SetupRefused) as refused:
        prepare_store(cases, store, few_corners, processes=1)
    assert refused.value.code is Code.OUTPUT_NOT_WRITABLE
    assert "No space left" in str(refused.value)
    here["2"] = _cut("2")
    again = PatchStore.open(store.path, few_corners)
    assert prepare_store(cases, again, few_corners, processes=1) == Summary(1, 0, 1)
    assert [record.slot for record in again.stored] == [0, 1]


def test_a_refused_case_is_taken_up_again_where_that_is_asked_for(here, few_corners, tmp_path):
    store = PatchStore.create(tmp_path / "store", few_corners, slots=9)
    here["1"] = StudyRefused(Code.NOT_DICOM, n_files=0)
    cases = [Case("1", tmp_path)]
    assert prepare_store(cases, store, few_corners) == Summary(0, 1, 0)
    here["1"] = _cut("1")
    assert prepare_store(cases, store, few_corners) == Summary(0, 0, 1)
    assert prepare_store(cases, store, few_corners, again=True) == Summary(1, 0, 0)


def test_a_defect_met_by_one_case_is_recorded_as_one(few_corners, tmp_path, monkeypatch):
    def defect(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(preparing, "cut", defect)
    preparing._keep(PatchStore.create(tmp_path / "store", few_corners, slots=1), few_corners)
    found = preparing._cut(Case("x", tmp_path), 0)
    assert isinstance(found, StudyRefused)
    assert (found.code, found.fields["how"]) == (Code.CASE_CRASHED, "ZeroDivisionError while it was prepared")
