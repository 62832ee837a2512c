"""What can go wrong with a request. These errors know no HTTP; `status.py` holds the one table that maps them.

The docstring of a class is its message unless it is raised with a better one.
"""

from typing import Final

LONGEST: Final = 16 << 10  # characters of a message: it may repeat what a client sent, and it is logged


class ServingError(Exception):
    """The request could not be served."""

    retry_after: float | None = None  # seconds after which the same request may succeed

    def __init__(self, message: str | None = None, *, retry_after: float | None = None) -> None:
        said = message or (type(self).__doc__ or "").strip()
        super().__init__(said if len(said) <= LONGEST else f"{said[:LONGEST]}...")
        self.retry_after = retry_after


class InvalidInput(ServingError):
    """The request does not fit the model."""


class Unauthorized(ServingError):
    """This needs a token: send `Authorization: Bearer <token>`."""


class Forbidden(ServingError):
    """The token does not allow this."""


class NotFound(ServingError):
    """There is nothing by that name."""


class ModelNotFound(NotFound):
    """No such model or version."""


class MethodNotAllowed(ServingError):
    """This path does not take that method."""


class Conflict(ServingError):
    """This clashes with what is already there."""


class TooLarge(ServingError):
    """The request is larger than this server takes."""


class UnsupportedEncoding(ServingError):
    """The content encoding is unknown: send identity, gzip or deflate."""


class ModelNotReady(ServingError):
    """The model is known but not loaded on any worker yet."""


class TooManyRequests(ServingError):
    """Too many requests at once."""


class Overloaded(ServingError):
    """The queue is full."""


class Unavailable(ServingError):
    """Something that this needs does not answer at the moment."""


class WorkerUnavailable(Unavailable):
    """No worker could be reached."""


class DeadlineExceeded(ServingError):
    """The deadline passed before the answer was there."""


class ClientGone(ServingError):
    """The client closed the connection before the answer was there."""


class EngineFailed(ServingError):
    """The model failed on this input."""


class Suspect(EngineFailed):
    """The process that computed this died, and whether this was the reason is not known yet."""


class CrashingInput(ServingError):
    """This input ends the process that computes it."""


# What one of several requests may be at fault for that travel as one: each of them is asked again by itself.
ONE_AT_FAULT: Final = (CrashingInput, EngineFailed, InvalidInput, TooLarge)
