"""How much a process that answers HTTP takes, answers and holds, as its environment says."""

from pydantic import Field
from pydantic_settings import BaseSettings

from service.budget import DEFAULT_BYTES
from wire.json_body import DEFAULT as JSON_LIMITS
from wire.json_body import JsonLimits


class SizeSettings(BaseSettings):
    """Part of the settings of gateway and worker, each of which reads it under its own prefix."""

    max_body_bytes: int = Field(64 << 20, ge=1, description="Largest request body, before and after decompression.")
    max_json_bytes: int = Field(
        JSON_LIMITS.bytes, ge=1, description="Most bytes of JSON in a body; larger tensors come in binary."
    )
    max_json_values: int = Field(
        JSON_LIMITS.values,
        ge=1,
        description="Most values in a body's JSON, elements of a BYTES tensor, and values of an answer in JSON.",
    )
    max_answer_bytes: int = Field(64 << 20, ge=1, description="Largest answer.")
    memory_bytes: int = Field(
        DEFAULT_BYTES,
        ge=1,
        description="Bytes that all requests in flight may hold together: bodies, what is made of them, answers until"
        " they are read. One request may hold half of them; what finds no room is answered 503.",
    )

    @property
    def json_limits(self) -> JsonLimits:
        """Of the JSON in a body and in an answer."""
        return JsonLimits(self.max_json_bytes, self.max_json_values)
