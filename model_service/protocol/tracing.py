"""Tracing as gateway and worker see it: a span for each step of a request that is recorded, and None for all others.

OpenTelemetry is behind it (`otel.py`) and imported only where the environment asks for it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from time import monotonic
from typing import Annotated, Any, Final, Literal, Protocol

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from model_service.protocol.http import Headers, Scope

Attributes = Mapping[str, str | int | float | bool]
Kind = Literal["server", "client", "internal"]

NOTHING: Final[Attributes] = {}
# What spans of gateway and worker say in the same words.
MODEL: Final = "headrace.model"
VERSION: Final = "headrace.version"
OUTCOME: Final = "headrace.outcome"
STATUS_CODE: Final = "http.response.status_code"


class Span(Protocol):
    """A step of a request that is recorded. Times are monotonic seconds."""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        ...

    @property
    def headers(self) -> bytes:
        """Header lines that make what they are sent with a part of this step."""
        ...

    def begin(
        self, name: str, began: float, attributes: Attributes = ..., *, kind: Kind = ..., links: Sequence["Span"] = ...
    ) -> "Span":
        """A step of this one, to be ended."""
        ...

    def shared(self, name: str, began: float, spans: Sequence["Span"], attributes: Attributes = ...) -> "Span":
        """A step that `spans`, this one among them, have in common; linked to each.

        It is a step of this one where that is the only one, and otherwise a trace of its own.
        """
        ...

    def set(self, attributes: Attributes) -> None: ...

    def fail(self, error: str) -> None:
        """It went wrong, by an error of that class."""
        ...

    def end(self, ended: float) -> None: ...


class Tracer(Protocol):
    """Decides, once, whether a request is recorded."""

    def request(self, name: str, headers: Headers, arrived: float) -> Span | None:
        """The span of a request that came with `headers`; None where it is not recorded."""
        ...

    def unrecorded(self) -> bytes:
        """Header lines that tell the next one that this request, whose client names no trace, is not recorded."""
        ...

    def close(self) -> None:
        """Send what is left, if that does not take long. Blocks."""
        ...


class Untraced:
    """No tracing: nothing is recorded, and nothing is said about it."""

    def request(self, name: str, headers: Headers, arrived: float) -> None:
        return None

    def unrecorded(self) -> bytes:
        return b""

    def close(self) -> None:
        pass


UNTRACED: Final = Untraced()


def end_request(
    span: Span, scope: Scope, route: str, status: int | None, outcome: str, attributes: Attributes = NOTHING
) -> None:
    """End the span of a request to `route` that was answered with `status`; None where nobody waited for an answer.

    What the client has done wrong is no failure of ours.
    """
    span.set(
        {
            "http.request.method": scope["method"],
            "http.route": route,
            "url.path": scope["path"],
            "url.scheme": scope["scheme"],
            OUTCOME: outcome,
            **attributes,
        }
    )
    if status is not None:
        span.set({STATUS_CODE: status})
        if status >= 500:
            span.fail(outcome)
    span.end(monotonic())


@contextmanager
def ending(span: Span) -> Iterator[Span]:
    """`span` ends with the block, and fails as the block does."""
    try:
        yield span
    except BaseException as error:
        span.fail(type(error).__name__)
        raise
    finally:
        span.end(monotonic())


def step(
    of: Span, name: str, attributes: Attributes = NOTHING, *, kind: Kind = "internal"
) -> AbstractContextManager[Span]:
    """A step that lasts as long as the block, and fails as the block does."""
    return ending(of.begin(name, monotonic(), attributes, kind=kind))


def _lower(value: Any) -> Any:
    return value.strip().lower() if isinstance(value, str) else value


def _is_true(value: Any) -> bool:
    return str(value).strip().lower() == "true"  # the standard takes every other word for false


def _http_url(url: str | None) -> str | None:
    if url is not None and not url.startswith(("http://", "https://")):
        raise ValueError("write the URL of an OTLP/HTTP receiver, as http://host:4318")
    return url


Word = BeforeValidator(_lower)
Url = Annotated[str | None, AfterValidator(_http_url)]
Sampler = Literal[
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
]


class TracingSettings(BaseSettings):
    """OpenTelemetry's own variables. Its exporter reads more of them: timeout, certificates."""

    model_config = SettingsConfigDict(env_prefix="OTEL_", env_ignore_empty=True)

    exporter_otlp_endpoint: Url = Field(
        None,
        description="URL of an OTLP/HTTP receiver, to whose `/v1/traces` spans are sent. Unset, nothing is traced.",
    )
    exporter_otlp_traces_endpoint: Url = Field(None, description="The same, as the whole URL for spans.")
    exporter_otlp_protocol: Annotated[Literal["http/protobuf"], Word] = Field(
        "http/protobuf", description="The one protocol there is."
    )
    exporter_otlp_traces_protocol: Annotated[Literal["http/protobuf"], Word] = Field(
        "http/protobuf", description="The same, for spans alone."
    )
    exporter_otlp_headers: SecretStr | None = Field(
        None, description="What the receiver wants to be told, a key as a rule: `name=value,name=value`."
    )
    exporter_otlp_traces_headers: SecretStr | None = Field(None, description="The same, for spans alone.")
    traces_exporter: Annotated[Literal["otlp", "none"], Word] = Field(
        "otlp", description="`none` traces nothing, whatever the endpoint."
    )
    sdk_disabled: Annotated[bool, BeforeValidator(_is_true)] = Field(False, description="`true` does the same.")
    traces_sampler: Annotated[Sampler, Word] = Field(
        "parentbased_always_on",
        description="Which requests are recorded: those whose caller records them, and of those without a caller all"
        " (`parentbased_always_on`), a share (`parentbased_traceidratio`) or none (`parentbased_always_off`)."
        " Without `parentbased_` the caller is not asked.",
    )
    traces_sampler_arg: float = Field(1.0, ge=0, le=1, description="The share, for the samplers that take one.")
    service_name: str | None = Field(
        None, description="The process's name in traces; `headrace-gateway` and `headrace-worker` unless given."
    )
    resource_attributes: str | None = Field(
        None, description="What else is said of the process, as `name=value,name=value`."
    )

    @property
    def wanted(self) -> bool:
        """Whether there is somewhere to send spans to, and nothing against it."""
        endpoint = self.exporter_otlp_traces_endpoint or self.exporter_otlp_endpoint
        return bool(endpoint) and self.traces_exporter == "otlp" and not self.sdk_disabled


def open_tracer(settings: TracingSettings, service: str) -> Tracer:
    """The tracer of the process called `service`, as the environment asks for it.

    Raises SystemExit, saying what to install, where OpenTelemetry is missing.
    """
    if not settings.wanted:
        return UNTRACED
    try:
        from model_service.protocol.otel import exporting_tracer
    except ModuleNotFoundError as error:
        raise SystemExit(
            f"OTEL_EXPORTER_OTLP_ENDPOINT asks for tracing, which needs {error.name}: pip install 'headrace[tracing]',"
            " or unset it"
        ) from error
    return exporting_tracer(settings, service)
