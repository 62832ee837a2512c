"""What the gateway notes of an inference request, beside what every server of ours does."""

from dataclasses import dataclass

from service.bodies import Body
from service.request_record import RequestRecord


@dataclass(slots=True)
class GatewayRecord(RequestRecord):
    """`admitted` once it is read and has its place. `body` stays empty where it is too large to log."""

    admitted: bool = False
    body: Body = b""
    body_bytes: int = 0
