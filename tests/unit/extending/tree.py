"""A copy of the source, to which a test adds something as CONTRIBUTING.md tells: in the files that its table names."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[3]
TOYS: Final = Path(__file__).parent / "toys"
_ROOMS: Final = ("cache", "docs", "gateway", "headrace", "model_service", "service", "storage", "training", "wire")
_PLACE: Final = re.compile(r"`([\w<>]+/[\w<>/]*(?:\.\w+)?)`")


@dataclass(frozen=True)
class Row:
    """Of the table: where something is written and registered, and where its tests are. `<name>` stands for any."""

    places: tuple[str, ...]
    tests: tuple[str, ...]


@cache
def read_table() -> dict[str, Row]:
    """CONTRIBUTING.md's, by what is to be added."""
    section = (ROOT / "CONTRIBUTING.md").read_text().partition("\n## To add something\n")[2].partition("\n## ")[0]
    lines = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return {
        what: Row(tuple(_PLACE.findall(f"{write} {register}")), tuple(_PLACE.findall(prove)))
        for what, write, register, prove in lines[1:]
    }


@dataclass
class Tree:
    """The copy, at `folder`: what Python imports there."""

    folder: Path

    def __post_init__(self) -> None:
        # With the times of files, so that bytecode stays good; what another process is just writing may be gone again.
        unfinished = shutil.ignore_patterns("*.pyc.*")
        for room in _ROOMS:
            shutil.copytree(ROOT / room, self.folder / room, ignore=unfinished)

    @property
    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(self.folder)}

    def python(self, *arguments: str, env: Mapping[str, str] | None = None) -> str:
        """What a program of the copy prints. Its folder is the copy's, as `-m` looks there first."""
        env = env or os.environ | self.environment
        done = subprocess.run([sys.executable, *arguments], cwd=self.folder, env=env, capture_output=True, text=True)
        assert done.returncode == 0, f"{arguments}:\n{done.stdout}\n{done.stderr}"
        return done.stdout


@dataclass(frozen=True)
class Toy:
    """What is added, as a person would: files that are written, and lines that are put before others into files."""

    what: str
    writes: tuple[str, ...]
    registers: tuple[tuple[str, str, str], ...]  # a file, what stands in it once, the lines that go before that

    @property
    def files(self) -> set[str]:
        """All that it touches."""
        return {*self.writes, *(path for path, *_ in self.registers)}

    def add_to(self, tree: Tree) -> None:
        for path in self.files:
            new = path in self.writes
            assert any(covers(place, path, new) for place in read_table()[self.what].places), (
                f"{self.what}: {path} is not in the table"
            )
        for path in self.writes:
            assert not (tree.folder / path).exists(), path
            shutil.copy(TOYS / path, tree.folder / path)
        for path, before, lines in self.registers:
            text = (tree.folder / path).read_text()
            assert text.count(before) == 1, f"{path} has {before!r} {text.count(before)} times"
            (tree.folder / path).write_text(text.replace(before, lines + before))


def covers(place: str, path: str, new: bool) -> bool:
    """Whether a place of the table is this file, or its folder. A file that is there is told by its own name."""
    if "<" in place.rpartition("/")[2] and not new:
        return False
    pattern = re.sub(r"<\w+>", "[a-z_-]+", place)
    return re.fullmatch(pattern + (r"[a-z_-]+\.\w+" if place.endswith("/") else ""), path) is not None


def find(place: str) -> Iterator[Path]:
    """The files and folders of the source that a place of the table stands for."""
    return ROOT.glob(re.sub(r"<\w+>", "*", place))
