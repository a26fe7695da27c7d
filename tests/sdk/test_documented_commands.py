"""Every command line of `worka` that the documentation shows is one that the command line takes."""

import re
import shlex
from pathlib import Path

import click
import pytest
import typer

from worka import cli

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINE = re.compile(
    r"(?:^\s*\.venv/bin/|`)worka ((?:runs|approvals|models|memories|connections|--)[^\n`#]*)", re.MULTILINE
)
SHOWN = [(page.name, line.strip()) for page in PAGES for line in LINE.findall(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize(("page", "line"), SHOWN, ids=[line[:40] for _, line in SHOWN])
def test_a_command_that_is_shown_can_be_given(page, line):
    root = typer.main.get_command(cli.app)
    words = shlex.split(line.replace("$PWD", "/x").replace("<id>", "id"))

    group = root.commands[words[0]]
    command = group.commands[words[1]]
    if len(words) > 2:
        command.make_context(words[1], words[2:], parent=click.Context(group))


def test_the_readme_shows_some():
    assert len([line for page, line in SHOWN if page == "README.md"]) >= 6
