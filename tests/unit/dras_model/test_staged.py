"""Three steps against the one run that they must equal; the run is the oracle."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from dras_model.choices import Choices
from dras_model.encoder.runtime import Encoder, limit_on
from dras_model.imaging.atlas import Atlas
from dras_model.pipeline import extract
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused, StudyRefused
from dras_model.results.study import Stage, StudyResult
from dras_model.scores.scoring import ScoringChoices
from dras_model.staged import (
    ARRAYS,
    EMBEDDINGS,
    ENCODED,
    PATCHES,
    RESULT,
    DraftDamaged,
    encode_drafts,
    finish_draft,
    patches_of,
    prepare_draft,
)

CHOICES = Choices(scoring=ScoringChoices(phase="inspiration", reference_volume_ml=6000.0, harmonise=False))


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def in_one_go(phantom_study: Path, atlas: Atlas, encoder: Encoder, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("run") / "out"
    extract(phantom_study, out, atlas=atlas, encoder=encoder, choices=CHOICES)
    return out


@pytest.fixture(scope="module")
def told() -> list[list[Stage]]:
    return [[], []]


@pytest.fixture(scope="module")
def prepared(
    phantom_study: Path, atlas: Atlas, encoder: Encoder, told: list[list[Stage]], tmp_path_factory
) -> Path:
    draft = tmp_path_factory.mktemp("staged") / "draft"
    prepare_draft(
        phantom_study,
        draft,
        atlas=atlas,
        bundle=encoder.bundle,
        choices=CHOICES,
        report=lambda stage, _done: told[0].append(stage),
    )
    return draft


@pytest.fixture(scope="module")
def encoded(prepared: Path, encoder: Encoder, told: list[list[Stage]]) -> Path:
    folder = prepared.parent / "encoded"
    encode_drafts([prepared], [folder], encoder=encoder, report=lambda stage, _done: told[1].append(stage))
    return folder


@pytest.fixture
def finished(encoded: Path, tmp_path: Path) -> Path:
    finish_draft(encoded, tmp_path / "out")
    return tmp_path / "out"


def test_three_steps_write_the_files_of_one_run_byte_for_byte(in_one_go: Path, finished: Path) -> None:
    ours, theirs = files_of(finished), files_of(in_one_go)
    told, expected = json.loads(ours.pop("result.json")), json.loads(theirs.pop("result.json"))
    assert list(told.pop("timings")) == list(expected.pop("timings"))
    assert told == expected
    assert list(told) == list(expected)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name] != theirs[name]] == []


def test_what_was_asked_for_is_told_by_the_last_step(finished: Path) -> None:
    options = StudyResult.model_validate_json((finished / "result.json").read_bytes()).provenance.options
    assert (options["phase"], options["reference_volume_ml"], options["harmonise"]) == (
        "inspiration",
        6000.0,
        False,
    )


def test_the_steps_share_out_the_stages_of_a_run(
    encoded: Path, told: list[list[Stage]], tmp_path: Path
) -> None:
    last: list[Stage] = []
    finish_draft(encoded, tmp_path / "out", report=lambda stage, _done: last.append(stage))
    assert [list(dict.fromkeys(stages)) for stages in (*told, last)] == [
        [Stage.READ, Stage.LUNGS, Stage.REGISTRATION, Stage.PATCHES, Stage.SCORES],
        [Stage.ENCODE],
        [Stage.OUTPUTS],
    ]


def test_the_seconds_of_a_study_are_those_of_its_steps_together(prepared: Path, finished: Path) -> None:
    timings = json.loads((finished / "result.json").read_text())["timings"]
    before = json.loads((prepared / RESULT).read_text())["timings"]
    assert timings["read"] == before["read"]
    assert timings["outputs"] > before["outputs"] > 0
    seconds = [value for name, value in timings.items() if name not in ("total", "peak_rss_mb")]
    assert timings["total"] == pytest.approx(sum(seconds))


def another(prepared: Path, place: Path, *, rows: int, seed: int) -> Path:
    """A draft of another study: fewer rows of other patches."""
    shutil.copytree(prepared, place)
    patches = np.load(prepared / PATCHES)
    np.save(place / PATCHES, patches[np.random.default_rng(seed).permutation(len(patches))][:rows])
    with np.load(prepared / ARRAYS) as stored:
        arrays = dict(stored)
    few = {
        name: array[:rows] if array.shape[:1] == (len(patches),) else array for name, array in arrays.items()
    }
    np.savez(place / ARRAYS, **few)
    return place


def test_studies_encoded_together_get_what_each_gets_alone(
    prepared: Path, encoder: Encoder, tmp_path: Path
) -> None:
    drafts = [
        another(prepared, tmp_path / f"draft-{seed}", rows=rows, seed=seed)
        for seed, rows in enumerate((7, 61, 3))
    ]
    together = [tmp_path / f"together-{i}" for i in range(3)]
    encode_drafts(drafts, together, encoder=encoder)
    limit = limit_on(encoder.bundle, "cpu")
    for i, draft in enumerate(drafts):
        alone = tmp_path / f"alone-{i}"
        encode_drafts([draft], [alone], encoder=encoder)
        ours, theirs = (np.load(folder / EMBEDDINGS) for folder in (together[i], alone))
        assert ours.shape == (len(np.load(draft / PATCHES)), encoder.rep_dim)
        assert np.abs(ours - theirs).max() <= limit.max_difference


def test_a_batch_shares_its_seconds_out_by_patches(prepared: Path, encoder: Encoder, tmp_path: Path) -> None:
    drafts = [another(prepared, tmp_path / f"d{rows}", rows=rows, seed=rows) for rows in (10, 30)]
    folders = [tmp_path / "few", tmp_path / "many"]
    encode_drafts(drafts, folders, encoder=encoder)
    few, many = (json.loads((folder / ENCODED).read_text())["seconds"] for folder in folders)
    assert many == pytest.approx(3 * few)


def test_a_draft_keeps_its_patches_no_longer_than_they_are_needed(prepared: Path, encoded: Path) -> None:
    assert np.load(prepared / PATCHES).dtype == np.int16
    assert not (encoded / PATCHES).exists()


def test_a_draft_for_other_weights_of_the_same_name_is_refused(
    prepared: Path, encoder: Encoder, tmp_path: Path
) -> None:
    place = tmp_path / "draft"
    shutil.copytree(prepared, place)
    told = json.loads((place / RESULT).read_text())
    told["provenance"]["weights"]["bundle_sha256"] = "0" * 64
    (place / RESULT).write_text(json.dumps(told))
    with pytest.raises(SetupRefused) as refusal:
        patches_of(place, encoder.bundle)
    assert refusal.value.code is Code.BUNDLE_INVALID


@pytest.mark.parametrize("name", [RESULT, ARRAYS, PATCHES])
def test_a_draft_that_was_cut_short_is_said_to_be_damaged(
    prepared: Path, encoder: Encoder, tmp_path: Path, name: str
) -> None:
    place = tmp_path / "draft"
    shutil.copytree(prepared, place)
    content = (place / name).read_bytes()
    (place / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(DraftDamaged):
        patches_of(place, encoder.bundle)


@pytest.mark.parametrize("name", [RESULT, ENCODED, EMBEDDINGS])
def test_an_encoded_draft_that_was_cut_short_makes_no_result(
    encoded: Path, tmp_path: Path, name: str
) -> None:
    place = tmp_path / "draft"
    shutil.copytree(encoded, place)
    content = (place / name).read_bytes()
    (place / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(DraftDamaged):
        finish_draft(place, tmp_path / "out")


def test_a_study_that_is_refused_leaves_no_draft(atlas: Atlas, encoder: Encoder, tmp_path: Path) -> None:
    (tmp_path / "study").write_bytes(b"no image")
    with pytest.raises(StudyRefused):
        prepare_draft(tmp_path / "study", tmp_path / "draft", atlas=atlas, bundle=encoder.bundle)
    assert not (tmp_path / "draft").exists()
