"""The inference endpoints of gateway and worker as ASGI objects in this process, with no server before them."""

from collections.abc import MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from cache.settings import CacheSettings, open_cache
from gateway.admission import Admission
from gateway.api import oip
from gateway.api.endpoint import InferenceEndpoint
from gateway.api.repeated_answers import RepeatedAnswers
from gateway.balancer import Replica
from gateway.limits import Limits
from gateway.metrics import Metrics
from gateway.pipeline import Gateway
from gateway.request_log import RequestLog
from gateway.routing import RouteTable, Target, build_table
from gateway.settings import GatewaySettings
from loadtests.models import overhead_folder
from loadtests.payloads import items
from loadtests.payloads import oip as dialect
from loadtests.platform import artifact
from model_service.models import Models
from model_service.opening import open_here
from model_service.routes import Infer
from model_service.routes import Limits as WorkerLimits
from service.asgi import Headers
from service.tracing import Tracer
from storage.views import ModelView, VersionView
from wire.messages import InferRequest, InferResponse

MODEL: Final = "overhead"
CACHE_TTL_S = 3600
MAX_BODY_BYTES = 1 << 20
MINUTE = 60.0


@dataclass(frozen=True)
class Endpoint:
    """Asked the same thing each time."""

    app: Any
    headers: Headers
    body: bytes

    async def ask(self) -> None:
        """Raises RuntimeError where the answer is other than 200."""
        scope = {
            "type": "http",
            "method": "POST",
            "scheme": "http",
            "path": f"/v2/models/{MODEL}/infer",
            "path_params": {"model": MODEL},
            "headers": list(self.headers.items()),
        }
        await self.app(scope, self._receive, _check)

    async def _receive(self) -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": self.body, "more_body": False}


async def _check(message: MutableMapping[str, Any]) -> None:
    if message.get("status", 200) != 200:
        raise RuntimeError(f"the endpoint answered {message}")


def gateway_endpoint(tracer: Tracer) -> Endpoint:
    """Of a gateway that caches what its worker answers, which are the inputs."""
    manifest = artifact(MODEL, CACHE_TTL_S).manifest
    version = VersionView(1, MODEL, 1, "digest", manifest, None, datetime.now(UTC))
    view = ModelView(
        name=MODEL, versions=(version,), aliases={"stable": 1}, enabled=True, history={"stable": ()}, weights=None
    )
    membership = _Membership(build_table([view], {1: (Replica.at("http://127.0.0.1:1"),)}))
    gateway = Gateway(membership, _Echo(), open_cache(CacheSettings(redis_url=None)))
    app = InferenceEndpoint(
        "oip",
        oip.Inference(membership),
        gateway,
        metrics=Metrics(),
        requests=RequestLog(GatewaySettings(log_sample=0)),
        limits=Limits(Admission(64), MAX_BODY_BYTES, MINUTE, MINUTE),
        repeated=RepeatedAnswers(membership, gateway.cache),
        tracer=tracer,
        route="/v2/models/{model}/infer",
    )
    return Endpoint(app, {}, _body())


def worker_endpoint(tracer: Tracer, headers: Headers) -> Endpoint:
    """Of a worker that has the small model of random weights loaded."""
    models = Models()
    models.add(open_here(MODEL, 1, artifact(MODEL).manifest, overhead_folder(), threads=1))
    return Endpoint(Infer(models, WorkerLimits(MAX_BODY_BYTES), tracer, "/v2/models/{model}/infer"), headers, _body())


def _body() -> bytes:
    return dialect("x").encode(items(MODEL)[0]).encode()


@dataclass
class _Membership:
    table: RouteTable


class _Echo:
    async def infer(self, target: Target, request: InferRequest) -> InferResponse:
        return InferResponse(target.model, target.version, tuple(request.inputs))
