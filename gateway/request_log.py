"""One line for an inference request: for a sample of those that went well, and for those that failed, as long as they
are not too many."""

import asyncio
import logging
from collections import Counter
from collections.abc import Collection
from random import random
from typing import Any, Final

import orjson

from gateway.request_record import GatewayRecord
from gateway.settings import GatewaySettings
from service.bodies import Body
from service.logs import FIELDS, REQUESTS
from service.rate import Rate

log = logging.getLogger(REQUESTS)

WELL: Final = frozenset({"hit", "miss", "bypass"})  # an outcome is one of these, or an error's name
REDACTED: Final = "[redacted]"
_TELL_S: Final = 1.0  # until it is told how many lines were left out
# A longer body is not parsed for the sake of its first few bytes.
_PARSED_BYTES: Final = 64 * 1024


class RequestLog:
    """Formats a line only where it is written."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._sample = settings.log_sample
        self._payload_bytes = settings.log_payload_bytes
        self._redacted = frozenset(name.lower() for name in settings.log_redact)
        self._failures_per_s = settings.log_failures_per_s
        self._rates: dict[str, Rate] = {}  # by outcome: a flood of one kind hides no other
        self._left_out: Counter[str] = Counter()

    def wants(self, outcome: str) -> bool:
        """Whether a request that ended so is to be written; where too many failed so, it is counted instead."""
        if outcome in WELL:
            return random() < self._sample
        rate = self._rates.get(outcome)
        if rate is None:
            rate = self._rates[outcome] = Rate(self._failures_per_s, max(1.0, self._failures_per_s))
        if rate.take():
            return True
        if not self._left_out:
            asyncio.get_running_loop().call_later(_TELL_S, self._tell)
        self._left_out[outcome] += 1
        return False

    def write(self, record: GatewayRecord, protocol: str, seconds: float) -> None:
        """The line. Of the body only its length is told, unless the settings allow for more."""
        fields: dict[str, Any] = {
            "request_id": record.request_id.decode("latin-1"),
            "trace_id": record.trace_id,
            "protocol": protocol,
            "model": record.model,
            "version": record.version,
            "outcome": record.outcome,
            "ms": round(seconds * 1000, 3),
            "body_bytes": record.body_bytes,
        }
        if self._payload_bytes:
            whole = len(record.body) == record.body_bytes
            fields["payload"] = excerpt(record.body, self._payload_bytes, self._redacted) if whole else None
        log.log(logging.INFO if record.outcome in WELL else logging.WARNING, "request", extra={FIELDS: fields})

    def _tell(self) -> None:
        for outcome, count in self._left_out.items():
            fields = {"outcome": outcome, "left_out": count}
            log.warning("more requests that failed were left out", extra={FIELDS: fields})
        self._left_out.clear()


def excerpt(body: Body, limit: int, redacted: Collection[str]) -> str | None:
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
