"""`headrace train`: from a recipe to a registered version."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from headrace import options, watch_command
from headrace.errors import CommandError

if TYPE_CHECKING:
    from training.recipe.recipe import Recipe

RUN = "run"
GATE_FAILED = 3  # the exit status: all was done, and the version is not good enough


class RecipeOrCommand(TyperGroup):
    """What is none of the group's commands is a recipe to run: `headrace train recipe.yaml`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args = [RUN, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=RecipeOrCommand,
    help="Train, check and register a model: `headrace train RECIPE`, with the options of `headrace train run`.",
    subcommand_metavar="RECIPE | COMMAND [ARGS]...",
    no_args_is_help=True,
)
RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe, in YAML.")]


@app.command(RUN)
def run(
    recipe: RecipeFile,
    work: watch_command.WorkFolder = watch_command.WORK,
    until: Annotated[str | None, typer.Option(metavar="STAGE", help="The last stage to do; unless given, all.")] = None,
    as_json: options.Json = False,
) -> None:
    """Run a recipe's stages, each once: what was done before is kept, a killed run goes on where it was.

    The exit status is 3 where a gate of `register` did not hold, 1 where a stage failed.
    """
    with explain_training_errors():
        from headrace.training_run import run_recipe

        found = run_recipe(recipe, work, until, as_json)
    if as_json:
        from headrace.output import print_json

        print_json(found)
    if found["stages"].get("register", {}).get("outcome", {}).get("failed"):
        raise typer.Exit(GATE_FAILED)


@app.command()
def templates(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A task; unless given, all are listed.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="The recipe is written here, beside small rows to try it on.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """The tasks that a recipe can name, and the columns that their data need; a recipe for the task NAME."""
    with explain_training_errors():
        from headrace.train_templates import list_templates, show_template, write_template

        if name is None and out is not None:
            raise CommandError("--out needs the name of a template", "`headrace train templates` lists them")
        if name is None:
            list_templates(as_json)
        elif out is None:
            show_template(name, as_json)
        else:
            write_template(name, out, as_json)


@app.command()
def suspects(
    recipe: RecipeFile,
    out: Annotated[Path, typer.Option(help="Label Studio's tasks are written here; its interface, .xml, beside them.")],
    work: watch_command.WorkFolder = watch_command.WORK,
    limit: Annotated[int, typer.Option(min=1, help="At most so many rows.")] = 500,
    as_json: options.Json = False,
) -> None:
    """Write the rows whose labels deserve a person's look, the most suspect first, for Label Studio."""
    from headrace.output import print_json

    with explain_training_errors():
        from training.annotate.suspects import export

        found = export(open_recipe(recipe), work, out, limit)
    if as_json:
        print_json(found)
    else:
        print(
            f"{found['suspects']} of {found['rows']} rows look mislabelled: {found['tasks']}\n"
            f"labelling interface: {found['interface']}\n"
            f"afterwards: `annotations: answers.json` beside the data set's path in {recipe}"
        )


app.command("watch")(watch_command.watch)


def open_recipe(path: Path) -> "Recipe":
    """The recipe in a file. Raises CommandError with all that is wrong with it."""
    from training.recipe.recipe import load

    return load(path)


@contextmanager
def explain_training_errors() -> Iterator[None]:
    """What training raises for a user's eyes, as CommandError."""
    try:
        yield
        return
    except ModuleNotFoundError as error:
        raise CommandError(
            f"training needs the package {error.name}",
            "install it, with torch, in an environment of its own: pip install 'headrace[training]'",
        ) from error
    except Exception as error:
        from training.recipe.block import RecipeError
        from training.stage import Busy

        if isinstance(error, RecipeError | Busy):
            raise CommandError(str(error)) from error
        if isinstance(error, OSError) and error.errno is not None:  # a full disk, a folder that may not be written to
            where = f"{error.filename}: " if error.filename else ""
            raise CommandError(f"{where}{error.strerror}") from error
        raise
