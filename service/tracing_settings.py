"""What a process is told about tracing by its environment, and the tracer that it asks for."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.tracing import UNTRACED, Tracer


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
        from service.otel import Sampling, open_exporting_tracer
    except ModuleNotFoundError as error:
        raise SystemExit(
            f"OTEL_EXPORTER_OTLP_ENDPOINT asks for tracing, which needs {error.name}: pip install 'headrace[tracing]',"
            " or unset it"
        ) from error
    headers = settings.exporter_otlp_traces_headers or settings.exporter_otlp_headers
    sampling = Sampling.from_name(settings.traces_sampler, settings.traces_sampler_arg)
    return open_exporting_tracer(service, sampling, None if headers is None else headers.get_secret_value())
