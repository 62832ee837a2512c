"""How gateway and worker log: a line for a person, or one JSON object a line for a machine."""

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from time import monotonic
from typing import Any, Final, Literal

import orjson
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

# `log.info("...", extra={FIELDS: {...}})`: what a line says beside its message.
FIELDS: Final = "fields"


class LogSettings(BaseSettings):
    """Logs of gateway and worker."""

    model_config = SettingsConfigDict(env_prefix="HEADRACE_LOG_")

    format: Literal["text", "json"] = Field("text", description="Lines for a person, or `json`: one object a line.")
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least that is logged.")


class TextFormatter(logging.Formatter):
    """The message, and after it what belongs to it as `name=value`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        text = super().formatMessage(record)
        return " ".join([text, *(f"{name}={value}" for name, value in _fields(record).items())])


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
    """Of a logger that repeats itself: each of its messages once in `every_s` seconds, whatever is filled in."""

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


def configure(settings: LogSettings) -> None:
    """Have everything in this process log so, to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if settings.format == "json" else TextFormatter())
    logging.basicConfig(level=settings.level.upper(), handlers=[handler], force=True)


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    fields: Mapping[str, Any] = getattr(record, FIELDS, {})
    return fields
