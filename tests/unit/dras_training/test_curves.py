"""What the picture of a run shows, read from its SVG, whose words are left as words."""

import json

import matplotlib as mpl
import pytest

from dras_training.curves import draw_curves
from dras_training.logs import LOG


def drawn(folder, **of_neighbours):
    """Return the SVG of a run of two lines."""
    lines = [
        {
            "step": step,
            "total": 2,
            "epoch": 0.1 * step,
            "time": 60.0 * step,
            "learning_rate": 1e-3,
            "loss_local": 2.0,
            "accuracy_local": 0.2,
            "recognised": 0.2,
            "chance": 0.06,
        }
        | of_neighbours
        for step in (1, 2)
    ]
    (folder / LOG).write_text("".join(json.dumps(line) + "\n" for line in lines))
    with mpl.rc_context({"svg.fonttype": "none"}):
        draw_curves(folder, folder / "run.svg")
    return (folder / "run.svg").read_text()


@pytest.mark.parametrize(
    ("loss", "accuracy", "n_curves"),
    [(2.8, 0.1, 2), (2.8, 0.0, 2), (0.0, 0.0, 0)],
    ids=["learnt", "nothing learnt yet", "no neighbours"],
)
def test_neighbours_have_a_curve_in_both_panels_where_there_are_any(tmp_path, loss, accuracy, n_curves):
    svg = drawn(tmp_path, loss_neighbours=loss, accuracy_neighbours=accuracy)
    assert svg.count(">neighbouring<") == n_curves
    assert svg.count(">local<") == 2
