"""Triton's `config.pbtxt`, in protobuf's text format: read with protobuf's own parser, which comes with `onnx`.

The messages are built at run time from the table in triton_schema.py.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from storage.errors import InvalidArtifact
from storage.importers.triton_schema import ENUMS, MESSAGES

# Triton's own name, as errors quote it.
_PACKAGE: Final = "inference"
_Field: Final = descriptor_pb2.FieldDescriptorProto


def parse_config(text: str, source: str) -> Any:
    """The `ModelConfig` message in `text`. Raises InvalidArtifact, with line and column, where it can't be parsed."""
    try:
        return text_format.Parse(text, model_config()())
    except (text_format.ParseError, ValueError, RecursionError) as error:
        raise InvalidArtifact(f"{source} is not a Triton model configuration: {error}") from error


@cache
def model_config() -> Any:
    """The class of the message `ModelConfig`."""
    # As Triton's: a field at its type's zero is one that was not given, and messages know whether they were.
    file = descriptor_pb2.FileDescriptorProto(name="headrace_triton.proto", package=_PACKAGE, syntax="proto3")
    for name, values in ENUMS.items():
        enum = file.enum_type.add(name=name)
        for number, value in enumerate(values.split()):
            enum.value.add(name=value, number=number)
    for name, fields in MESSAGES.items():
        _describe(file.message_type.add(name=name), f".{_PACKAGE}.{name}", fields)
    # A pool of its own: Triton's own protos may be loaded in the same process.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.ModelConfig"))


def _describe(message: Any, where: str, fields: Sequence[str]) -> None:
    choices: list[str] = []
    for number, field in enumerate(fields, start=1):
        choice, _, rest = field.rpartition(" | ")
        name, kind = rest.split(": ")
        key, _, value = kind.rpartition(" > ")
        if key:
            kind = f"{name.title().replace('_', '')}Entry"
            entry = message.nested_type.add(name=kind)
            entry.options.map_entry = True
            _add_field(entry, 1, "key", key)
            _add_field(entry, 2, "value", value)
            added = _add_field(message, number, name, f"{where}.{kind}*")
        else:
            added = _add_field(message, number, name, kind)
        if choice:
            if choice not in choices:
                choices.append(choice)
                message.oneof_decl.add(name=choice)
            added.oneof_index = choices.index(choice)


def _add_field(message: Any, number: int, name: str, kind: str) -> Any:
    label = _Field.LABEL_REPEATED if kind.endswith("*") else _Field.LABEL_OPTIONAL
    kind = kind.removesuffix("*")
    added = message.field.add(name=name, number=number, label=label)
    if kind in ENUMS:
        added.type, added.type_name = _Field.TYPE_ENUM, f".{_PACKAGE}.{kind}"
    elif kind in MESSAGES or kind.startswith("."):
        added.type, added.type_name = _Field.TYPE_MESSAGE, kind if kind.startswith(".") else f".{_PACKAGE}.{kind}"
    else:
        added.type = _Field.Type.Value(f"TYPE_{kind.upper()}")
    return added
