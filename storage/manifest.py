"""The manifest: what an artifact is, accepts and returns. Its digest is the artifact's identity."""

import hashlib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

import orjson
from pydantic import AfterValidator, ConfigDict, FailFast, Field, Strict, model_validator

from storage.model_name import check_name
from storage.nulls import NullIsAbsent
from wire.engines import ENGINES, engine_named
from wire.tasks.table import TASKS, task_named

# Else `true` and "8" would be numbers, and 1 would be true.
Whole = Annotated[int, Strict()]
Number = Annotated[float, Strict()]
Flag = Annotated[bool, Strict()]
# Of a list in which everything is wrong the first mistake is told: one for each of its thousands would take long.
Many = FailFast()
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Datatype = Literal[
    "BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64",
    "FP16", "BF16", "FP32", "FP64", "BYTES",
]  # fmt: skip
Side = Literal["left", "right"]
if TYPE_CHECKING:
    Task = str
    Runtime = str
else:
    Task = Literal[tuple(task.name for task in TASKS)]
    Runtime = Literal[tuple(engine.name for engine in ENGINES)]


def check_path(path: str) -> str:
    """`path`, if it stays inside the folder that it is relative to; ValueError otherwise."""
    parts = PurePosixPath(path).parts
    if not path or "\\" in path or "\0" in path or PurePosixPath(path).is_absolute() or ".." in parts:
        raise ValueError(f"{path!r} leaves the artifact's folder")
    if str(PurePosixPath(path)) != path or path == ".":
        raise ValueError(f"{path!r} is not a plain relative path")
    if any("\ud800" <= character <= "\udfff" for character in path):
        raise ValueError(f"{path!r} is not Unicode")  # but bytes that Python could not read as UTF-8
    return path


Path = Annotated[str, AfterValidator(check_path)]


class _Part(NullIsAbsent):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TensorSpec(_Part):
    """A tensor that a model takes or gives: `shape` has -1 where any size goes."""

    name: str
    datatype: Datatype
    shape: Annotated[tuple[Annotated[Whole, Field(ge=-1)], ...], Many]


class FileEntry(_Part):
    """One file of an artifact: where it stands in its folder, and what its bytes are."""

    path: Path
    sha256: Sha256
    size: Annotated[Whole, Field(ge=0)]


# TensorRT's own way to write shapes: `pixels:1x3x224x224,mask:1x224`.
Shapes = Annotated[str, Field(pattern=r"^[^:,]+:\d+(x\d+)*(,[^:,]+:\d+(x\d+)*)*$", max_length=4096)]


class TensorRT(_Part):
    """How TensorRT builds its engines: in half precision with `fp16`, and once for all shapes of a profile.

    A profile names the smallest, the usual and the largest shape of each of the graph's inputs that has open
    dimensions. Without one TensorRT builds anew whenever a request is outside of what came before.
    """

    fp16: Flag = False
    profile_min: Shapes | None = None
    profile_opt: Shapes | None = None
    profile_max: Shapes | None = None

    @model_validator(mode="after")
    def _whole_profile(self) -> Self:
        if len({shapes is None for shapes in (self.profile_min, self.profile_opt, self.profile_max)}) > 1:
            raise ValueError("a profile needs profile_min, profile_opt and profile_max")
        return self


class EngineSettings(_Part):
    """How ONNX Runtime runs the graph. `threads` 0 leaves the count to the worker's own setting."""

    providers: Annotated[tuple[Literal["cpu", "cuda", "tensorrt"], ...], Many] = ("cpu",)
    threads: Annotated[Whole, Field(ge=0, le=1024)] = 0
    graph_optimization: Literal["none", "basic", "extended", "all"] = "all"
    instances: Annotated[Whole, Field(ge=1, le=64)] = 1
    tensorrt: TensorRT | None = None


class Batching(_Part):
    """When rows run together.

    A batch takes at most `max_rows` rows and, for token models, `max_tokens` padded tokens (0: no limit). Where an
    instance of the engine is idle a batch leaves at once; while another one is busy, a batch that is not full is held
    for `max_delay_ms` at most. `max_rows` 1 means that rows are not known to be independent of each other, or that
    there is no dimension of rows: each request runs alone and whole, as it came, and each text by itself. A model that
    is not `batch_invariant` may answer a row differently beside different neighbours: by `tolerance` at most, where
    whoever made it knows a bound, and None where nobody does. `reason` tells people what `max_rows` stands on.
    """

    max_rows: Annotated[Whole, Field(ge=1, le=65536)] = 32
    max_tokens: Annotated[Whole, Field(ge=0)] = 1024
    max_delay_ms: Annotated[Number, Field(ge=0, le=10_000)] = 2.0
    max_queue_rows: Annotated[Whole, Field(ge=1)] = 2048
    batch_invariant: Flag = True
    tolerance: Annotated[Number, Field(ge=0)] | None = None
    reason: str = ""

    def alone(self, reason: str) -> Self:
        """The same, but that each request runs alone and whole, for this reason."""
        return self.model_copy(update={"max_rows": 1, "reason": reason})


