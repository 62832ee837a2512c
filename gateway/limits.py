"""What an inference request may take."""

from dataclasses import dataclass, field

from gateway.admission import Admission
from service.asgi import Headers, deadline_of
from service.budget import Budget


@dataclass(slots=True, frozen=True)
class Limits:
    """A place among the requests that are served at once, bytes of a body, seconds from its first byte until its answer
    is with the client, unless it says and at most, and a share of the process's memory."""

    admission: Admission
    body_bytes: int
    default_timeout_s: float
    max_timeout_s: float
    budget: Budget = field(default_factory=Budget)

    def deadline(self, headers: Headers, started: float) -> float:
        """Until when a request may take that began at `started`, both in monotonic seconds. Raises InvalidInput."""
        asked = deadline_of(headers, started)
        if asked is None:
            return started + self.default_timeout_s
        return min(asked, started + self.max_timeout_s)
