"""What the pages show to type: each target, option and file of ours is there. Other tests run the how-to pages."""

import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from headrace.cli import app

ROOT = Path(__file__).parents[3]
HOWTO = sorted((ROOT / "docs" / "howto").glob("*.md"))
OTHERS = [ROOT / "README.md", *(page for page in sorted((ROOT / "docs").glob("*.md")) if page.stem != "modules")]
MAKEFILE = (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("page", HOWTO, ids=lambda page: page.stem)
def test_what_a_page_shows_to_type_exists(page: Path) -> None:
    assert [line for line in typed_in(page) if exists(line)]


@pytest.mark.parametrize("page", OTHERS, ids=lambda page: page.stem)
def test_so_it_does_on_other_pages(page: Path) -> None:
    for line in typed_in(page):
        if "[" not in line:  # what may be left out, and no command as it stands
            exists(line)


def typed_in(page: Path) -> list[str]:
    """Commands in blocks, and those in a line of text, which may go on in the next one."""
    text = page.read_text()
    inline = re.findall(r"`((?:make|headrace|docker\s+compose)\s[^`]*)`", text)
    return [line for block in blocks(page, "(?:sh)?") for line in commands(block)] + [
        " ".join(a.split()) for a in inline
    ]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def commands(block: str) -> list[str]:
    """Its lines as a shell takes them: those that end with a backslash go on."""
    return [line.strip() for line in block.replace("\\\n", " ").splitlines() if line.strip()]


def exists(line: str) -> bool:
    """Whether it is one of our commands. Fails where it is, and such a target, option or file is not there."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:  # in the middle of a quoted text
        return False
    match words:
        case ["make", target, *_]:
            assert re.search(rf"^{re.escape(target)}:", MAKEFILE, re.MULTILINE), line
        case ["headrace", *arguments]:
            parse(arguments, line)
        case ["docker" | "kubectl", *_] if paths := [word for word in words if word.startswith("deploy/")]:
            assert all((ROOT / path.partition("=")[0]).exists() for path in paths), line
        case [path, *_] if path.startswith("deploy/"):
            assert os.access(ROOT / path, os.X_OK), line
        case _:
            return False
    return True


def parse(arguments: list[str], line: str) -> None:
    """As the command does it, up to where it would begin."""
    command: Any = typer.main.get_command(app)
    context = command.context_class(command, info_name="headrace")
    try:
        while hasattr(command, "resolve_command"):
            command.parse_args(context, arguments)
            arguments = [*context._protected_args, *context.args]
            name, command, arguments = command.resolve_command(context, arguments)
            context = command.context_class(command, info_name=name, parent=context)
        command.parse_args(context, arguments)
    except Exception as error:  # typer has no name for what is wrong usage
        if not str(error).startswith("Missing parameter"):  # a text may name a command without what it takes
            pytest.fail(f"{line}: {error}")


@pytest.mark.parametrize(
    "line", ["make nothing", "headrace bench m --nothing", "headrace modls list", "deploy/nothing.sh"]
)
def test_what_does_not_exist_is_seen(line: str) -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        exists(line)
