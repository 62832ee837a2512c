"""What the gateway is told by its environment, read once in `__main__`."""

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from model_service.protocol.address import OptionalUrl


class GatewaySettings(BaseSettings):
    """The gateway process."""

    model_config = SettingsConfigDict(env_prefix="HEADRACE_GATEWAY_", populate_by_name=True)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    admin_token: str | None = Field(
        None,
        validation_alias="HEADRACE_ADMIN_TOKEN",  # the same variable as the command's
        repr=False,
        description="Bearer token of the admin API. Without one the admin API answers on a loopback address only.",
    )
    upstream: OptionalUrl = Field(
        None,
        description="URL of a load balancer (Envoy) before the workers. The gateway then neither balances nor retries.",
    )
    max_in_flight: int = Field(1024, ge=1, description="Inference requests served at once; one more is answered 429.")
    max_body_bytes: int = Field(64 << 20, ge=1, description="Largest request body, before and after decompression.")
    max_file_bytes: int = Field(16 << 30, ge=1, description="Largest artifact file that the admin API takes.")
    default_timeout_ms: int = Field(30_000, ge=1, description="How long a request may take that names no deadline.")
    max_timeout_ms: int = Field(300_000, ge=1, description="The longest deadline that a request may name.")
    refresh_s: float = Field(0.5, gt=0, description="How often the route table is read from the registry.")
    replica_timeout_s: float = Field(
        5.0, gt=0, description="A worker whose heartbeat stands still for this long gets no more requests."
    )
    health_interval_s: float = Field(1.0, gt=0, description="How often each worker is asked whether it is ready.")

    log_sample: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Share of the requests that went well which are logged; of those that failed all are.",
    )
    log_payload_bytes: int = Field(
        0, ge=0, le=64 << 10, description="How much of a JSON body is logged with its request; 0 for nothing of it."
    )
    log_redact: tuple[str, ...] = Field(
        ("authorization", "password", "secret", "token", "api_key"),
        description="Fields of a JSON body whose values are not logged, as a JSON list of names.",
    )

    @field_validator("admin_token")
    @classmethod
    def _fits_a_header(cls, token: str | None) -> str | None:
        if token is not None and not (token.isascii() and token.isprintable()):
            raise ValueError("use letters, digits and signs of ASCII: it travels in a header")
        return token
