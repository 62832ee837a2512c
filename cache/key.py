"""The key of a response: a digest of everything that determines the answer, and of nothing else."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from operator import attrgetter
from typing import Any, Final, Protocol

import orjson

# Changed with the encoding below, so that processes of two releases never take one another's keys for their own.
_ENCODING: Final = b"headrace-key-1"


class TensorLike(Protocol):
    """What the key has to know of an input: `data` is the bytes of its elements, `shape` their arrangement."""

    @property
    def name(self) -> str: ...
    @property
    def datatype(self) -> str: ...
    @property
    def shape(self) -> Sequence[int]: ...
    @property
    def data(self) -> bytes | memoryview: ...


_by_name = attrgetter("name")


def cache_key(
    tenant: str, digest: str, inputs: Sequence[TensorLike], outputs: Sequence[str], parameters: Mapping[str, Any]
) -> bytes:
    """16 bytes that two requests share where, and only where, one's answer is the other's.

    `tenant` is whose answers these are, `digest` the artifact's. The order of inputs and of parameters does
    not matter; that of outputs does, since they are answered in it. Raises TypeError where JSON cannot hold
    `parameters`.
    """
    if len(inputs) > 1:
        inputs = sorted(inputs, key=_by_name)
    # JSON delimits itself and names the length of every blob behind it: no two requests have the same bytes.
    head = [
        tenant,
        digest,
        [(tensor.name, tensor.datatype, tensor.shape, len(tensor.data)) for tensor in inputs],
        outputs,
        parameters,
    ]
    key = blake2b(orjson.dumps(head, option=orjson.OPT_SORT_KEYS), digest_size=16, person=_ENCODING)
    for tensor in inputs:
        key.update(tensor.data)
    return key.digest()
