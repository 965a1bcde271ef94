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


def test_a_score_without_a_value_is_a_dash_with_its_reason():
    text = printed(print_result, study_result())
    assert "–" in text
    assert "Perc15, whole: no value, no voxel" in text


def test_regions_are_rows_in_the_order_of_the_vocabulary_and_scores_columns():
    table = scores_table(tuple(reversed(study_result().scores)))
    assert list(table.columns[0].cells) == ["whole", "right"]
    assert [column.header for column in table.columns[1:]] == ["Perc15\n%", "LAA-950insp\n%"]
    assert list(table.columns[2].cells) == ["12.50", "10.00"]


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
