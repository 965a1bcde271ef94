"""Every code block of the documents says what can be done: each command, option and key exists. Nothing is run."""

import importlib.util
import json
import os
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from documents.blocks import ROOT, Block, blocks
from dras_cli.main import cli
from dras_service.api.similarity import SimilarList
from dras_service.batch.job import BatchJob
from dras_service.pacs.configuration import Configuration

LANGUAGES = {"sh", "python", "toml", "json"}
WRAPPERS = (("docker", "compose", "exec"), ("sudo",), ("torchrun",))
MODELS = {"batch.md": BatchJob, "pacs.md": Configuration}
# What a part of a batch file stands beside.
AROUND = {"out": "results", "source": {"folder": "scans"}}
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


def commands(block: Block) -> Iterator[list[str]]:
    """The simple commands of a block as lists of words, without what sets variables and what writes files."""
    text = re.sub(r"<<(\w+)\n.*?^\1$", "", block.text, flags=re.DOTALL | re.MULTILINE).replace("\\\n", " ")
    for line in lines_of(text):
        words: list[str] = []
        for word in [*words_of(line), ";"]:
            if set(word) <= set(";&|<>"):
                if words:
                    yield words
                words = []
            elif words or not re.match(r"[A-Z_]+=", word):
                words.append(word)


def lines_of(text: str) -> Iterator[str]:
    """Lines as a shell reads them: one whose quotation is open goes on."""
    open_line = ""
    for line in text.splitlines():
        open_line += line + "\n"
        try:
            list(words_of(open_line))
        except ValueError:
            continue
        yield open_line
        open_line = ""
    assert not open_line, f"a quotation is not closed: {open_line}"


def words_of(line: str) -> shlex.shlex:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|<>")
    lexer.whitespace_split = True
    return lexer


def of_dras(words: list[str]) -> list[str] | None:
    """What follows `dras` or our module, wherever that is run; None for another program."""
    for name in ("dras", "dras_cli.main"):
        if name in words and (words[0] == name or any(words[: len(way)] == list(way) for way in WRAPPERS)):
            return words[words.index(name) + 1 :]
    return None


def parse(words: list[str]) -> None:
    """Parse with the command's own parser, nothing of it called. Raises click.UsageError."""
    command, context = cli, click.Context(cli, info_name="dras")
    while isinstance(command, click.Group):
        _, words, _ = command.make_parser(context).parse_args(list(words))
        name, found, words = command.resolve_command(context, words)
        assert found is not None
        command, context = found, click.Context(found, info_name=name, parent=context)
    given, left, _ = command.make_parser(context).parse_args(list(words))
    for parameter in command.params:
        value = given.get(parameter.name)
        is_given = isinstance(value, str | tuple | list) and value not in ((), [])
        assert is_given or not parameter.required or parameter.nargs == -1, f"{parameter.name} is missing"
        if is_given and isinstance(parameter.type, click.Choice | click.IntRange | click.FloatRange):
            for each in [value] if isinstance(value, str) else value:
                parameter.type.convert(each, parameter, context)
    if left:
        raise click.UsageError(f"{left} is left over")


@pytest.mark.parametrize("block", blocks("sh"), ids=str)
def test_every_command_of_a_document_is_one_with_its_options(block):
    for words in commands(block):
        if (ours := of_dras(words)) is not None:
            parse(ours)
        elif words[0] == "make":
            assert {word for word in words[1:] if "=" not in word} <= TARGETS
        elif words[:2] == ["python", "-m"]:
            assert importlib.util.find_spec(words[2]) is not None
        elif words[0].startswith("deploy/"):
            assert os.access(ROOT / words[0], os.X_OK)


@pytest.mark.parametrize(
    "wrong",
    [
        "frobnicate",
        "extract STUDY",
        "extract STUDY -o OUT --quick",
        "extract A B -o OUT",
        "extract A -o B --device tpu",
    ],
)
def test_a_command_that_there_is_not_is_found(wrong):
    with pytest.raises((click.UsageError, AssertionError)):
        parse(wrong.split())


def test_commands_are_found_behind_others_and_comments_are_left_out():
    block = Block(
        ROOT / "x.md",
        1,
        "sh",
        "A=1 make demo  # dras x\ncat <<E\ndras y\nE\na && sudo dras z; b | c\nd 'e\nf'\n",
        None,
    )
    assert list(commands(block)) == [
        ["make", "demo"],
        ["cat"],
        ["a"],
        ["sudo", "dras", "z"],
        ["b"],
        ["c"],
        ["d", "e\nf"],
    ]


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_every_file_of_a_document_is_taken(block):
    part = tomllib.loads(block.text)
    model = MODELS[block.page.name]
    model.model_validate(AROUND | part if model is BatchJob else part, context={"folder": Path("/")})


def test_every_answer_of_a_document_is_one_of_the_interface():
    (answer,) = blocks("json")
    shown = json.loads(answer.text)
    assert set(shown) == set(SimilarList.model_fields)
    SimilarList.model_validate(shown)


def test_every_program_of_a_document_is_run():
    assert [str(block) for block in blocks("python") if block.reason] == []


def test_every_block_says_its_language_and_every_marker_its_reason():
    assert [str(block) for block in blocks() if block.language not in LANGUAGES] == []
    assert [str(block) for block in blocks() if block.reason is not None and len(block.reason) < 8] == []
