"""Where a run is, as `headrace train` shows it: a bar in a terminal, a line now and then elsewhere."""

import io
import re
import threading
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from headrace.training_progress import Progress, print_regularly
from tests.training.data_stage import recipe
from tests.training.run_logs import write_step
from training.pipeline import plan
from training.train.monitor.log import LOG, RunLog


def test_the_bar_shows_the_figures_of_a_log_that_grows_and_reads_nothing_twice(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\nx,y\n")
    data, train = plan(recipe(tmp_path, datasets=[{"path": "a.csv"}]), tmp_path / "work", "train")
    progress = Progress([data, train])
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=160)
    with Live(console=console, get_renderable=progress.draw, auto_refresh=False) as live:

        def shown() -> str:
            screen.seek(0)
            screen.truncate()
            live.refresh()
            return Text.from_ansi(screen.getvalue()).plain

        progress.begin(data)
        progress.said = "40 of 40 rows"
        assert "━" in shown()
        assert all(words in shown() for words in ("data", "0/2", "40 of 40 rows"))
        progress.end(data, before=False)
        progress.begin(train)
        assert all(words in shown() for words in ("train", "1/2"))
        log = RunLog(train.folder / LOG)
        log.begin(0)
        log.write("begin", planned=40)
        assert all(words in shown() for words in ("0/40", "the first step is not done yet"))
        for number in range(1, 21):
            write_step(log, number)
        assert all(words in shown() for words in ("20/40", "loss 0.5, learning rate 0.1, 4 rows/s"))
        with (train.folder / LOG).open("r+b") as file:
            file.write(b" " * ((train.folder / LOG).stat().st_size - 1))
        write_step(log, 21, loss=0.25, samples=88)
        assert all(words in shown() for words in ("21/40", "loss 0.25, learning rate 0.1, 8 rows/s"))


class Heard(Console):
    """A console that is no terminal, and an event for its second line."""

    def __init__(self) -> None:
        super().__init__(file=io.StringIO(), width=40)
        self.lines: list[str] = []
        self.twice = threading.Event()

    def print(self, *objects: Any, **options: Any) -> None:
        self.lines.append(str(objects[0]))
        if len(self.lines) == 2:
            self.twice.set()


def test_where_nothing_is_drawn_a_line_says_again_and_again_where_a_run_is(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\nx,y\n")
    data, train = plan(recipe(tmp_path, datasets=[{"path": "a.csv"}]), tmp_path / "work", "train")
    log = RunLog(train.folder / LOG)
    log.begin(0)
    log.write("begin", planned=3)
    write_step(log, 1)
    progress, console = Progress([data, train]), Heard()
    assert progress.line() == ""
    progress.begin(data)
    progress.said = "2 of 3 rows"
    assert re.fullmatch(r"data: \d+ s, 2 of 3 rows", progress.line())
    progress.begin(train)
    with print_regularly(progress, console, 0.001):
        assert console.twice.wait(60)
    assert re.fullmatch(r"train: \d+ s, 1 of 3 steps, loss 0.5, learning rate 0.1.*", console.lines[0])