class TextSettings(_Part):
    """What a text task does around its graph. `labels` are in the order of the graph's logits.

    `tokenizer_sections` stand in place of the tokenizer file's sections of those names. Texts are cut on their
    `truncation_side`, and padded on their `padding_side` with the token `pad_id` of the type `pad_type_id`; where one
    of these is None, as the tokenizer file has it. Positions, where the graph asks for them, count from
    `first_position`. `output` is the graph's output to read, None the one of the usual name.

    Of a sentence embedding: the text of `prompts` under the name that the request gives, or under `default_prompt`,
    goes before each text, and counts in the pooling unless `include_prompt` is false. Of the finished vectors the first
    `dimensions` numbers are answered, all where it is None. `similarity` is how two of them are compared.
    """

    tokenizer: Path = "tokenizer.json"
    tokenizer_sections: dict[str, Any] = Field(default_factory=dict)
    max_length: Annotated[Whole, Field(ge=2, le=1_000_000)] = 512
    truncation_side: Side | None = None
    padding_side: Side | None = None
    pad_id: Annotated[Whole, Field(ge=0)] | None = None
    pad_type_id: Annotated[Whole, Field(ge=0)] = 0
    first_position: Annotated[Whole, Field(ge=0)] = 0
    output: str | None = None
    pooling: Literal["mean", "cls", "none"] = "mean"
    normalize: Flag = True
    prompts: dict[str, str] = Field(default_factory=dict)
    default_prompt: str | None = None
    include_prompt: Flag = True
    dimensions: Annotated[Whole, Field(ge=1)] | None = None
    similarity: Literal["cosine", "dot", "euclidean", "manhattan"] = "cosine"
    labels: Annotated[tuple[str, ...], Many] = ()
    activation: Literal["softmax", "sigmoid"] = "softmax"

    @model_validator(mode="after")
    def _prompt_there(self) -> Self:
        if self.default_prompt is not None and self.default_prompt not in self.prompts:
            known = ", ".join(self.prompts) or "none"
            raise ValueError(f"default_prompt {self.default_prompt!r} is none of the prompts; there are: {known}")
        return self


# What an artifact's text section had from the first: the others count in its digest only where they say something.
_FIRST_TEXT: Final = frozenset(("tokenizer", "max_length", "pooling", "normalize", "labels", "activation"))


class Variant(_Part):
    """A graph for the same answers, such as a quantised one, with what it needs in place of the manifest's own."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
    model: Path
    golden: Path | None = None
    engine: EngineSettings = EngineSettings()
    batching: Batching = Batching()


class Manifest(_Part):
    """Everything that determines what an artifact answers, and what a worker needs to run it.

    `inputs` and `outputs` are the public tensors, as clients see them; the engine reads the graph's own from the graph.
    `golden` names a file of requests and expected answers that a worker must reproduce before it says ready.
    Answers are cached for `cache_ttl_s` seconds; `cache_reason` tells people why that must be 0, where it must.
    `variants` are the graphs that were made from the same weights: the one that is run, whose `model` is the
    manifest's, and those that could be run in its place.
    """

    format: Literal[1] = 1
    name: Annotated[str, AfterValidator(check_name)]
    task: Task = "tensors"
    runtime: Runtime = "onnx"
    model: Path
    inputs: Annotated[tuple[TensorSpec, ...], Field(min_length=1), Many]
    outputs: Annotated[tuple[TensorSpec, ...], Field(min_length=1), Many]
    files: Annotated[tuple[FileEntry, ...], Field(min_length=1), Many]
    engine: EngineSettings = EngineSettings()
    batching: Batching = Batching()
    text: TextSettings | None = None
    cache_ttl_s: Annotated[Whole, Field(ge=0)] = 3600
    cache_reason: str = ""
    golden: Path | None = None
    variants: Annotated[tuple[Variant, ...], Many] = ()
    description: str = ""
    metrics: dict[str, Number] = Field(default_factory=dict)
    provenance: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        paths = [file.path for file in self.files]
        if len(set(paths)) != len(paths):
            raise ValueError("two files have the same path")
        folders = {str(folder) for path in paths for folder in PurePosixPath(path).parents}
        if clashing := folders.intersection(paths):
            raise ValueError(f"{min(clashing)!r} is a file and a folder at once")
        needed = [self.model, self.golden, self.text.tokenizer if self.text else None]
        needed += [path for variant in self.variants for path in (variant.model, variant.golden)]
        if missing := [path for path in needed if path and path not in paths]:
            raise ValueError(f"not among the files: {', '.join(missing)}")
        runs = engine_named(self.runtime)
        if not self.model.endswith(runs.suffix):
            raise ValueError(
                f"the model {self.model!r} is not an {runs.suffix} file: {runs.title} goes by the name's ending"
            )
        if self.variants and self.model not in [variant.model for variant in self.variants]:
            raise ValueError(f"the model {self.model!r} is none of the variants")
        if len({variant.name for variant in self.variants}) != len(self.variants):
            raise ValueError("two variants have the same name")
        for engine in (self.engine, *(variant.engine for variant in self.variants)):
            if engine.tensorrt is not None and "tensorrt" not in engine.providers:
                raise ValueError("engine.tensorrt is set, but engine.providers does not name 'tensorrt'")
        if task_named(self.task).takes_text and self.text is None:
            raise ValueError(f"the task {self.task} needs the section 'text'")
        return self

    def alone(self, reason: str) -> Self:
        """The same, but that each request runs alone and whole, for this reason."""
        return self.model_copy(update={"batching": self.batching.alone(reason)})

    @property
    def digest(self) -> str:
        """sha256 of the manifest's canonical JSON, which names every file by its own sha256: 64 hex digits."""
        fields = self.model_dump(mode="json")
        # What is not set is left out, so that artifacts keep the digest that they had before there was such a thing.
        for engine in (fields["engine"], *(variant["engine"] for variant in fields["variants"])):
            if engine["tensorrt"] is None:
                del engine["tensorrt"]
        for section in (fields, *fields["variants"]):
            del section["batching"]["reason"]  # told to people; what it stands for is in the other fields
        del fields["cache_reason"]
        if not self.variants:
            del fields["variants"]
        if self.text is not None:
            told = self.text.model_dump(mode="json", exclude_defaults=True)
            fields["text"] = {key: value for key, value in fields["text"].items() if key in _FIRST_TEXT | told.keys()}
        canonical = orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(canonical).hexdigest()
