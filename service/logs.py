"""How gateway and worker log: a line for a person, or one JSON object a line for a machine."""

import json
import logging
import re
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from time import monotonic
from typing import Any, ClassVar, Final, Literal

import orjson
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.rate import Rate

# `log.info("...", extra={FIELDS: {...}})`: what a line says beside its message.
FIELDS: Final = "fields"
# The logger of one line a request, which has limits of its own.
REQUESTS: Final = "headrace.requests"

_PLAIN: Final = re.compile(r"[^\s\"'=\\\x00-\x20\x7f-\xa0\u2028\u2029]+")
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CONTROL_IN_LINES: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")


class LogSettings(BaseSettings):
    """Logs of gateway and worker."""

    model_config = SettingsConfigDict(env_prefix="HEADRACE_LOG_")

    format: Literal["text", "json"] = Field("text", description="Lines for a person, or `json`: one object a line.")
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least that is logged.")


class TextFormatter(logging.Formatter):
    """The message, and after it what belongs to it as `name=value`.

    What clients send cannot end a line or forge a value: anything but a plain word is written as a JSON string, control
    characters of a message are escaped, and a traceback is indented.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        text = _CONTROL.sub(_escape, super().formatMessage(record))
        return " ".join([text, *(f"{name}={_word(value)}" for name, value in _fields(record).items())])

    def formatException(self, error: Any) -> str:
        return "\n".join(
            f"  {line}" for line in _CONTROL_IN_LINES.sub(_escape, super().formatException(error)).split("\n")
        )


class JsonFormatter(logging.Formatter):
    """An object with `time` (UTC), `level`, `logger`, `message`, what belongs to it, and `exception` if there is."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=repr, option=orjson.OPT_UTC_Z).decode()


class Rarely(logging.Filter):
    """A filter that lets each message through once in `every_s` seconds, whatever its arguments are."""

    def __init__(self, every_s: float, clock: Callable[[], float] = monotonic) -> None:
        super().__init__()
        self._every_s = every_s
        self._clock = clock
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        message, now = str(record.msg), self._clock()
        said = self._said.get(message)
        if said is not None and now - said < self._every_s:
            return False
        self._said[message] = now
        return True


class Flood(logging.Filter):
    """A filter that lets `PER_S` lines a second of each message through, whatever its arguments are.

    The next one that is written says how many were left out. Messages are those of the code, so there are few.
    """

    PER_S: ClassVar = 20.0

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._rates: dict[tuple[str, int, str], Rate] = {}
        self._left_out: Counter[tuple[str, int, str]] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name == REQUESTS:
            return True
        # What is made to be read once may be filled in already: cut short, or it would take memory without end.
        kind = (record.name, record.levelno, str(record.msg)[:80])
        rate = self._rates.get(kind)
        if rate is None:
            if len(self._rates) >= 1000:
                self._rates.clear()
            rate = self._rates[kind] = Rate(self.PER_S, 5 * self.PER_S, self._clock)
        if not rate.take():
            self._left_out[kind] += 1
            return False
        if count := self._left_out.pop(kind, 0):
            setattr(record, FIELDS, {**_fields(record), "left_out": count})
        return True


def configure(settings: LogSettings) -> None:
    """Have everything in this process log so, to standard error."""
    handler = logging.StreamHandler()
    handler.addFilter(Flood())
    handler.setFormatter(JsonFormatter() if settings.format == "json" else TextFormatter())
    logging.basicConfig(level=settings.level.upper(), handlers=[handler], force=True)


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    fields: Mapping[str, Any] = getattr(record, FIELDS, {})
    return fields


def _word(value: Any) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


def _escape(found: "re.Match[str]") -> str:
    return json.dumps(found[0])[1:-1]
