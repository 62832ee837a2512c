"""The tensor datatypes of the Open Inference Protocol: their sizes, and how their elements stand in JSON."""

from typing import Final

# Bytes per element. BYTES is absent: each of its elements brings its own length.
SIZES: Final = {
    "BOOL": 1,
    "INT8": 1,
    "INT16": 2,
    "INT32": 4,
    "INT64": 8,
    "UINT8": 1,
    "UINT16": 2,
    "UINT32": 4,
    "UINT64": 8,
    "FP16": 2,
    "BF16": 2,
    "FP32": 4,
    "FP64": 8,
}

# The `array` typecode that packs a list of JSON numbers. FP16 and BF16 have none: they are sent as bytes only.
TYPECODES: Final = {
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "FP32": "f",
    "FP64": "d",
}

DATATYPES: Final = frozenset({*SIZES, "BYTES"})
