import re

import pytest

from dras_model.outputs.report.chart import draw_chart
from dras_model.outputs.report.normal_values import DEPARTURES, NORMAL_VALUES, departures
from dras_model.outputs.report.svg import FAINT
from dras_model.outputs.report.table import Values
from dras_model.outputs.stored import StoredResult
from dras_model.results.codes import CODES, Code, Kind
from dras_model.results.study import Region, StudyResult, StudyWarning
from unit.dras_model.outputs.report.printing import printed
from unit.dras_model.outputs.report.test_report import harmonised, warning

LABELS_MM, WIDTH_MM, RIGHT_MM = 27.0, 74.0, 3.0


@pytest.fixture
def fitting(told: StudyResult) -> StudyResult:
    """A scan without any doubt, with shares of low attenuation that are percentages."""
    scores = tuple(
        each.model_copy(update={"value": 0.5 + n / 10, "phase": "inspiration"})
        for n, each in enumerate(s for s in told.scores if s.code == "LAA-950insp")
    )
    return told.model_copy(update={"warnings": (), "scores": scores})


def test_every_value_names_people_and_source_and_lies_in_its_own_spread() -> None:
    for each in NORMAL_VALUES:
        assert re.search(r"\d+", each.people)
        assert re.search(r"et al\., .+ (19|20)\d\d;\d+", each.source)
        assert each.region is Region.WHOLE
        if each.low is not None and each.high is not None:
            assert each.low < each.middle < each.high


def test_a_scan_without_doubt_is_held_against_the_published_values(
    ready: StoredResult, fitting: StudyResult
) -> None:
    assert departures(fitting) == ()
    assert "meets the conditions of the published values" in printed(ready, fitting).text


@pytest.mark.parametrize("code", DEPARTURES)
def test_a_scan_of_another_technique_is_not_and_the_page_says_why(
    ready: StoredResult, fitting: StudyResult, code: Code
) -> None:
    doubtful = fitting.model_copy(update={"warnings": (warning(code, severe=False, words=""),)})
    assert departures(doubtful) == (DEPARTURES[code],)


def test_the_reason_is_on_the_page(ready: StoredResult, fitting: StudyResult) -> None:
    doubtful = fitting.model_copy(
        update={"warnings": (StudyWarning.of(Code.SHARP_KERNEL, kernel="B70f"), StudyWarning.of(Code.LOSSY))}
    )
    assert (
        "not comparable with the published values: sharp kernel, lossy compression."
        in printed(ready, doubtful).text
    )


def test_an_expiration_is_not_held_against_inspirations(fitting: StudyResult) -> None:
    scores = tuple(each.model_copy(update={"phase": "expiration"}) for each in fitting.scores)
    assert departures(fitting.model_copy(update={"scores": scores})) == ("expiration",)


def test_what_says_nothing_of_the_image_is_no_departure(fitting: StudyResult) -> None:
    quiet = (Code.UNTRAINED_WEIGHTS, Code.FILES_IGNORED, Code.NONSTANDARD_FILE, Code.REGISTRATION_SUSPECT)
    assert not set(quiet) & set(DEPARTURES)
    assert all(CODES[code].kind is Kind.WARNING for code in DEPARTURES)


def _chart(result: StudyResult, *, comparable: bool = True) -> str:
    return draw_chart(Values(result), comparable=comparable, width_mm=WIDTH_MM).svg


def test_bands_are_solid_only_where_scan_and_technique_are_known_to_fit(fitting: StudyResult) -> None:
    ranges = [each for each in NORMAL_VALUES if each.low is not None]
    known = [each for each in ranges if each.technique is not None]
    assert 0 < len(known) < len(ranges)
    solid = _chart(fitting).count('fill="#a9d3b8"')
    assert solid == len(known)
    assert _chart(fitting, comparable=False).count('fill="#a9d3b8"') == 0
    dashed = _chart(fitting, comparable=False).count("stroke-dasharray") - 1  # one in the key
    assert dashed == len(ranges)


def _percent(x: float, end: float) -> float:
    """What a place on the square-root axis stands for."""
    return end * ((x - LABELS_MM) / (WIDTH_MM - LABELS_MM - RIGHT_MM)) ** 2


def test_every_dot_lies_at_its_value(fitting: StudyResult) -> None:
    svg = _chart(harmonised(fitting, value=2.0))
    ticks = {words: float(x) for x, words in re.findall(r'<text x="(\S+)" y="\S+"[^>]*>([\d.]+)</text>', svg)}
    end = max(map(float, ticks))
    for words, x in ticks.items():
        assert _percent(x, end) == pytest.approx(float(words), abs=0.01 * end)
    dots = [_percent(float(x), end) for x in re.findall(r'<circle cx="(\S+)"', svg)][
        :-1
    ]  # the last is the key
    regions = Values(fitting).regions
    expected = [fitting.score("LAA-950insp", region).value for region in regions]
    assert dots == pytest.approx(expected, abs=0.004 * end)
    assert svg.count("<polygon") == len(regions) + 1


@pytest.mark.parametrize(("most", "end"), [(0.1, 10), (9.9, 10), (10.1, 25), (60.0, 100), (100.0, 100)])
def test_the_axis_holds_every_value_and_five_percent(fitting: StudyResult, most: float, end: int) -> None:
    scores = tuple(each.model_copy(update={"value": most}) for each in fitting.scores)
    svg = _chart(fitting.model_copy(update={"scores": scores}))
    ticks = [float(words) for words in re.findall(r">([\d.]+)</text>", svg)]
    assert max(ticks) == end
    assert all(float(x) <= WIDTH_MM - RIGHT_MM + 0.01 for x in re.findall(r'<circle cx="(\S+)"', svg))


def test_a_region_without_a_value_has_a_dash_and_no_dot(fitting: StudyResult) -> None:
    nothing = tuple(each.model_copy(update={"value": None, "reason": "why"}) for each in fitting.scores)
    svg = _chart(fitting.model_copy(update={"scores": nothing}))
    assert svg.count("<circle") == 1  # the key's
    assert svg.count(f'fill="{FAINT}" class="fill-faint">\N{EM DASH}<') == len(Values(fitting).regions)
