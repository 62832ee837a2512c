"""The block of a recipe that says which rows are kept: by rules, by their quality, by how hard they are to predict."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from training.recipe.block import Block

Share = Annotated[float, Field(ge=0, le=1)]
Personal = Literal["email", "phone", "card", "iban", "ip"]
PERSONAL: tuple[Personal, ...] = ("email", "phone", "card", "iban", "ip")


class NearDuplicates(Block):
    """Rows of which `threshold` of the shingles are the same (Jaccard's index), and that differ in text alone.

    A shingle is `shingle` words or Chinese characters in a row; MinHash over `permutations` finds whom to compare.
    """

    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.8
    shingle: int = Field(3, ge=1, le=20)
    permutations: int = Field(128, ge=16, le=512)


class Length(Block):
    """How many characters the text of a row may have: `min` to `max`, white space at its ends aside."""

    min: int = Field(1, ge=0)
    max: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max is not None and self.max < self.min:
            raise ValueError(f"max: {self.max} is less than min, {self.min}")
        return self


class Language(Block):
    """Rows surely in none of the `allowed` languages (ISO 639-1) are dropped.

    `certainty` is the probability from which on the language found is believed: short texts are hard to tell.
    """

    allowed: tuple[Annotated[str, Field(pattern=r"^[a-z]{2,3}$")], ...] = Field(min_length=1)
    certainty: Share = 0.7


class Rules(Block):
    """What can be said of a row without a model that was trained for it; null turns a rule off.

    `mojibake`: `repair` drops what cannot be repaired, `drop` drops all. `personal_data` is masked, the row kept, in
    validation and test rows as well; phone numbers without a country's code are looked for in `phone_regions`.
    `conflicts` are rows with the same text and different labels, where a text has one: `drop` drops them all, `keep`
    counts them.
    """

    mojibake: Literal["repair", "drop"] | None = "repair"
    personal_data: tuple[Personal, ...] = PERSONAL
    phone_regions: tuple[Annotated[str, Field(pattern=r"^[A-Z]{2}$")], ...] = ("US", "CN")
    length: Length | None = Length()
    language: Language | None = None
    block_list: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    block_file: str | None = None  # one word or phrase a line
    duplicates: bool = True
    conflicts: Literal["drop", "keep"] = "drop"
    near_duplicates: NearDuplicates | None = NearDuplicates()


class Semantic(Block):
    """A classifier on a BERT whose weights stay as they are gives each row's quality, from 0 to 1.

    Its head is trained on `sample`, a CSV file with the columns `text` and `quality` (0 or 1). Rows below `threshold`
    are dropped. `model` is a folder, a name on the hub, or `package:<import name>/<path>`.
    """

    model: str
    revision: str | None = Field(None, min_length=1)  # of a model on the hub: a commit, a tag or a branch
    sample: str
    threshold: Share = 0.5
    max_length: int = Field(128, ge=8)  # in tokens; longer ones are cut
    batch_size: int = Field(32, ge=1)


Band = Literal["low", "medium", "high"]


class Hard(Block):
    """Keeps rows by how hard their text is to predict: the perplexity under a small language model.

    The rows are cut in three at the shares `quantiles`: low, medium, high; those in `keep` stay. Without a `model` (a
    folder, a name on the hub, `package:<import name>/<path>`) a tiny one is trained on the rows themselves, `folds`
    times, so that none scores a row that it was trained on.
    """

    keep: tuple[Band, ...] = Field(("low", "medium"), min_length=1)
    quantiles: tuple[Share, Share] = (0.05, 0.95)
    model: str | None = None
    revision: str | None = Field(None, min_length=1)  # of a model on the hub: a commit, a tag or a branch
    gguf_file: str | None = None  # of the model's folder
    folds: int = Field(2, ge=2, le=10)
    epochs: int = Field(2, ge=1)  # of the tiny one
    max_length: int = Field(256, ge=8)  # in tokens; longer ones are cut
    batch_size: int = Field(8, ge=1)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.quantiles[0] > self.quantiles[1]:
            raise ValueError(f"quantiles: {self.quantiles[0]} is above {self.quantiles[1]}")
        if self.gguf_file and self.model is None:
            raise ValueError("gguf_file: needs the 'model' in whose folder it lies")
        if self.revision and self.model is None:
            raise ValueError("revision: needs the 'model' on the hub whose revision it is")
        return self


class Clean(Block):
    """Three stages, in this order, over the training rows; in the other splits only personal data are masked.

    `columns` are those that hold text; unless given, all that a task of ours knows as such.
    """

    columns: tuple[str, ...] = ()
    rules: Rules | None = Rules()
    semantic: Semantic | None = None
    hard: Hard | None = None
