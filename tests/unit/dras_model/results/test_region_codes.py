import pytest
from pydicom.sr.codedict import codes

from dras_model.results.region_codes import REGION_CODES
from dras_model.results.study import LOBES, Region

UNCODED = {Region.CORE, Region.PEEL, Region.VENTRAL, Region.DORSAL}
# pydicom carries the code tables of the standard.
KEYWORDS = {
    "Lung": codes.SCT.Lung,
    "Upper zone of lung": codes.SCT.UpperZoneOfLung,
    "Middle zone of lung": codes.SCT.MiddleZoneOfLung,
    "Lower zone of lung": codes.SCT.LowerZoneOfLung,
    "Upper lobe of lung": codes.SCT.UpperLobeOfLung,
    "Lower lobe of lung": codes.SCT.LowerLobeOfLung,
    "Middle lobe of right lung": codes.SCT.MiddleLobeOfRightLung,
    "Right": codes.SCT.Right,
    "Left": codes.SCT.Left,
    "Right and left": codes.SCT.RightAndLeft,
}


def test_every_code_is_the_standards_own() -> None:
    for region in REGION_CODES.values():
        for coded in (region.site, region.laterality):
            assert coded is not None
            assert coded.scheme == "SCT"
            known = KEYWORDS[coded.meaning]
            assert coded.value == known.value
            assert known.meaning.removesuffix(" (qualifier value)") == coded.meaning


@pytest.mark.parametrize("region", [region for region in Region if region not in UNCODED])
def test_lungs_lobes_and_zones_are_coded_with_their_side(region: Region) -> None:
    found = REGION_CODES[region]
    side = {"right": "Right", "left": "Left"}.get(region.value.split("_")[0], "Right and left")
    assert found.laterality.meaning == side
    assert ("lobe" in found.site.meaning) == (region in LOBES)


def test_what_has_no_code_is_not_given_one() -> None:
    assert not UNCODED & set(REGION_CODES)
