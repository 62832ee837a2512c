"""A graph's inputs and outputs as tensors of the protocol: those that are none are refused, with what to do."""

from typing import Final

from onnx import TensorProto, TensorShapeProto, ValueInfoProto

from storage.errors import InvalidArtifact
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
    TensorProto.FLOAT: "FP32",
    TensorProto.DOUBLE: "FP64",
    TensorProto.STRING: "BYTES",
}
# What to take in the place of types that cannot be served; FLOAT for the others.
_INSTEAD: Final[dict[int, str]] = {
    **dict.fromkeys((TensorProto.INT4, TensorProto.INT2), "INT8"),
    **dict.fromkeys((TensorProto.UINT4, TensorProto.UINT2), "UINT8"),
}


def spec_of(value: ValueInfoProto, kind: str) -> TensorSpec:
    """The `kind` of tensor, an input or an output, that the graph has by that name. Raises InvalidArtifact."""
    if (found := value.type.WhichOneof("value")) != "tensor_type":
        raise InvalidArtifact(_not_a_tensor(value, kind, found))
    tensor = value.type.tensor_type
    if (datatype := _DATATYPES.get(tensor.elem_type)) is None:
        known = tensor.elem_type in TensorProto.DataType.values()
        name = TensorProto.DataType.Name(tensor.elem_type) if known else f"type {tensor.elem_type}"
        instead, place = _INSTEAD.get(tensor.elem_type, "FLOAT"), "behind" if kind == "input" else "before"
        raise InvalidArtifact(
            f"the {kind} '{value.name}' is {name}, which cannot be served: export the graph with {instead} for it and a"
            f" Cast {place} it"
        )
    if not tensor.HasField("shape") and kind == "output":
        # Nobody can tell how many dimensions it has, which the description says; no answer is held against this.
        return TensorSpec(name=value.name, datatype=datatype, shape=(-1,))
    if not tensor.HasField("shape"):
        raise InvalidArtifact(
            f"the {kind} '{value.name}' has no shape: export the graph with one, as in"
            f""" make_tensor_value_info('{value.name}', ..., ["N", 4]), where dimensions of any size have names"""
        )
    shape = [_size(dim) for dim in tensor.shape.dim]
    return TensorSpec.model_validate({"name": value.name, "datatype": datatype, "shape": shape})


def _not_a_tensor(value: ValueInfoProto, kind: str, found: str | None) -> str:
    what = (found or "thing of no type").removesuffix("_type").replace("_", " ")
    if kind == "input":
        advice = "export the graph with one input for each tensor, and without those that may be left out"
    else:
        advice = "end the graph in one output for each tensor (of a sequence: SequenceAt, or ConcatFromSequence)"
    article = "an" if what[0] in "aeiou" else "a"
    return f"the {kind} '{value.name}' is {article} {what}, and only tensors are served: {advice}"


def _size(dim: TensorShapeProto.Dimension) -> int:
    return dim.dim_value if dim.WhichOneof("value") == "dim_value" and dim.dim_value >= 0 else -1
