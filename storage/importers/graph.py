"""What an ONNX graph says about itself. Its weights are not read, and nothing is run."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import onnx
from google.protobuf.message import DecodeError, Message
from onnx import ModelProto, NodeProto, TensorProto, TypeProto, ValueInfoProto, numpy_helper

from storage.errors import InvalidArtifact
from storage.importers.external_data import external_files, external_paths
from storage.importers.folder import Folder
from storage.manifest import TensorSpec

_DATATYPES: Final[dict[int, str]] = {
    TensorProto.BOOL: "BOOL",
    TensorProto.INT8: "INT8",
    TensorProto.INT16: "INT16",
    TensorProto.INT32: "INT32",
    TensorProto.INT64: "INT64",
    TensorProto.UINT8: "UINT8",
    TensorProto.UINT16: "UINT16",
    TensorProto.UINT32: "UINT32",
    TensorProto.UINT64: "UINT64",
    TensorProto.FLOAT16: "FP16",
    TensorProto.BFLOAT16: "BF16",
    TensorProto.FLOAT: "FP32",
    TensorProto.DOUBLE: "FP64",
    TensorProto.STRING: "BYTES",
}
_RANDOM: Final = frozenset(
    ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli", "Sampling")
)
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


@dataclass(frozen=True, slots=True)
class Graph:
    """The graph at `path` in an artifact, read from bytes of this `sha256`. `files` are its own and its weights'.

    `has_rows`: every tensor's first dimension may be of any size. `batchable`: and, as far as the graph says, it is the
    same size for all of them. `row_dependent`: a row's result depends on the others in its batch.
    """

    path: str
    sha256: str
    files: dict[str, Path]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    has_rows: bool
    batchable: bool
    random: bool
    row_dependent: bool

    def fields(self) -> dict[str, Any]:
        """What the graph alone tells of the manifest."""
        batching: dict[str, Any] = {}
        if not self.batchable:
            batching["max_rows"] = 1
        if self.row_dependent:
            batching["batch_invariant"] = False
        return {
            "model": self.path,
            "inputs": [spec.model_dump() for spec in self.inputs],
            "outputs": [spec.model_dump() for spec in self.outputs],
            "batching": batching,
            # Two answers to the same question differ, so neither may be handed out twice.
            **({"cache_ttl_s": 0} if self.random else {}),
        }


def read_graph(folder: Folder, path: str) -> Graph:
    """The graph in the folder's file `path`. Raises InvalidArtifact where it, or its external data, can't be served."""
    file, digest, model = _load(folder, path)
    initialised = {tensor.name for tensor in model.graph.initializer}
    initialised |= {tensor.values.name for tensor in model.graph.sparse_initializer}
    # Old graphs list their weights among their inputs.
    values = [value for value in model.graph.input if value.name not in initialised]
    inputs = tuple(_spec(value, "input") for value in values)
    outputs = tuple(_spec(value, "output") for value in model.graph.output)
    if not inputs or not outputs:
        raise InvalidArtifact(f"the graph in {path} has no {'outputs' if inputs else 'inputs'}")
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
        batchable=has_rows and len(_row_symbols([*values, *model.graph.output])) <= 1,
        random=any(node.op_type in _RANDOM for node in nodes) or _trains(nodes, tensors),
        row_dependent=any(node.op_type in _DYNAMICALLY_QUANTISED | _SUMMED_BY_BATCH for node in nodes),
    )


def external_data_of(folder: Folder, path: str) -> set[str]:
    """The files, relative to the folder, that the graph's weights lie in, whether they are there or not."""
    _, _, model = _load(folder, path)
    return external_paths(path, (message for message in _messages(model) if isinstance(message, TensorProto)))


def _load(folder: Folder, path: str) -> tuple[Path, str, ModelProto]:
    file = folder.require(path, "the model")
    content = file.read_bytes()
    try:
        return file, sha256(content).hexdigest(), onnx.load_model_from_string(content)
    except DecodeError as error:
        raise InvalidArtifact(f"{path} is not an ONNX model, or not all of it: {error}") from error


def _spec(value: ValueInfoProto, kind: str) -> TensorSpec:
    if (found := value.type.WhichOneof("value")) != "tensor_type":
        raise InvalidArtifact(_not_a_tensor(value, kind, found))
    tensor = value.type.tensor_type
    if (datatype := _DATATYPES.get(tensor.elem_type)) is None:
        known = tensor.elem_type in TensorProto.DataType.values()
        name = TensorProto.DataType.Name(tensor.elem_type) if known else f"type {tensor.elem_type}"
        raise InvalidArtifact(f"the {kind} '{value.name}' is {name}, which clients cannot send: cast it in the graph")
    if not tensor.HasField("shape"):
        raise InvalidArtifact(
            f"the {kind} '{value.name}' has no shape: write the graph anew with onnx.shape_inference.infer_shapes_path"
        )
    shape = [_size(dim) for dim in tensor.shape.dim]
    return TensorSpec.model_validate({"name": value.name, "datatype": datatype, "shape": shape})


def _not_a_tensor(value: ValueInfoProto, kind: str, found: str | None) -> str:
    if found in ("sequence_type", "map_type") and kind == "output":
        return (
            f"the output '{value.name}' is a {found.removesuffix('_type')}, not a tensor: where it comes from"
            " scikit-learn (ZipMap), convert with options={'zipmap': False}; otherwise end the graph in tensors"
        )
    return f"the {kind} '{value.name}' is a {(found or 'nothing').removesuffix('_type')}: only tensors are served"


def _size(dim: onnx.TensorShapeProto.Dimension) -> int:
    return dim.dim_value if dim.WhichOneof("value") == "dim_value" and dim.dim_value >= 0 else -1


def _row_symbols(values: Iterable[ValueInfoProto]) -> set[str]:
    names = (value.type.tensor_type.shape.dim[0].dim_param for value in values if value.type.tensor_type.shape.dim)
    return {name for name in names if name and not _ANONYMOUS.fullmatch(name)}


def _trains(nodes: list[NodeProto], tensors: list[TensorProto]) -> bool:
    """Whether a Dropout is not known to be switched off: by default it is, and its third input can switch it on."""
    switches = [node.input[2] for node in nodes if node.op_type == "Dropout" and len(node.input) > 2 and node.input[2]]
    if not switches:
        return False
    named = [(tensor.name, tensor) for tensor in tensors]
    for node in nodes:
        if node.op_type == "Constant":
            named += [(node.output[0], attribute.t) for attribute in node.attribute if attribute.name == "value"]
    # Two scopes may use one name: it is off where it is off in both.
    off = {name for name, _ in named} - {name for name, tensor in named if not _is_false(tensor)}
    return any(switch not in off for switch in switches)


def _is_false(tensor: TensorProto) -> bool:
    if tensor.data_type != TensorProto.BOOL or tensor.data_location == TensorProto.EXTERNAL:
        return False
    return not numpy_helper.to_array(tensor).any()


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
