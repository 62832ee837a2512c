"""One line for an inference request: for every one that failed, and for a sample of those that went well."""

import logging
from collections.abc import Collection
from random import random
from typing import Any, Final

import orjson

from gateway.settings import GatewaySettings
from model_service.protocol.logs import FIELDS

log = logging.getLogger("headrace.requests")

WELL: Final = frozenset({"hit", "miss", "bypass"})  # an outcome is one of these, or an error's name
REDACTED: Final = "[redacted]"
# A longer body is not parsed for the sake of its first few bytes.
_PARSED_BYTES: Final = 64 * 1024


class RequestLog:
    """Whose lines cost nothing unless they are written."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._sample = settings.log_sample
        self._payload_bytes = settings.log_payload_bytes
        self._redacted = frozenset(name.lower() for name in settings.log_redact)

    def wants(self, outcome: str) -> bool:
        """Whether a request that ended so is to be written."""
        return outcome not in WELL or random() < self._sample

    def write(
        self,
        request_id: bytes,
        trace: str | None,
        protocol: str,
        model: str,
        version: str,
        outcome: str,
        seconds: float,
        body: bytes,
    ) -> None:
        """The line. Of the body only its length is told, unless the settings allow for more."""
        fields: dict[str, Any] = {
            "request_id": request_id.decode("latin-1"),
            "trace_id": trace,
            "protocol": protocol,
            "model": model,
            "version": version,
            "outcome": outcome,
            "ms": round(seconds * 1000, 3),
            "body_bytes": len(body),
        }
        if self._payload_bytes:
            fields["payload"] = excerpt(body, self._payload_bytes, self._redacted)
        log.log(logging.INFO if outcome in WELL else logging.WARNING, "request", extra={FIELDS: fields})


def excerpt(body: bytes, limit: int, redacted: Collection[str]) -> str | None:
    """The first `limit` bytes of a JSON body without the values of the fields `redacted`; None for any other body."""
    if len(body) > _PARSED_BYTES:
        return None
    try:
        text = orjson.dumps(_without(orjson.loads(body), redacted))
    except (orjson.JSONDecodeError, TypeError, RecursionError):
        return None
    return text[:limit].decode(errors="replace")


def _without(value: Any, redacted: Collection[str]) -> Any:
    if isinstance(value, dict):
        return {k: REDACTED if k.lower() in redacted else _without(v, redacted) for k, v in value.items()}
    if isinstance(value, list):
        return [_without(each, redacted) for each in value]
    return value
