"""A stage of a recipe's way: what it reads, where it writes, and under which fingerprint its result is kept."""

import fcntl
import hashlib
import importlib
import importlib.util
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel

if TYPE_CHECKING:
    from training.recipe import Recipe

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
    uses: tuple[str, ...] = ()  # packages whose code its result depends on too
    needs: str | None = None  # the split of the rows that it can't do without
    checks: str | None = None  # a module whose `check(recipe)` finds, before anything runs, what could not work
    again: bool = False

    def fingerprint(self, recipe: "Recipe", inputs: Mapping[str, str]) -> str:
        """What its result depends on: its block, the results that it reads, its code. 64 hex digits."""
        parts = {"block": plain(self.block(recipe)), "inputs": dict(inputs), "code": self._code(), "seed": recipe.seed}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def run(self, work: Work) -> dict[str, Any]:
        """Do it, unless it is done: what the report says of it. Raises Busy where another run does it."""
        work.folder.mkdir(parents=True, exist_ok=True)
        file = work.folder / OUTCOME
        if self.done(work.folder):
            return _read(file)
        with _locked(work.folder):
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

    def _code(self) -> str:
        digest = hashlib.sha256()
        for package in (self.package, *self.uses):
            spec = importlib.util.find_spec(package)
            assert spec is not None, f"there is no package {package}"
            assert spec.origin is not None, f"{package} has no __init__.py"
            folder = Path(spec.origin).parent
            for path in sorted(folder.rglob("*.py")):
                digest.update(f"{package}/{path.relative_to(folder)}".encode() + b"\0" + path.read_bytes() + b"\0")
        return digest.hexdigest()


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
def _locked(folder: Path) -> Iterator[None]:
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


def plain(block: Any) -> Any:
    """A block, or several, as JSON knows them."""
    if isinstance(block, BaseModel):
        return block.model_dump(mode="json")
    if isinstance(block, tuple | list):
        return [plain(part) for part in block]
    if isinstance(block, dict):
        return {key: plain(value) for key, value in block.items()}
    return block
