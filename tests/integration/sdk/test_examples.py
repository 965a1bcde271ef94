"""The examples and the three lines of the README as a user runs them: each a process against a real service."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"


def run(serving, *arguments, folder=ROOT, **environment):
    done = subprocess.run(
        [sys.executable, "-W", "ignore::ResourceWarning", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=400,
        cwd=folder,
        env=os.environ | {"DRAS_URL": serving.url} | environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_three_lines_of_the_readme_give_a_table(serving, done, study, tmp_path):
    readme = (ROOT / "README.md").read_text("utf-8")
    code = re.search(r"\*\*Python\*\*.*?```python\n(.*?)```", readme, re.DOTALL)[1]
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) == 3
    (tmp_path / "study").symlink_to(study)
    here = code.replace("http://127.0.0.1:8042", serving.url)
    name = ast.parse(code).body[-1].targets[0].id
    text = run(serving, "-c", f"{here}\n{name}.to_csv('out.csv', index=False)", folder=tmp_path)
    assert text == ""
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "out.csv", engine="python"), done.regions(), check_dtype=False
    )


def test_one_study_is_a_table(serving, done, study):
    text = run(serving, EXAMPLES / "regions.py", study)
    assert text.splitlines()[0].split() == ["Region", "Image", "LAA950", "Perc15", "Volume"]
    assert len(text.splitlines()) == len(done.regions()) + 1


def test_many_studies_are_one_table_with_the_code_of_what_was_refused(serving, done, study, tmp_path):
    (tmp_path / "note.txt").write_text("no image")
    run(serving, EXAMPLES / "batch.py", tmp_path / "out.csv", study, tmp_path / "note.txt")
    table = pd.read_csv(tmp_path / "out.csv")
    assert list(table[table.code.notna()].code) == ["NOT_DICOM"]
    assert len(table[table.study == str(study)]) == len(done.regions())


def test_the_nearest_study_is_found_in_each_region(serving, study, similar_study):
    text = run(serving, EXAMPLES / "similar.py", study, similar_study)
    found = re.findall(
        r"^(\w+): (\d+) compared, weights trained on [^\n]*phantoms[^\n]*\n  \d\.\d{4}  job ",
        text,
        re.MULTILINE,
    )
    assert [region for region, _ in found] == ["whole", "right_apical", "left_basal"]
    assert all(int(n_compared) > 0 for _, n_compared in found)


CELLS = """
import ast, os, pathlib, sys
text = pathlib.Path(sys.argv[1]).read_text()
names = {}
for cell in text.split("\\n# %%")[1:]:
    tree = ast.parse("#" + cell)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)
    if last is not None:
        value = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
        if value is not None:
            print("SHOWN", type(value).__name__, len(value._repr_html_()))
"""


def test_the_cells_of_a_notebook_show_themselves(serving, done, study):
    text = run(serving, "-c", CELLS, EXAMPLES / "notebook.py", STUDY=str(study))
    shown = re.findall(r"SHOWN (\w+) (\d+)", text)
    assert [kind for kind, _ in shown] == ["Job", "StudyResult", "Score", "Features", "DataFrame"]
    assert all(int(size) > 50 for _, size in shown)
    assert "succeeded_with_warnings  100%" in text


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_says_how_it_is_called(path):
    assert ast.get_docstring(ast.parse(path.read_text("utf-8")))
