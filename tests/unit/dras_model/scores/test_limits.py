from pathlib import Path

import pytest

from dras_model.results.codes import Code
from dras_model.results.errors import SetupRefused
from dras_model.scores.limits import Limits, read_limits


def _file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "limits.toml"
    path.write_text(text, "utf-8")
    return path


def test_a_file_sets_the_limits_it_names_and_leaves_the_others(tmp_path: Path) -> None:
    found = read_limits(_file(tmp_path, "peel_mm = 15\nair_hu = [-1020.0, -980.0]\n"))
    assert found.peel_mm == 15.0
    assert found.air_hu == (-1020.0, -980.0)
    assert found.model_copy(update={"peel_mm": 10.0, "air_hu": (-1030.0, -970.0)}) == Limits()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("peel = 15\n", "peel"),
        ("peel_mm = 'deep'\n", "peel_mm"),
        ("peel_mm = -1\n", "peel_mm"),
        ("air_hu = [-1000.0]\n", "air_hu"),
        ("air_hu = [-900.0, -1000.0]\n", "air_hu"),
        ("noise_hu = nan\n", "noise_hu"),
        ("peel_mm = \n", "no TOML"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_the_limit_at_fault(
    tmp_path: Path, text: str, reason: str
) -> None:
    with pytest.raises(SetupRefused) as refused:
        read_limits(_file(tmp_path, text))
    assert refused.value.code is Code.LIMITS_INVALID
    assert reason in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupRefused, match=r"No such file"):
        read_limits(tmp_path / "none.toml")


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "limits.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SetupRefused, match="no text"):
        read_limits(path)


def test_every_limit_is_told_by_name_with_plain_values() -> None:
    told = Limits().parameters()
    assert {name.removeprefix("limits.") for name in told} == set(Limits.model_fields)
    assert told["limits.air_hu"] == "-1030 to -970"
    assert told["limits.peel_mm"] == 10.0


def test_every_limit_says_what_it_decides() -> None:
    assert all(field.description for field in Limits.model_fields.values())
