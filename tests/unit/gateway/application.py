"""The gateway's whole application in this process: a registry and files on disk, workers that are what a test says."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx

from cache.settings import CacheSettings
from gateway.app import create_app
from gateway.composition import Components, compose
from gateway.settings import GatewaySettings
from service.asgi import json_length
from service.tracing import UNTRACED, Tracer
from storage.manifest import Manifest
from storage.migrate import upgrade
from storage.settings import StorageSettings
from tests.unit.gateway.conftest import Serve
from wire.codec import decode_request, encode_response
from wire.messages import InferRequest, InferResponse
from wire.tensors import from_json

CONTENT = b"a graph, as far as the gateway is concerned"
SHA256 = sha256(CONTENT).hexdigest()
HOUR = 3600.0


@dataclass(frozen=True)
class Application:
    """`client` asks it, as if from this machine."""

    client: httpx.AsyncClient
    components: Components

    async def publish(self, manifest: Manifest, alias: str | None = None) -> httpx.Response:
        return await self.client.post(
            f"/admin/models/{manifest.name}/versions",
            json={"manifest": manifest.model_dump(mode="json"), "alias": alias},
        )

    async def upload(self) -> None:
        (await self.client.put(f"/admin/files/{SHA256}", content=CONTENT)).raise_for_status()

    async def load(self, url: str = "http://127.0.0.1:1", id: str = "w1", state: str = "ready") -> None:
        """Have a worker say that it has every version there is."""
        versions = [version for model in await self.components.registry.models() for version in model.versions]
        await self.components.registry.beat(id, url, {str(v.id): {"state": state, "reason": None} for v in versions})
        await self.components.membership.refresh()


@asynccontextmanager
async def application(folder: Path, tracer: Tracer = UNTRACED, **settings: Any) -> AsyncIterator[Application]:
    """The route table changes when something is changed or refreshed, and never by itself."""
    still = {"refresh_s": HOUR, "health_interval_s": HOUR, **settings}
    url = f"sqlite:///{folder / 'registry.db'}"
    components = compose(
        GatewaySettings(**still),
        StorageSettings(database_url=url, artifacts_url=str(folder / "artifacts")),
        CacheSettings(redis_url=None),
        tracer,
    )
    await upgrade(url)
    app = create_app(components)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client,
    ):
        await components.membership.refresh()
        yield Application(client, components)


def described(name: str = "m", **fields: Any) -> Manifest:
    """A manifest of FP32 `x` [-1, 2] to `y` whose one file is `CONTENT`."""
    files = [{"path": path, "sha256": SHA256, "size": len(CONTENT)} for path in ("model.onnx", "tokenizer.json")]
    given = {
        "name": name,
        "model": "model.onnx",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}],
        "files": files,
    }
    return Manifest.model_validate({**given, **fields})


def text_model(task: str, name: str | None = None, **text: Any) -> Manifest:
    """A text model of that task; an embedding has four dimensions."""
    vector = {"name": "embedding", "datatype": "FP32", "shape": [-1, 4]}
    rows = {"name": "labels", "datatype": "BYTES", "shape": [-1]}
    return described(
        name or task,
        task=task,
        inputs=[{"name": "text", "datatype": "BYTES", "shape": [-1]}],
        outputs=[vector if task == "sentence-embedding" else rows],
        text={"labels": ("no", "yes"), **text},
    )


def worker(answer: Callable[[InferRequest], InferResponse]) -> Serve:
    """A worker that answers inference with what `answer` makes of it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            headers = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
            body = await reader.readexactly(int(headers[b"content-length"]))
            request = decode_request(body, json_length(headers), "", None)
            content, length = encode_response(answer(request), request)
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\ninference-header-content-length: %d\r\n\r\n"
                % (len(content), length or len(content))
            )
            writer.write(content)

    return serve


def embeds(request: InferRequest) -> InferResponse:
    """Four numbers for each text, its length the first; a token for each letter."""
    lengths = [len(text) for text in request.inputs[0].elements()]
    vectors = from_json("embedding", "FP32", (len(lengths), 4), [[length, 1, 0.5, 0] for length in lengths])
    return InferResponse("", "", (vectors,), {"prompt_tokens": sum(lengths)})
