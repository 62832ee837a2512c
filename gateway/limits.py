"""What an inference request may take."""

from dataclasses import dataclass, field

from gateway.admission import Admission
from service.asgi import Headers, deadline_of
from service.budget import Budget


@dataclass(slots=True, frozen=True)
class Limits:
    """Seconds count from a request's first byte until its answer is with the client."""

    admission: Admission  # how many are served at once
    body_bytes: int
    default_timeout_s: float  # for one that does not say
    max_timeout_s: float  # for one that says more
    budget: Budget = field(default_factory=Budget)  # the memory that all requests share

    def deadline(self, headers: Headers, started: float) -> float:
        """Until when a request may take that began at `started`, both in monotonic seconds. Raises InvalidInput."""
        asked = deadline_of(headers, started)
        if asked is None:
            return started + self.default_timeout_s
        return min(asked, started + self.max_timeout_s)
