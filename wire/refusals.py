"""Inputs that have ended the process which computed them, and are refused for a while."""

from collections.abc import Mapping
from hashlib import blake2b
from operator import attrgetter
from time import monotonic
from typing import Any, Final

import orjson

from wire.errors import CrashingInput
from wire.messages import InferRequest

REFUSED_S: Final = 600.0
LIMIT: Final = 256  # inputs of one version; beyond, those that were refused first are forgotten


def fingerprint(request: InferRequest) -> str:
    """A hash that two requests share where, and only where, their inputs and parameters are the same."""
    inputs = sorted(request.inputs, key=attrgetter("name"))
    head = [[(tensor.name, tensor.datatype, tensor.shape, len(tensor.data)) for tensor in inputs], request.parameters]
    digest = blake2b(orjson.dumps(head, option=orjson.OPT_SORT_KEYS), digest_size=16)
    for tensor in inputs:
        digest.update(tensor.data)
    return digest.hexdigest()


class Refusals:
    """The refused inputs of one version. False while there are none, which is all that most requests check."""

    def __init__(self) -> None:
        self._refused: dict[str, tuple[str, float]] = {}  # why, and until when (monotonic seconds)

    def __len__(self) -> int:
        return len(self._refused)

    def check(self, request: InferRequest) -> None:
        """Raises CrashingInput where the request is refused."""
        if not self._refused or (found := self._refused.get(key := fingerprint(request))) is None:
            return
        reason, until = found
        if (left := until - monotonic()) <= 0:
            del self._refused[key]
            return
        raise CrashingInput(reason, retry_after=left)

    def add(self, key: str, reason: str, seconds: float = REFUSED_S) -> None:
        """Refuse the requests with that fingerprint from now on."""
        if key not in self._refused and len(self._refused) >= LIMIT:
            del self._refused[next(iter(self._refused))]
        self._refused[key] = reason, monotonic() + seconds

    def tell(self) -> dict[str, dict[str, Any]]:
        """What is refused, for other processes: see `learn`."""
        now = monotonic()
        self._refused = {key: (reason, until) for key, (reason, until) in self._refused.items() if until > now}
        return {
            key: {"reason": reason, "for_s": round(until - now, 1)} for key, (reason, until) in self._refused.items()
        }

    def learn(self, told: Mapping[str, Mapping[str, Any]]) -> None:
        """Refuse what another process refuses, for as long as it does."""
        for key, about in told.items():
            self.add(key, str(about["reason"]), float(about["for_s"]))
