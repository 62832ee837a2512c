"""From a recipe to a registered version: the stages in their order, each of which is done once."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from training.data.digest import digests, hash_named
from training.data.split import require, require_measurable
from training.recipe.block import RecipeError, all_of, nearest
from training.recipe.recipe import Recipe, read
from training.stage import ROWS, Stage, Work, as_json
from training.tasks.open import open_task


def _with_files(recipe: Recipe, block: Any) -> Any:
    """The block with what is in the files that it names; None where the recipe has no such block."""
    return None if block is None else (block, hash_named(as_json(block), recipe.folder))


def _columns(recipe: Recipe) -> Any:
    """Which columns of the data are taken."""
    return sorted(open_task(recipe.task).columns), recipe.model.config.get("columns")


STAGES: Final = (
    Stage("data", "training.data", lambda r: (r.task, _columns(r), r.datasets, r.split, digests(r))),
    Stage("clean", "training.clean", lambda r: _with_files(r, r.clean), ("data",), checks="training.clean.check"),
    Stage(
        "augment",
        "training.augment",
        lambda r: _with_files(r, r.augment),
        reads=("data", "clean"),
        checks="training.augment.check",
    ),
    Stage(
        "profile",
        "training.profile",
        lambda r: r.profile and _with_files(r, (r.profile, r.task, r.model, r.peft, r.train)),
        reads=("data", "clean", "augment"),
    ),
    Stage(
        "train",
        "training.train",
        lambda r: _with_files(r, (r.task, r.model, r.peft, r.train, r.distributed)),
        reads=("data", "clean", "augment"),
        needs="validation",
        checks="training.train.check",
    ),
    Stage(
        "export",
        "training.export",
        lambda r: (r.name, r.task, r.export),
        reads=("data", "clean", "train"),
    ),
    Stage(
        "evaluate",
        "training.evaluate",
        lambda r: (r.task, r.evaluate.model_copy(update={"against": None})),
        reads=("data", "clean", "train", "export"),
        needs="test",
    ),
    Stage(
        "compare", "training.compare", lambda r: r.evaluate.against, ("data", "clean", "train", "export"), again=True
    ),
    Stage(
        "register",
        "training.register",
        lambda r: r.register_,
        reads=("data", "train", "export", "evaluate", "compare"),
        checks="training.register.check",
        again=True,
    ),
)


@dataclass(frozen=True)
class Step:
    """A stage of one recipe: the folder of its result, and those of the stages that it reads."""

    stage: Stage
    recipe: Recipe
    folder: Path
    inputs: Mapping[str, Path]
    needed: Mapping[str, str] = field(default_factory=dict)  # splits that steps after it can't do without: which step

    @property
    def name(self) -> str:
        return self.stage.name

    @property
    def done(self) -> bool:
        """Whether there is nothing left to do."""
        return self.stage.done(self.folder)

    def run(self, outcomes: Mapping[str, dict[str, Any]], say: Callable[[str], None]) -> dict[str, Any]:
        """Do it, unless it is done: what the report says of it. `outcomes` are those of the steps before."""
        read = {name: outcomes[name] for name in self.inputs}
        outcome = self.stage.run(Work(self.recipe, self.folder, self.inputs, read, say))
        if self.needed:
            require(outcome["rows"], outcome["labels"], self.needed, self.recipe.split)
            if labels := outcome["labels"]:
                from datasets import load_from_disk

                task = open_task(self.recipe.task)
                require_measurable(labels, self.needed, task)
                if len(labels["train"]) == 1:  # of which a classifier learns nothing: the task knows whether it is one
                    task.labels(load_from_disk(str(self.folder / ROWS)), self.recipe)
        return outcome


def plan(recipe: Recipe, folder: Path, until: str | None = None, stages: Sequence[Stage] = STAGES) -> list[Step]:
    """The steps, in their order: those that the recipe has, to `until`.

    A result is kept in `<folder>/<stage>/<fingerprint>`: change a block, and that stage and those that read its
    result run again, and no other. Raises RecipeError where the recipe has no stage `until`.
    """
    fingerprints: dict[str, str] = {}
    steps: dict[str, Step] = {}
    for stage in stages:
        if stage.block(recipe) is None:
            continue
        read = [name for name in stage.reads if name in steps]
        fingerprints[stage.name] = fingerprint = stage.fingerprint(recipe, {name: fingerprints[name] for name in read})
        inputs = {name: steps[name].folder for name in read}
        steps[stage.name] = Step(stage, recipe, folder / stage.name / fingerprint[:16], inputs)
        if stage.name == until:
            break
    if until is not None and until not in steps:
        raise RecipeError(f"the recipe has no stage {until!r}{nearest(until, steps)}")
    needed = {step.stage.needs: name for name, step in steps.items() if step.stage.needs is not None}
    return [replace(step, needed=needed) if name == "data" else step for name, step in steps.items()]


def check(steps: Sequence[Step]) -> None:
    """Raise RecipeError now for what would stop a later step after an hour, with a line for each."""
    all_of(*_looks([step.stage for step in steps if not step.done], steps[0].recipe))


def prepare(path: Path, folder: Path, until: str | None = None) -> tuple[Recipe, list[Step]]:
    """The recipe in a file, and its steps. Raises RecipeError with a line for everything that is wrong with it.

    What of the recipe can be read is looked at as well, so that not every mistake takes another run to be found.
    """
    recipe, wrong = read(path)
    steps: list[Step] = []
    stages: Sequence[Stage] = STAGES
    if recipe is not None:
        try:
            steps = plan(recipe, folder, until)
            stages = [step.stage for step in steps if not step.done]
        except RecipeError as error:
            wrong += str(error).splitlines()
        try:
            all_of(*_looks(stages, recipe))
        except RecipeError as error:
            wrong += str(error).splitlines()
        except ModuleNotFoundError:
            if not wrong:
                raise
    if recipe is None or wrong:
        raise RecipeError("\n".join(dict.fromkeys(wrong)))
    return recipe, steps


def _looks(stages: Sequence[Stage], recipe: Recipe) -> list[Callable[[], object]]:
    return [partial(_look, stage.checks, recipe) for stage in stages if stage.checks is not None]


def _look(module: str, recipe: Recipe) -> None:
    importlib.import_module(module).check(recipe)


class Done(NamedTuple):
    """What the stages of a recipe said of themselves, and their folders, by name."""

    outcomes: Mapping[str, dict[str, Any]]
    folders: Mapping[str, Path]


def run(recipe: Recipe, folder: Path, say: Callable[[str], None], until: str | None = None) -> Done:
    """Run what is not done yet."""
    steps = plan(recipe, folder, until)
    check(steps)
    outcomes: dict[str, dict[str, Any]] = {}
    for step in steps:
        say(f"{step.name}: {'done before' if step.done else step.folder}")
        outcomes[step.name] = step.run(outcomes, say)
    return Done(outcomes, {step.name: step.folder for step in steps})
