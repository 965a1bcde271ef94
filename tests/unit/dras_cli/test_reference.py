from pathlib import Path

import click

from dras_cli.reference import commands, reference

DOCUMENT = Path(__file__).parents[3] / "docs" / "command.md"


def test_the_document_is_what_the_commands_say_now():
    assert DOCUMENT.read_text("utf-8") == reference(), "run `make docs`"


def test_every_command_and_option_that_is_shown_is_in_it_and_has_a_sentence():
    parts = {part.partition("\n")[0]: part for part in reference().replace("\n### ", "\n## ").split("\n## ")}
    for name, command in commands():
        assert command.help, name
        for each in command.params:
            if isinstance(each, click.Option) and not each.hidden:
                assert any(f"{option}" in parts[name] for option in each.opts), (name, each.name)


def test_groups_are_opened_and_what_is_hidden_is_left_out():
    names = [name for name, _ in commands()]
    assert {"dras extract", "dras pacs listen", "dras train pretrain"} <= set(names)
    assert "dras demo" not in names
    assert len(names) == len(set(names))
