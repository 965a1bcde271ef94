"""The tables of `docs/sdk.md`, printed from the code itself: `python -m dras_client.reference`."""

import inspect
import sys
from collections.abc import Iterator

from dras_client import Client, Job, errors
from dras_client.errors import DrasClientError, ProblemError, codes_of


def tables() -> str:
    """Return the tables of methods and errors."""
    lines = ["## `Client` and `AsyncClient`", "| method | |", "|---|---|", *_methods(Client)]
    lines += ["", "## `Job` and `AsyncJob`", "| method | |", "|---|---|", *_methods(Job)]
    lines += [
        "",
        "## Errors",
        "Below `DrasClientError`. What may pass is raised once `retry_for_s` is over.",
        "",
    ]
    lines += ["| error | when | codes of the service |", "|---|---|---|", *_errors(DrasClientError, 0)]
    return "\n".join(lines) + "\n"


def _methods(kind: type) -> Iterator[str]:
    for name, method in vars(kind).items():
        if inspect.isfunction(method) and not name.startswith("_"):
            names = [each for each in inspect.signature(method).parameters if each != "self"]
            yield f"| `{name}({', '.join(names)})` | {_sentence(method)} |"


def _errors(kind: type[DrasClientError], depth: int) -> Iterator[str]:
    for below in vars(errors).values():
        if isinstance(below, type) and issubclass(below, DrasClientError) and kind in below.__bases__:
            codes = codes_of(below) if issubclass(below, ProblemError) else ()
            told = " ".join(f"`{code.value}`" for code in codes)
            passes = " May pass." if below.may_pass else ""
            name = f"{'– ' * depth}`{below.__name__}`"
            yield f"| {name} | {_sentence(below)}{passes} | {told} |".replace("|  |", "| |")
            yield from _errors(below, depth + 1)


def _sentence(documented: object) -> str:
    """Return the first paragraph of a docstring."""
    first = (inspect.getdoc(documented) or "").partition("\n\n")[0]
    return " ".join(first.split())


if __name__ == "__main__":
    sys.stdout.write(tables())
