"""What the gateway is told by its environment, read once in `__main__`."""

import re
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Final

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from cache.settings import CacheSettings
from service.address import OptionalUrl
from service.size_settings import SizeSettings


class GatewaySettings(SizeSettings):
    """The gateway process."""

    model_config = SettingsConfigDict(env_prefix="HEADRACE_GATEWAY_", populate_by_name=True)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    listen_fd: int | None = Field(
        None,
        ge=0,
        description="Descriptor of a bound socket that this process has inherited, in place of address and port:"
        " several gateways may share one.",
    )
    accept_after_s: float = Field(
        0.0,
        ge=0,
        description="How long a connection waits for the other gateways on such a socket before this one takes it: more"
        " than 0 makes it a reserve.",
    )
    sibling_socket: Path | None = Field(
        None,
        description="Where a gateway that shares its port with others listens for them: `gateway-<name>.sock` in a"
        " folder that is theirs alone. Metrics then add up over them.",
    )
    start_timeout_s: float = Field(
        10.0,
        ge=0,
        description="How long the first look at the registry may take before a gateway listens without it, not ready.",
    )
    admin_token: str | None = Field(
        None,
        validation_alias="HEADRACE_ADMIN_TOKEN",  # the same variable as the command's
        repr=False,
        description="Bearer token of the admin API. Without one the admin API answers on a loopback address only.",
    )
    cors_origins: tuple[str, ...] = Field(
        (),
        description='Origins whose web pages may ask, as a JSON list such as `["https://app.example"]`; on a loopback'
        " address all others are refused.",
    )
    hosts: tuple[str, ...] = Field(
        (),
        description="Names under which clients ask a gateway that listens on a loopback address, behind a proxy of this"
        " machine, as a JSON list; other names with a dot are refused, as a web page may have made them lead here.",
    )
    connections_per_address: int = Field(
        1000, ge=0, description="Connections that clients of one address may have; 0 for any number. This machine may."
    )
    proxies: tuple[IPv4Network | IPv6Network, ...] = Field(
        (), description="Networks of the proxies before the gateway, which may have any number, as a JSON list."
    )
    upstream: OptionalUrl = Field(
        None,
        description="URL of a load balancer (Envoy) before the workers. The gateway then neither balances nor retries.",
    )
    max_in_flight: int = Field(1024, ge=1, description="Inference requests served at once; one more is answered 429.")
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
        description="Share of the requests that went well which are logged.",
    )
    log_failures_per_s: float = Field(
        20.0,
        gt=0,
        description="Requests that failed which are logged in a second, for each kind of failure; a line tells how many"
        " more there were.",
    )
    log_payload_bytes: int = Field(
        0, ge=0, le=64 << 10, description="How much of a JSON body is logged with its request; 0 for nothing of it."
    )
    log_redact: tuple[str, ...] = Field(
        ("authorization", "password", "secret", "token", "api_key"),
        description="Fields of a JSON body whose values are not logged, as a JSON list of names.",
    )

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/?#*@\s]+", origin, re.IGNORECASE):
                raise ValueError(f"{origin!r} is no origin: name each as scheme://host or scheme://host:port")
        return origins

    @field_validator("admin_token")
    @classmethod
    def _fits_a_header(cls, token: str | None) -> str | None:
        if token is not None and not (token.isascii() and token.isprintable()):
            raise ValueError("use letters, digits and signs of ASCII: it travels in a header")
        return token


# All that a gateway is told, by what it is about.
SECTIONS: Final[Mapping[str, type[BaseSettings]]] = {
    "Gateway": GatewaySettings,
    "Response cache (gateway)": CacheSettings,
}
