"""HTTP as others speak it, on every path: encodings of bodies, HEAD, byte order marks, null."""

import gzip
import zlib
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from gateway.api.admin import MANIFEST
from tests.unit.gateway.application import (
    CONTENT,
    SHA256,
    Application,
    application,
    described,
    embeds,
    text_model,
    worker,
)
from tests.unit.gateway.conftest import Start

BOM = b"\xef\xbb\xbf"
JSON = {"content-type": "application/json"}
ENCODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress, "GZIP": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress,
    "identity": lambda body: body,
}  # fmt: skip


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[Application]:
    async with application(tmp_path) as app:
        await app.upload()
        yield app


async def sent(app: Application, path: str, value: Any, method: str = "POST", bom: bytes = b"") -> httpx.Response:
    return await app.client.request(method, path, content=bom + orjson.dumps(value), headers=JSON)


def publication(**fields: Any) -> dict[str, Any]:
    return {"manifest": described().model_dump(mode="json"), **fields}


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_every_path_takes_bodies_in_the_encodings_that_inference_takes(app: Application, encoding: str) -> None:
    encode, headers = ENCODINGS[encoding], {**JSON, "content-encoding": encoding}
    content = encode(orjson.dumps(publication()))
    assert (await app.client.post("/admin/models/m/versions", content=content, headers=headers)).status_code == 200
    content = encode(b'{"weights": null}')
    assert (await app.client.put("/admin/models/m/route", content=content, headers=headers)).status_code == 200
    answer = await app.client.post("/v2/repository/index", content=encode(b'{"ready": true}'), headers=headers)
    assert answer.json() == []


async def test_a_file_is_stored_as_it_was_before_it_was_encoded(app: Application) -> None:
    file = bytes(range(256)) * 4000
    digest = sha256(file).hexdigest()
    path, headers = f"/admin/files/{digest}", {"content-encoding": "gzip"}
    answer = await app.client.put(path, content=gzip.compress(file), headers=headers)
    assert answer.json()["size"] == len(file)


@pytest.mark.parametrize(
    ("content", "encoding", "status"), [
        (b"no gzip", "gzip", 400),
        (gzip.compress(b"{}")[:-1], "gzip", 400),
        (gzip.compress(b"{}") + b"x", "gzip", 400),
        (b"{}", "br", 415),
        (gzip.compress(b" " * (MANIFEST.bytes + 1)), "gzip", 413),
    ],
)  # fmt: skip
async def test_what_cannot_be_decoded_is_told_so(app: Application, content: bytes, encoding: str, status: int) -> None:
    answer = await app.client.post(
        "/admin/models/m/versions", content=content, headers={**JSON, "content-encoding": encoding}
    )
    assert answer.status_code == status
    assert status != 400 or "gzip" in answer.json()["error"]


async def test_head_is_wherever_get_is(app: Application) -> None:
    await sent(app, "/admin/models/m/versions", publication())
    await app.load()
    paths = [path for path, item in (await app.client.get("/openapi.json")).json()["paths"].items() if "get" in item]
    assert len(paths) > 10
    for path in [*paths, "/metrics", "/docs", "/v2/"]:
        path = path.replace("{model}", "m").replace("{name}", "m").replace("{version}", "1")
        got, head = await app.client.get(path), await app.client.head(path)
        assert head.status_code == got.status_code, path
        assert head.headers["content-type"] == got.headers["content-type"]
        assert head.content == b""
    assert (await app.client.head(f"/admin/files/{SHA256}")).status_code == 200
    assert (await app.client.head(f"/admin/files/{'0' * 64}")).status_code == 404
    assert (await app.client.head("/v2/models/m/infer")).status_code == 405
    assert (await app.client.head("/nowhere")).status_code == 404
    assert CONTENT


async def test_a_byte_order_mark_before_json_is_passed_over(app: Application, start: Start) -> None:
    embedding = text_model("sentence-embedding")
    for manifest in (described(), embedding):
        answer = await sent(
            app, f"/admin/models/{manifest.name}/versions", {"manifest": manifest.model_dump(mode="json")}, bom=BOM
        )
        assert answer.status_code == 200, answer.text
    assert (await sent(app, "/v2/repository/index", {}, bom=BOM)).status_code == 200
    await app.load(await start(worker(embeds)))
    for path, body in (
        ("/v1/embeddings", {"model": embedding.name, "input": "a"}),
        (f"/models/{embedding.name}", {"inputs": "a"}),
        (
            f"/v2/models/{embedding.name}/infer",
            {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a"]}]},
        ),
    ):
        answer = await sent(app, path, body, bom=BOM)
        assert answer.status_code == 200, answer.text
    text = BOM + orjson.dumps(
        {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 5}}]}
    )
    answer = await app.client.post(
        f"/v2/models/{embedding.name}/infer",
        content=text + b"\x01\0\0\0a",
        headers={"inference-header-content-length": str(len(text))},
    )
    assert answer.status_code == 200, answer.text


async def test_null_is_as_good_as_nothing_where_a_field_may_be_absent(app: Application, start: Start) -> None:
    manifest = described().model_dump(mode="json")
    manifest |= {"description": None, "engine": None, "cache_ttl_s": None}
    manifest["batching"] = {"max_rows": None}
    answer = await sent(app, "/admin/models/m/versions", {"manifest": manifest, "alias": None})
    assert answer.status_code == 200, answer.text
    assert (await sent(app, "/admin/models/m/promote", {"version": 1, "alias": None})).status_code == 200
    assert (await sent(app, "/admin/models/m/rollback", {"alias": None})).status_code == 409  # but no 400
    assert (await sent(app, "/v2/repository/index", {"ready": None})).status_code == 200
    assert (await sent(app, "/v2/repository/models/m/unload", {"parameters": None})).status_code == 200
    assert (await sent(app, "/admin/models/m/promote", {"version": None})).status_code == 400

    embedding = text_model("sentence-embedding")
    await app.publish(embedding)
    await app.load(await start(worker(embeds)))
    tensor = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a"], "parameters": None}
    for path, body in (
        ("/v1/embeddings", {"input": "a", "model": embedding.name, "encoding_format": None, "dimensions": None}),
        (f"/models/{embedding.name}", {"inputs": "a", "parameters": None, "options": None}),
        (f"/models/{embedding.name}", {"inputs": "a", "parameters": {"truncate": None, "normalize": None}}),
        (f"/models/{embedding.name}", {"inputs": "a", "options": {"use_cache": None, "wait_for_model": None}}),
        (f"/v2/models/{embedding.name}/infer", {"inputs": [tensor], "id": None, "parameters": None, "outputs": None}),
        (
            f"/v2/models/{embedding.name}/infer",
            {"inputs": [tensor], "outputs": [{"name": "embedding", "parameters": {"binary_data": None}}]},
        ),
        (f"/v2/models/{embedding.name}/infer", {"inputs": [tensor], "parameters": {"binary_data_output": None}}),
    ):
        answer = await sent(app, path, body)
        assert answer.status_code == 200, (path, body, answer.text)
