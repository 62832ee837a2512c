"""The one table between domain errors and HTTP, read in both directions: an error keeps its class on the hop."""

from typing import Final

from wire import errors

_STATUS: Final[dict[type[errors.ServingError], int]] = {
    errors.InvalidInput: 400,
    errors.Unauthorized: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.ModelNotFound: 404,
    errors.MethodNotAllowed: 405,
    errors.Conflict: 409,
    errors.TooLarge: 413,
    errors.UnsupportedEncoding: 415,
    errors.CrashingInput: 422,
    errors.TooManyRequests: 429,
    errors.ClientGone: 499,
    errors.EngineFailed: 500,
    errors.Suspect: 500,
    errors.ModelNotReady: 503,
    errors.Overloaded: 503,
    errors.Unavailable: 503,
    errors.WorkerUnavailable: 503,
    errors.DeadlineExceeded: 504,
    errors.ServingError: 500,
}
_CLASSES: Final = {cls.__name__: cls for cls in _STATUS}


def http_status(error: errors.ServingError) -> int:
    """The status code of `error`, by its class or the nearest base that the table names."""
    return next(_STATUS[cls] for cls in type(error).__mro__ if cls in _STATUS)


def from_wire(status: int, code: str | None, message: str, retry_after: float | None = None) -> errors.ServingError:
    """The error that another process answered: `code` is the class's name, from the `headrace-error` header."""
    cls = _CLASSES.get(code or "") or next((c for c, s in _STATUS.items() if s == status), errors.ServingError)
    return cls(message, retry_after=retry_after)
