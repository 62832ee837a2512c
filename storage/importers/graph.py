"""What an ONNX graph says about itself. Its weights are not read, and nothing is run."""

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import onnx
import onnx.shape_inference
from google.protobuf.message import DecodeError, Message
from onnx import ModelProto, NodeProto, TensorProto, TypeProto, ValueInfoProto

from storage.errors import InvalidArtifact
from storage.importers.batching import decide
from storage.importers.bfloat16 import beyond_cpus
from storage.importers.draws import find_draw
from storage.importers.external_data import external_files, external_paths
from storage.importers.folder import Folder
from storage.importers.rows import Shown, follow_rows
from storage.importers.sequences import Written, unwrap
from storage.importers.specs import spec_of
from storage.manifest import TensorSpec

# These take the scale of a whole batch from what is in it, so that a row's result depends on its neighbours.
_DYNAMICALLY_QUANTISED: Final = frozenset(
    (
        "DynamicQuantizeLinear",
        "DynamicQuantizeMatMul",
        "DynamicQuantizeLSTM",
        "MatMulInteger",
        "MatMulIntegerToFloat",
        "MatMulInteger16",
        "ConvInteger",
    )
)
# These are added up in an order that depends on how many rows there are.
_SUMMED_BY_BATCH: Final = frozenset(
    (
        "LinearClassifier",
        "LinearRegressor",
        "SVMClassifier",
        "SVMRegressor",
        "TreeEnsemble",
        "TreeEnsembleClassifier",
        "TreeEnsembleRegressor",
    )
)
# tf2onnx and ONNX Runtime number the dimensions that have no name.
_ANONYMOUS: Final = re.compile(r"unk__\d+")
# Since this version of ONNX's format a weight is an input only where it is meant to be overridden.
_DEFAULTS_ARE_MEANT: Final = 4


