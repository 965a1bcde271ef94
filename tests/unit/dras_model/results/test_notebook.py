from html.parser import HTMLParser

from dras_model.results.codes import Code
from dras_model.results.study import StudyWarning
from unit.dras_service.examples import study_result


class Outline(HTMLParser):
    """Text by element; every element that is opened is closed."""

    def __init__(self, html):
        super().__init__()
        self.open, self.texts, self.tags = [], [], set()
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1], data))


def texts(html, tag):
    return [text for where, text in Outline(html).texts if where == tag]


def test_a_result_shows_its_notice_its_warnings_and_a_row_a_region():
    html = study_result()._repr_html_()
    assert texts(html, "b") == ["Research use only. Not for diagnosis."]
    assert texts(html, "code") == ["UNTRAINED_WEIGHTS"]
    assert texts(html, "th") == ["region", "LAA-950insp / %", "Perc15 / %"]
    assert texts(html, "td") == ["whole", "12.5", "–", "right", "10", "–"]


def test_severe_warnings_come_first():
    severe = StudyWarning.of(Code.UNTRAINED_WEIGHTS, severe=True, seed=1)
    mild = study_result().warnings[0]
    html = study_result().model_copy(update={"warnings": (mild, severe)})._repr_html_()
    assert [text for text in texts(html, "li") if "severe" in text] == [texts(html, "li")[0]]


def test_a_score_shows_its_value_or_the_reason_for_none():
    given, without = study_result().scores[0], study_result().scores[2]
    assert ": 12.5 % " in given._repr_html_()
    assert "no value, no voxel" in without._repr_html_()


def test_nothing_that_a_file_says_becomes_markup():
    result = study_result()
    weights = result.provenance.weights.model_copy(update={"training": "<script>alert(1)</script>"})
    provenance = result.provenance.model_copy(update={"weights": weights})
    assert "script" not in Outline(result.model_copy(update={"provenance": provenance})._repr_html_()).tags
