import io

from rich.console import Console

from dras_cli.tables import print_inspection, print_result, scores_table
from dras_model.results.codes import Code
from dras_model.results.study import Candidate, Inspection, StudyWarning
from unit.dras_service.examples import study_result


def printed(show, shown):
    stream = io.StringIO()
    show(shown, console=Console(file=stream, width=200))
    return stream.getvalue()


def test_warnings_come_before_the_scores():
    text = printed(print_result, study_result())
    assert text.index("UNTRAINED_WEIGHTS") < text.index("LAA-950insp")
    assert text.index("Not for diagnosis") < text.index("UNTRAINED_WEIGHTS")


def scores_with_one_gap():
    whole, right, gap = study_result().scores
    return whole, right, gap, whole.model_copy(update={"code": "Perc15", "value": -900.0, "region": "right"})


def test_a_score_without_a_value_is_a_dash_with_its_reason():
    result = study_result()
    text = printed(print_result, result.model_copy(update={"scores": scores_with_one_gap()}))
    assert "–" in text
    assert "Perc15, whole: no value, no voxel" in text


def test_a_score_that_no_region_has_takes_no_column():
    assert [column.header for column in scores_table(study_result().scores).columns[1:]] == ["LAA-950insp\n%"]


def test_regions_are_rows_in_the_order_of_the_vocabulary_and_scores_columns():
    table = scores_table(tuple(reversed(scores_with_one_gap())))
    assert list(table.columns[0].cells) == ["whole", "right"]
    assert [column.header for column in table.columns[1:]] == ["Perc15\n%", "LAA-950insp\n%"]
    assert list(table.columns[2].cells) == ["12.50", "10.00"]


def test_harmonised_scores_stand_in_columns_of_their_own_beside_what_was_measured():
    whole = study_result().scores[0]
    mean = whole.model_copy(update={"code": "MLD", "unit": "HU", "value": -850.0})
    harmonised = whole.model_copy(update={"image": "harmonised", "value": 1.0})
    table = scores_table((whole, mean, harmonised))
    assert [column.header for column in table.columns[1:]] == [
        "LAA-950insp\n%",
        "LAA-950insp\nharmonised %",
        "MLD\nHU",
    ]
    assert [list(column.cells) for column in table.columns[1:]] == [["12.50"], ["1.00"], ["-850.0"]]


def test_what_the_raw_image_withholds_is_told_once():
    result = study_result()
    gap = result.scores[2]
    harmonised = gap.model_copy(update={"image": "harmonised"})
    text = printed(print_result, result.model_copy(update={"scores": (*result.scores, harmonised)}))
    assert text.count("no voxel") == 1
    alone = printed(print_result, result.model_copy(update={"scores": (*result.scores[:2], harmonised)}))
    assert "harmonised Perc15, whole: no value, no voxel" in alone


def test_a_reason_that_several_scores_share_is_one_line():
    result = study_result()
    gap = result.scores[2]
    other = gap.model_copy(update={"code": "MLD"})
    text = printed(print_result, result.model_copy(update={"scores": (*result.scores, other)}))
    assert text.count("no voxel") == 1
    assert "Perc15, MLD, whole: no value, no voxel" in text


def test_what_came_from_a_file_cannot_change_how_it_is_printed():
    result = study_result()
    candidate = Candidate(
        series_instance_uid="[red]1", modality="CT", n_images=1, chosen=True, reason="[/bold] why"
    )
    found = Inspection(
        series_instance_uid="1",
        candidates=(candidate,),
        acquisition=result.acquisition,
        geometry=result.geometry,
        warnings=(StudyWarning.of(Code.UNKNOWN_KERNEL, kernel="[blink]B70"),),
    )
    text = printed(print_inspection, found)
    assert "[red]1" in text
    assert "[/bold] why" in text
    assert "[blink]B70" in text
