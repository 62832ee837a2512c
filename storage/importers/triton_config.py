"""Triton's `config.pbtxt`, in protobuf's text format: the fields that we read, under the names and types Triton has.

The messages are described here and built at run time; protobuf comes with `onnx`. What a config says beyond them is
skipped. Their field numbers are ours, as the text format has only names.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from storage.errors import InvalidArtifact

_PACKAGE: Final = "headrace.triton"
_DATA_TYPES: Final = (
    "INVALID", "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64",
    "STRING", "BF16",
)  # fmt: skip
_KINDS: Final = ("KIND_AUTO", "KIND_GPU", "KIND_CPU", "KIND_MODEL")
_TENSOR: Final = ("name: string", "data_type: DataType", "dims: int64*", "reshape: Reshape")
_MESSAGES: Final[dict[str, Sequence[str]]] = {
    "Reshape": ("shape: int64*",),
    "Tensor": _TENSOR,
    "DynamicBatching": ("max_queue_delay_microseconds: uint64",),
    "InstanceGroup": ("kind: Kind", "count: int32"),
    "SequenceBatching": (),
    "ModelConfig": (
        "name: string",
        "platform: string",
        "backend: string",
        "max_batch_size: int32",
        "default_model_filename: string",
        "input: Tensor*",
        "output: Tensor*",
        "dynamic_batching: DynamicBatching",
        "instance_group: InstanceGroup*",
        "sequence_batching: SequenceBatching",
    ),
}


def parse_config(text: str, source: str) -> Any:
    """The `ModelConfig` message in `text`. Raises InvalidArtifact, with line and column, where it can't be parsed."""
    try:
        return text_format.Parse(text, _model_config()(), allow_unknown_field=True)
    except (text_format.ParseError, ValueError, RecursionError) as error:
        raise InvalidArtifact(f"{source} is not a Triton model configuration: {error}") from error


@cache
def _model_config() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="headrace_triton.proto", package=_PACKAGE, syntax="proto2")
    _add_enum(file.enum_type, "DataType", [f"TYPE_{name}" for name in _DATA_TYPES])
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        if name == "InstanceGroup":
            _add_enum(message.enum_type, "Kind", _KINDS)
        for number, field in enumerate(fields, start=1):
            _add_field(message, number, field)
    # A pool of its own: Triton's own protos may be loaded in the same process.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.ModelConfig"))


def _add_enum(enums: Any, name: str, values: Sequence[str]) -> None:
    enum = enums.add(name=name)
    for number, value in enumerate(values):
        enum.value.add(name=value, number=number)


def _add_field(message: Any, number: int, field: str) -> None:
    kinds = descriptor_pb2.FieldDescriptorProto
    name, kind = field.split(": ")
    label = kinds.LABEL_REPEATED if kind.endswith("*") else kinds.LABEL_OPTIONAL
    kind = kind.removesuffix("*")
    added = message.field.add(name=name, number=number, label=label)
    if kind in _MESSAGES:
        added.type, added.type_name = kinds.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
    elif kind == "DataType":
        added.type, added.type_name = kinds.TYPE_ENUM, f".{_PACKAGE}.DataType"
    elif kind == "Kind":
        added.type, added.type_name = kinds.TYPE_ENUM, f".{_PACKAGE}.InstanceGroup.Kind"
    else:
        added.type = kinds.Type.Value(f"TYPE_{kind.upper()}")
