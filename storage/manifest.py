"""The manifest: what an artifact is, accepts and returns. Its digest is the artifact's identity."""

import hashlib
import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, model_validator

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
# Else `true` and "8" would be numbers, and 1 would be true.
Whole = Annotated[int, Strict()]
Number = Annotated[float, Strict()]
Flag = Annotated[bool, Strict()]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Datatype = Literal[
    "BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64",
    "FP16", "BF16", "FP32", "FP64", "BYTES",
]  # fmt: skip
Task = Literal["tensors", "tabular", "sentence-embedding", "text-classification", "token-classification"]


def check_name(name: str) -> str:
    """`name`, if it may name a model; ValueError otherwise."""
    if not NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is no model name: letters, digits, '.', '_' and '-', starting with one of the first two"
        )
    return name


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


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TensorSpec(_Part):
    """A tensor that a model takes or gives: `shape` has -1 where any size goes."""

    name: str
    datatype: Datatype
    shape: tuple[Annotated[Whole, Field(ge=-1)], ...]


class FileEntry(_Part):
    """One file of an artifact: where it stands in its folder, and what its bytes are."""

    path: Path
    sha256: Sha256
    size: Annotated[Whole, Field(ge=0)]


class EngineSettings(_Part):
    """How ONNX Runtime runs the graph. `threads` 0 leaves the count to the worker's own setting."""

    providers: tuple[Literal["cpu", "cuda", "tensorrt"], ...] = ("cpu",)
    threads: Annotated[Whole, Field(ge=0, le=1024)] = 0
    graph_optimization: Literal["none", "basic", "extended", "all"] = "all"
    instances: Annotated[Whole, Field(ge=1, le=64)] = 1


class Batching(_Part):
    """When rows run together.

    A batch takes at most `max_rows` rows and, for token models, `max_tokens` padded tokens (0: no limit). Where an
    instance of the engine is idle a batch leaves at once; while another one is busy, a batch that is not full is held
    for `max_delay_ms` at most. `max_rows` 1 means that the graph has no batch dimension: each request runs alone, as
    it came. A model that is not `batch_invariant` may answer a row differently beside different neighbours: by
    `tolerance` at most, where whoever made it knows a bound, and None where nobody does.
    """

    max_rows: Annotated[Whole, Field(ge=1, le=65536)] = 32
    max_tokens: Annotated[Whole, Field(ge=0)] = 1024
    max_delay_ms: Annotated[Number, Field(ge=0, le=10_000)] = 2.0
    max_queue_rows: Annotated[Whole, Field(ge=1)] = 2048
    batch_invariant: Flag = True
    tolerance: Annotated[Number, Field(ge=0)] | None = None


class TextSettings(_Part):
    """What a text task does around its graph. `labels` are in the order of the graph's logits."""

    tokenizer: Path = "tokenizer.json"
    max_length: Annotated[Whole, Field(ge=2, le=1_000_000)] = 512
    pooling: Literal["mean", "cls", "none"] = "mean"
    normalize: Flag = True
    labels: tuple[str, ...] = ()
    activation: Literal["softmax", "sigmoid"] = "softmax"


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
    `variants` are the graphs that were made from the same weights: the one that is run, whose `model` is the
    manifest's, and those that could be run in its place.
    """

    format: Literal[1] = 1
    name: Annotated[str, AfterValidator(check_name)]
    task: Task = "tensors"
    runtime: Literal["onnx"] = "onnx"
    model: Path
    inputs: Annotated[tuple[TensorSpec, ...], Field(min_length=1)]
    outputs: Annotated[tuple[TensorSpec, ...], Field(min_length=1)]
    files: Annotated[tuple[FileEntry, ...], Field(min_length=1)]
    engine: EngineSettings = EngineSettings()
    batching: Batching = Batching()
    text: TextSettings | None = None
    cache_ttl_s: Annotated[Whole, Field(ge=0)] = 3600
    golden: Path | None = None
    variants: tuple[Variant, ...] = ()
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
        if not self.model.endswith(".onnx"):
            raise ValueError(f"the model {self.model!r} is not an .onnx file: ONNX Runtime goes by the name's ending")
        if self.variants and self.model not in [variant.model for variant in self.variants]:
            raise ValueError(f"the model {self.model!r} is none of the variants")
        if len({variant.name for variant in self.variants}) != len(self.variants):
            raise ValueError("two variants have the same name")
        if self.task not in ("tensors", "tabular") and self.text is None:
            raise ValueError(f"the task {self.task} needs the section 'text'")
        return self

    @property
    def digest(self) -> str:
        """sha256 of the manifest's canonical JSON, which names every file by its own sha256: 64 hex digits."""
        fields = self.model_dump(mode="json")
        if not self.variants:
            del fields["variants"]  # so that artifacts keep the digest that they had before there were any
        canonical = orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(canonical).hexdigest()
