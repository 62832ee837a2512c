"""Header names, as lower-case bytes, which is how ASGI hands them over."""

from typing import Final

CACHE_CONTROL: Final = b"cache-control"
CONTENT_ENCODING: Final = b"content-encoding"
CONTENT_LENGTH: Final = b"content-length"
CONTENT_TYPE: Final = b"content-type"
ACCEPT_ENCODING: Final = b"accept-encoding"
ACCEPT: Final = b"accept"
AUTHORIZATION: Final = b"authorization"
RETRY_AFTER: Final = b"retry-after"
REQUEST_ID: Final = b"x-request-id"
EXPECT: Final = b"expect"
HOST: Final = b"host"
ORIGIN: Final = b"origin"
TRANSFER_ENCODING: Final = b"transfer-encoding"
UPGRADE: Final = b"upgrade"

# How many bytes of the body are JSON; the rest are binary tensors (OIP binary tensor data extension).
INFERENCE_HEADER_CONTENT_LENGTH: Final = b"inference-header-content-length"
# How long the client will wait, in milliseconds, from the arrival of the request. A duration, not a time of day.
TIMEOUT_MS: Final = b"x-request-timeout-ms"
# What Envoy is told about the same thing, and what it tells a worker.
ENVOY_UPSTREAM_TIMEOUT_MS: Final = b"x-envoy-upstream-rq-timeout-ms"
ENVOY_TRY_TIMEOUT_MS: Final = b"x-envoy-upstream-rq-per-try-timeout-ms"
ENVOY_TIMEOUT_MS: Final = b"x-envoy-expected-rq-timeout-ms"
# Which trace a request is part of (W3C Trace Context).
TRACEPARENT: Final = b"traceparent"
TRACESTATE: Final = b"tracestate"
# hit, miss or bypass: what the response cache had to do with this answer.
CACHE_STATUS: Final = b"x-cache"
# A request that was under way when a worker died. Envoy counts a request's attempts, and tells from the second on.
SUSPECT: Final = b"headrace-suspect"
ENVOY_ATTEMPT: Final = b"x-envoy-attempt-count"
ENVOY_TIMEOUT_RETRY: Final = b"x-envoy-is-timeout-retry"
# How many requests of clients a coalesced one was merged of, so that a worker counts them all.
MEMBERS: Final = b"headrace-members"
# What a worker took for its answer, in microseconds.
TOOK_US: Final = b"headrace-took-us"
# Which worker answers a health check.
REPLICA: Final = b"headrace-replica"
# The class of an error in `errors.py`, so that it survives the hop from worker to gateway.
ERROR: Final = b"headrace-error"
