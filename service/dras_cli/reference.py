"""`docs/command.md`, printed from the commands themselves: `python -m dras_cli.reference`."""

import inspect
import sys
from collections.abc import Iterator
from typing import Any

import click

from dras_cli.boundary import EXIT_CODES
from dras_cli.main import cli

_HEAD = """# The command

Printed by `make docs` from the commands themselves, which say the same with `--help`; edit them there.
"""


def commands() -> Iterator[tuple[str, click.Command]]:
    """Yield every command that is listed with its whole name, groups before what they hold."""
    yield from _below("dras", cli)


def reference() -> str:
    """Return the page."""
    lines = [_HEAD, "```text", inspect.cleandoc(EXIT_CODES.replace("\b", "")), "```", ""]
    for name, command in commands():
        lines += _section(name, command)
    return "\n".join(lines).rstrip() + "\n"


def _below(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield name, command
        return
    if name != "dras":
        yield name, command
    context = click.Context(command, info_name=name)
    for word in command.list_commands(context):
        inner = command.get_command(context, word)
        if inner is not None and not inner.hidden:
            yield from _below(f"{name} {word}", inner)


def _section(name: str, command: click.Command) -> Iterator[str]:
    yield f"{'##' if name.count(' ') == 1 else '###'} {name}"
    yield ""
    yield " ".join((command.help or "").replace("\b", "").split())
    yield ""
    if isinstance(command, click.Group):
        return
    context = click.Context(command, info_name=name)
    yield f"`{' '.join([name, *command.collect_usage_pieces(context)])}`"
    yield ""
    options = (
        each for each in command.params if isinstance(each, click.Option)
    )  # arguments are in the usage
    rows = [record for each in options if (record := each.get_help_record(context))]
    if rows:
        yield from ("| option | |", "|---|---|")
        yield from (f"| `{_cell(option)}` | {_cell(told)} |" for option, told in rows)
        yield ""


def _cell(text: Any) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(reference())
