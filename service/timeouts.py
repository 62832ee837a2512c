"""The stages of a request as it is read, and how long a client may take for each before it is refused."""

from typing import Final

from service.limits import ConnectionLimits
from service.refusal import Refused

# What is read from a connection. Plain numbers, as each request passes them several times.
IDLE: Final = 0  # nothing, until the next request
HEAD: Final = 1
BODY: Final = 2
WHOLE: Final = 3  # nothing, until the request is answered
CLOSING: Final = 4  # what still comes is dropped


def refuse_slow(stage: int, seconds: int, body: int, answered: bool, limits: ConnectionLimits) -> Refused | None:
    """The refusal of a client that takes too long for a head or a body, None where it does not.

    It has been at this stage for so many `seconds`. `body` is the bytes of it that came, and `answered` is whether all
    requests before this one are.
    """
    if stage == HEAD:
        if answered and seconds > limits.head_s:
            return Refused(408, f"the head of a request must be sent within {limits.head_s} seconds")
    elif stage == BODY:
        if limits.body_s is not None and seconds > limits.body_s:
            return Refused(408, f"a body must be sent within {limits.body_s} seconds")
        if seconds > limits.body_grace_s + body / limits.body_rate:
            return Refused(408, f"a body must come at {limits.body_rate} bytes a second or faster")
    return None
