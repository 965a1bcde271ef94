import json
from pathlib import Path

import pytest

from dras_model.choices import Choices, choices_of
from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_model.results.study import Provenance, WeightsProvenance
from dras_model.scores.limits import Limits
from dras_model.scores.scoring import ScoringChoices

WEIGHTS = WeightsProvenance(name="w", training="t", encoder_sha256="0", atlas="a", atlas_sha256="1")
SEGMENTER = "dras_model.imaging.lungs:find_lungs"


def _told(choices: Choices) -> Provenance:
    """The provenance of a run with these choices, once written and read."""
    provenance = Provenance(
        dras_version="1", libraries={}, device="cpu", input_sha256="2", weights=WEIGHTS,
        parameters=choices.parameters() | {"patch_least_inside": 0.95}, options=choices.options(),
    )  # fmt: skip
    return Provenance.model_validate(json.loads(provenance.model_dump_json()))


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    (tmp_path / "mask.nii.gz").write_bytes(b"labels")
    return tmp_path / "mask.nii.gz"


@pytest.mark.parametrize(
    "choices",
    [
        Choices(),
        Choices(series_uid="1.2.3", segmenter=SEGMENTER),
        Choices(scoring=ScoringChoices("expiration", 1 / 3 * 1e4, harmonise=False)),
        Choices(
            scoring=ScoringChoices(
                limits=Limits(peel_mm=1 / 3, air_hu=(-1001.123456789, -7e-9), least_clusters=7)
            )
        ),
    ],
    ids=["defaults", "series and segmenter", "scoring", "limits of many digits"],
)
def test_choices_are_had_back_from_a_provenance_to_the_last_bit(choices: Choices) -> None:
    assert choices_of(_told(choices)) == choices


def test_masks_are_given_again_and_are_told_by_their_digest_and_never_by_their_path(mask: Path) -> None:
    choices = Choices(lung_mask=mask, lung_labels=(50, 100), scoring=ScoringChoices(lobes=mask))
    assert choices_of(_told(choices), lung_mask=mask, lobes=mask) == choices
    assert str(mask.parent) not in _told(choices).model_dump_json()


@pytest.mark.parametrize("which", ["lung_mask", "lobes"])
def test_a_mask_that_is_missing_or_another_one_is_refused(which: str, mask: Path, tmp_path: Path) -> None:
    with_mask = (
        Choices(lung_mask=mask) if which == "lung_mask" else Choices(scoring=ScoringChoices(lobes=mask))
    )
    (tmp_path / "other").write_bytes(b"other")
    for provenance, given in ((_told(with_mask), None), (_told(with_mask), tmp_path / "other"),
                              (_told(Choices()), mask)):  # fmt: skip
        with pytest.raises(SetupRefused) as refused:
            choices_of(provenance, **{which: given})
        assert refused.value.code is Code.REPEAT_IMPOSSIBLE


def test_a_segmenter_whose_code_has_changed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_segmenter.py").write_text("def f(volume): ...\n")
    provenance = _told(Choices(segmenter="own_segmenter:f"))
    assert choices_of(provenance).segmenter == "own_segmenter:f"
    (tmp_path / "own_segmenter.py").write_text("def f(volume): return None\n")
    with pytest.raises(SetupRefused, match="not the code it was"):
        choices_of(provenance)


@pytest.mark.parametrize(
    "changed",
    [{"options": {}}, {"parameters": {"limits.of_the_future": 1.0}}, {"options": {"phase": "held"}}],
    ids=["schema 1.0", "a limit", "a phase"],
)
def test_what_this_version_does_not_know_is_refused(changed: dict[str, dict[str, object]]) -> None:
    told = _told(Choices())
    if changed.get("options"):
        changed = {"options": {**told.options, **changed["options"]}}
    with pytest.raises(SetupRefused) as refused:
        choices_of(told.model_copy(update=changed))
    assert refused.value.code is Code.REPEAT_IMPOSSIBLE
