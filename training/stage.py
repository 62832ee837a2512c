"""A stage of a recipe's way: what it reads, where it writes, and under which fingerprint its result is kept."""

import fcntl
import hashlib
import importlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel

from training.code import digest_of

if TYPE_CHECKING:
    from datasets import DatasetDict

    from training.recipe.recipe import Recipe

OUTCOME: Final = "outcome.json"  # written last: a stage's folder with it is complete
ROWS: Final = "rows"  # a datasets.DatasetDict with the splits train, validation and test
_LOCK: Final = ".lock"
_TRIES: Final = 5


class Busy(Exception):
    """Another run works in a stage's folder."""


@dataclass(frozen=True)
class Work:
    """What a stage is given. `folder` is its own; after a kill it finds there what it had written."""

    recipe: "Recipe"
    folder: Path
    inputs: Mapping[str, Path]  # the folders of the stages before it that it reads, without those that were left out
    outcomes: Mapping[str, dict[str, Any]]  # what those returned
    say: Callable[[str], None]

    @property
    def rows(self) -> Path:
        """The rows as the last stage left them that changes rows."""
        return next(path / ROWS for path in reversed(list(self.inputs.values())) if (path / ROWS).is_dir())

    def write_rows(self, splits: "DatasetDict") -> None:
        """Write the rows as this stage leaves them."""
        shutil.rmtree(self.folder / ROWS, ignore_errors=True)  # of a run that was killed
        # A split without rows would be written in no file at all, which cannot be read back.
        shards = {name: None if len(rows) else 1 for name, rows in splits.items()}
        splits.save_to_disk(str(self.folder / ROWS), num_shards=shards)


@dataclass(frozen=True)
class Stage:
    """`package` holds the code: `package.run.run(work)` does it and returns what the report says of it, as JSON.

    `block` picks what of the recipe it obeys; None where the recipe leaves the stage out. A stage that speaks with
    others than this folder is done `again` in every run: what a registry holds, or serves, is not the recipe's to say.
    """

    name: str
    package: str
    block: Callable[["Recipe"], Any]
    reads: tuple[str, ...] = ()
    needs: str | None = None  # the split of the rows that it can't do without
    checks: str | None = None  # a module whose `check(recipe)` finds, before anything runs, what could not work
    again: bool = False

    def fingerprint(self, recipe: "Recipe", inputs: Mapping[str, str]) -> str:
        """What its result depends on: its block, the results that it reads, and all code of training that makes it.

        64 hex digits.
        """
        parts = {
            "block": as_json(self.block(recipe)),
            "inputs": dict(inputs),
            "code": digest_of(self.package),
            "seed": recipe.seed,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def run(self, work: Work) -> dict[str, Any]:
        """Do it, unless it is done: what the report says of it. Raises Busy where another run does it."""
        work.folder.mkdir(parents=True, exist_ok=True)
        file = work.folder / OUTCOME
        if self.done(work.folder):
            return _read(file)
        with _hold_lock(work.folder):
            if not self.done(work.folder):  # by a run that ended in between
                file.unlink(missing_ok=True)  # what was so the last time is not said of this one, should it fail
                outcome = importlib.import_module(f"{self.package}.run").run(work)
                partial = file.with_suffix(".partial")
                partial.write_text(json.dumps(outcome, indent=1, ensure_ascii=False))
                partial.replace(file)
            return _read(file)  # before another run begins it again

    def done(self, folder: Path) -> bool:
        """Whether there is nothing left to do in its folder."""
        return not self.again and done(folder)


def _read(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def done(folder: Path) -> bool:
    """Whether the stage whose folder this is was run to its end."""
    return (folder / OUTCOME).is_file()


def busy(folder: Path) -> bool:
    """Whether a run works in this folder at the moment."""
    try:
        with (folder / _LOCK).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@contextmanager
def _hold_lock(folder: Path) -> Iterator[None]:
    """Two runs of the same recipe must not write into the same folder. A killed run's lock goes with it."""
    with (folder / _LOCK).open("w") as file:
        for left in reversed(range(_TRIES)):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not left:
                    raise Busy(f"another run works in {folder}: wait for it, or stop it") from None
                time.sleep(0.05)  # somebody may only be looking whether it is busy
        yield


def as_json(block: Any) -> Any:
    """A block, or several, as JSON knows them."""
    if isinstance(block, BaseModel):
        return block.model_dump(mode="json")
    if isinstance(block, tuple | list):
        return [as_json(part) for part in block]
    if isinstance(block, dict):
        return {key: as_json(value) for key, value in block.items()}
    return block
