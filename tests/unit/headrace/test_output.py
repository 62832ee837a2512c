"""What commands print, and where that fails."""

import os

import pytest
from rich.console import Console

from headrace.output import ignore_failures, print_table


def test_a_full_disk_or_a_reader_that_has_gone_ends_nothing() -> None:
    with open("/dev/full", "w", buffering=1) as full:
        console = Console(file=ignore_failures(full))
        console.print("a worker died")
        with console.status("stopping"):
            pass
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())  # or closing it would say what is left
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", buffering=1) as broken:
        Console(file=ignore_failures(broken)).print("a worker died")
        os.dup2(os.open(os.devnull, os.O_WRONLY), broken.fileno())


def test_a_row_is_one_line_where_the_output_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    long = "version 2 not loaded yet: " + "no room for it; " * 30
    print_table(("name", "state"), [("scaled", long), ("other", "ready")])
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["name", "state"]
    assert [row.rstrip() for row in rows] == [f"scaled  {long}".rstrip(), "other   ready"]
