"""What computes answers, as the gateway's pipeline sees it: `Workers`, and `Coalescer` before them."""

from typing import Protocol

from gateway.routing import Target
from wire.messages import InferRequest, InferResponse


class InferenceBackend(Protocol):
    """Computes an answer. Raises ServingError."""

    async def infer(self, target: Target, request: InferRequest) -> InferResponse: ...
