"""`docs/codes.md`: every code with its sentence and its cure: `python -m dras_service.reference.codes`."""

import sys
from collections.abc import Iterator

from dras_model.results.codes import CODES, Kind
from dras_model.results.cures import CURES
from dras_service.api.problems import PROBLEMS
from dras_service.doctor.faults import FAULTS

_HEAD = """# Codes

Printed by `make docs` from the tables of codes; edit them there. A code keeps its name and its meaning for good.
What stands in braces is filled in with numbers and names, never with anything of the patient. Alerts and their
cures are in the [run-book](operations.md#alerts).
"""
_KINDS = {
    Kind.REFUSAL: "## Refusals\n\nThe study is refused: exit status 3, a job that ends as `rejected`.",
    Kind.WARNING: "## Warnings\n\nThe result is given, and says what may be wrong with it. "
    "[Scores](scores.md) says which warnings bear on which score.",
    Kind.SETUP: "## Set-up\n\nNothing is wrong with the study: exit status 4.",
}


def reference() -> str:
    """Return the page."""
    lines = [_HEAD]
    for kind, head in _KINDS.items():
        lines += [f"{head}\n\n| code | sentence | cure |\n|---|---|---|", *_of_a_study(kind), ""]
    lines += ["## HTTP", "", "Problem documents of the gateway (RFC 9457).", ""]
    lines += ["| code | status | what | sentence |", "|---|---|---|---|", *_of_the_interface(), ""]
    lines += ["## Doctor", "", "What `dras doctor` finds; advice leaves its exit status 0.", ""]
    lines += ["| code | sentence | cure |", "|---|---|---|", *_of_the_doctor(), "", "## At the start", ""]
    lines += [
        "A process of the service that does not start ends with status 4 and a sentence that names the variable,",
        "the file or the package and what to do about it",
        "([decision 0067](decisions/0067-who-does-not-start-says-why.md)).",
    ]
    return "\n".join(lines) + "\n"


def _of_a_study(kind: Kind) -> Iterator[str]:
    for code, entry in CODES.items():
        if entry.kind is kind:
            yield f"| `{code}` | {_cell(entry.sentence)} | {_cell(CURES[code])} |"


def _of_the_interface() -> Iterator[str]:
    for code, entry in PROBLEMS.items():
        yield f"| `{code}` | {entry.status} | {_cell(entry.title)} | {_cell(entry.detail)} |"


def _of_the_doctor() -> Iterator[str]:
    for code, entry in FAULTS.items():
        advice = " (advice)" if entry.is_advice else ""
        yield f"| `{code}`{advice} | {_cell(entry.sentence)} | {_cell(entry.cure)} |"


def _cell(sentence: str) -> str:
    return sentence.replace("|", "/")


if __name__ == "__main__":
    sys.stdout.write(reference())
