"""Texts that are cut into tokens: as many for each as the longest of a batch has."""

from math import prod
from typing import Final

from storage.importers.rows.value import Call, NotFollowed

_KEEPING: Final = ("Flatten", "Identity", "Reshape")


def tokenise(call: Call) -> int:
    """One text a row: with several, where their tokens lie would depend on the longest text of the batch."""
    if call.at(0).axis != 0 or prod(call.at(0).shapes[0][1:]) != 1:
        raise NotFollowed("pads its texts to the longest of a batch")
    return 0


def padding_of(call: Call) -> bytes | None:
    """With what the node's outputs are padded to the longest of a batch; None where they are not.

    Raises NotFollowed where such an input goes to what may count or answer the padding: what counts the words of a
    vocabulary leaves out what is none of them.
    """
    if call.node.op_type == "Tokenizer":
        padding: bytes = call.attributes.get("pad_value", b"")
        return padding
    found = next((value.padding for value in call.inputs if value is not None and value.padding is not None), None)
    if found is None or (not call.domain and call.node.op_type in _KEEPING):
        return found
    if call.node.op_type == "TfIdfVectorizer" and found not in (call.attributes.get("pool_strings") or (found,)):
        return None
    raise NotFollowed("takes texts that are padded to the longest of a batch")