@dataclass(frozen=True, slots=True)
class Graph:
    """The graph at `path` in an artifact, read from bytes of this `sha256`. `files` are its own and its weights'.

    `has_rows`: every tensor's first dimension may be of any size. `rows`: whether each row is known to be answered by
    itself. `row_dependent`: even so, a row's result may vary a little with how many others are in its batch, or which.
    `random`: what in it draws at random, None where nothing does. `notes`: what people should know of it.
    `description`: of outputs that are not what the graph or their shape says. Where tensors are served in the place of
    something else, the file at `path` is one that was made, and is there as long as `made`.
    """

    path: str
    sha256: str
    files: dict[str, Path]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    has_rows: bool
    rows: Shown
    random: str | None
    row_dependent: bool
    notes: Sequence[str] = ()
    description: str = ""
    made: Written | None = None

    def fields(self) -> dict[str, Any]:
        """What the graph alone tells of the manifest."""
        return {
            "model": self.path,
            "inputs": [spec.model_dump() for spec in self.inputs],
            "outputs": [spec.model_dump() for spec in self.outputs],
            "batching": self.batching_fields({}),
            **self.cache_fields({}),
            **({"description": self.description} if self.description else {}),
        }

    def cache_fields(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """What the manifest says of caching whatever it was `told`. Raises InvalidArtifact where that is too much.

        Two answers to the same question differ where the graph draws at random, so neither may be handed out twice.
        """
        if self.random is None:
            return {}
        if told.get("cache_ttl_s"):
            raise InvalidArtifact(
                f"cache_ttl_s is {told['cache_ttl_s']}, but answers are never cached where {self.random}: leave it out"
            )
        return {"cache_ttl_s": 0, "cache_reason": self.random}

    def batching_fields(self, over: Mapping[str, Any], told: int | None = None) -> dict[str, Any]:
        """The manifest's section `batching` with `over` on top; `told` is a `max_rows` that somebody has set."""
        return decide({**({"batch_invariant": False} if self.row_dependent else {}), **over}, self.rows, told)


def read_graph(folder: Folder, path: str, *, unwrapped: bool = True) -> Graph:
    """The graph in the folder's file `path`; if `unwrapped`, written anew with tensors in the place of wrapped ones.

    Raises InvalidArtifact where it, or its external data, can't be served.
    """
    file, digest, model = _load(folder, path)
    made = None
    if wrapped := unwrap(model) if unwrapped else []:
        content = model.SerializeToString()
        made = Written(content)
        file, digest = made.path, sha256(content).hexdigest()
    initialised = {tensor.name for tensor in model.graph.initializer}
    initialised |= {tensor.values.name for tensor in model.graph.sparse_initializer}
    # Old graphs list their weights among their inputs.
    values = [value for value in model.graph.input if value.name not in initialised]
    inputs = tuple(spec_of(value, "input") for value in values)
    shaped = _with_shapes(model)
    outputs = tuple(spec_of(value, "output") for value in shaped)
    if not inputs or not outputs:
        raise InvalidArtifact(f"the graph in {path} has no {'outputs' if inputs else 'inputs'}")
    told = [*wrapped, *_unshaped(shaped)]
    has_rows = all(spec.shape[:1] == (-1,) for spec in (*inputs, *outputs))
    messages = list(_messages(model))
    nodes = [message for message in messages if isinstance(message, NodeProto)]
    tensors = [message for message in messages if isinstance(message, TensorProto)]
    return Graph(
        path=path,
        sha256=digest,
        files={path: file, **external_files(folder, path, tensors)},
        inputs=inputs,
        outputs=outputs,
        has_rows=has_rows,
        rows=_rows(model, (*inputs, *outputs), [*values, *shaped]),
        random=find_draw(nodes, tensors),
        row_dependent=any(node.op_type in _DYNAMICALLY_QUANTISED | _SUMMED_BY_BATCH for node in nodes),
        notes=[*told, *_defaults(model, initialised), *beyond_cpus(model, messages)],
        description="; ".join(told),
        made=made,
    )


def external_data_of(folder: Folder, path: str) -> set[str]:
    """The files, relative to the folder, that the graph's weights lie in, whether they are there or not."""
    _, _, model = _load(folder, path)
    return external_paths(path, (message for message in _messages(model) if isinstance(message, TensorProto)))


def _load(folder: Folder, path: str) -> tuple[Path, str, ModelProto]:
    file = folder.require(path, "the model")
    content = file.read_bytes()
    if not content:
        raise InvalidArtifact(f"{path} is empty: export the model anew, or fetch it again")
    try:
        return file, sha256(content).hexdigest(), onnx.load_model_from_string(content)
    except DecodeError as error:
        raise InvalidArtifact(f"{path} is not an ONNX model, or not all of it: {error}") from error


def _defaults(model: ModelProto, initialised: Container[str]) -> Iterator[str]:
    """A note on inputs that may be left out, as they have values. Old graphs list all their weights like that."""
    names = [value.name for value in model.graph.input if value.name in initialised]
    if names and model.ir_version >= _DEFAULTS_ARE_MEANT:
        shown = ", ".join(f"'{name}'" for name in names[:3]) + (f" and {len(names) - 3} more" if names[3:] else "")
        yield (
            f"no input of the version: {shown}, for which the graph has a value that nobody can change; where requests"
            " are to bring one, export the graph without its initializer"
        )


def _with_shapes(model: ModelProto) -> list[ValueInfoProto]:
    """The graph's outputs, with the shapes that can be inferred where it does not give them."""
    values = list(model.graph.output)
    if all(value.type.tensor_type.HasField("shape") for value in values):
        return values
    try:
        inferred = onnx.shape_inference.infer_shapes(model)
    except Exception:  # of more than 2 GB, or wrong in a way that the runtime will tell of
        return values
    found = {value.name: value for value in inferred.graph.output}
    return [found.get(value.name, value) for value in values]


def _unshaped(outputs: Iterable[ValueInfoProto]) -> list[str]:
    names = [f"'{value.name}'" for value in outputs if not value.type.tensor_type.HasField("shape")]
    return (
        [f"the shape of {', '.join(names)} is not known: [-1] stands for it, whatever the answer's is"] if names else []
    )


def _rows(model: ModelProto, specs: Iterable[TensorSpec], values: Iterable[ValueInfoProto]) -> Shown:
    for spec in specs:
        if spec.shape[:1] != (-1,):
            return Shown(f"'{spec.name}' has the shape {list(spec.shape)}, whose first dimension is not of any size")
    if len(symbols := _row_symbols(values)) > 1:
        return Shown(f"the first dimensions of its tensors have different names: {', '.join(sorted(symbols))}")
    return follow_rows(model)


def _row_symbols(values: Iterable[ValueInfoProto]) -> set[str]:
    names = (value.type.tensor_type.shape.dim[0].dim_param for value in values if value.type.tensor_type.shape.dim)
    return {name for name in names if name and not _ANONYMOUS.fullmatch(name)}


def _messages(message: Message) -> Iterator[Message]:
    """`message` and all that it is made of: graphs within nodes, functions, attributes. Tensors are not opened."""
    yield message
    if isinstance(message, TensorProto | TypeProto):
        return
    for _, value in message.ListFields():
        if isinstance(value, Message):
            yield from _messages(value)
        elif not isinstance(value, str | bytes | int | float) and len(value) and isinstance(value[0], Message):
            for part in value:
                yield from _messages(part)
