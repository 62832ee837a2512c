"""What `headrace train templates` says and writes."""

from pathlib import Path

from headrace.output import print_json, print_table


def list_templates(as_json: bool) -> None:
    """The tasks, each with the columns of its rows."""
    from training.tasks.open import TASKS

    if as_json:
        print_json([{"task": task.name, "about": task.about, "columns": dict(task.columns)} for task in TASKS])
    else:
        rows = ((task.name, task.about, ", ".join(task.columns)) for task in TASKS)
        print_table(("task", "about", "columns"), rows)


def show_template(name: str, as_json: bool) -> None:
    """The recipe of a task."""
    from training.templates.open import recipe_of

    recipe = recipe_of(name)
    if as_json:
        print_json({"task": name, "recipe": recipe})
    else:
        print(recipe, end="")


def write_template(name: str, folder: Path, as_json: bool) -> None:
    """The recipe and its rows in a folder."""
    from training.templates.open import write

    written = write(name, folder)
    if as_json:
        print_json({"recipe": str(written.recipe), "data": str(written.rows), "rows": written.count})
    else:
        print(f"{written.recipe}, and {written.count} rows in {written.rows}: headrace train {written.recipe}")
