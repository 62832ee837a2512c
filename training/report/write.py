"""The report of a run: what each stage found, in one HTML file and as Markdown."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.recipe import strict_yaml
from training.report import markdown, page
from training.report.content import Listing, Section, Text
from training.report.sections import augment, clean, data, evaluate, export, overview, profile, register, train

if TYPE_CHECKING:
    from training.recipe.recipe import Recipe


def render(
    folder: Path, recipe: "Recipe", outcomes: Mapping[str, dict[str, Any]], folders: Mapping[str, Path]
) -> tuple[Path, Path]:
    """Write `report.html` and `report.md` into `folder`: their paths.

    `outcomes` are what the stages returned that were run, `folders` where each of them left its files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    title = f"{recipe.name}: {recipe.task}"
    found = [
        Section("What for", [Text(recipe.description)]) if recipe.description else None,
        register.section(outcomes),
        evaluate.section(outcomes),
        data.section(outcomes),
        clean.section(outcomes),
        augment.section(outcomes),
        profile.section(outcomes),
        train.section(outcomes, folders),
        export.section(outcomes),
        overview.section(outcomes),
        Section("Recipe", [Listing(_yaml(recipe))]),
    ]
    present = [section for section in found if section is not None]
    return page.write(folder, title, present), markdown.write(folder, title, present)


def _yaml(recipe: "Recipe") -> str:
    given = recipe.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return strict_yaml.dump(given)
