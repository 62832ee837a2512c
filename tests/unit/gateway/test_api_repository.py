import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.gateway.application import Application, application, described

UNLOAD, LOAD = "/v2/repository/models/m/unload", "/v2/repository/models/m/load"


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[Application]:
    """`m` is loaded on a worker that says so whatever becomes of it."""
    async with application(tmp_path, refresh_s=0.01, max_timeout_ms=100) as app:
        await app.upload()
        await app.publish(described())
        yield app


async def index(app: Application, content: bytes, **headers: str) -> list[str]:
    answer = await app.client.post("/v2/repository/index", content=content, headers=headers)
    assert answer.status_code == 200, answer.text
    return [entry["name"] for entry in answer.json()]


async def refusal(app: Application, path: str, body: Any) -> str:
    answer = await app.client.post(path, content=json.dumps(body).encode(), headers={"content-type": "text/plain"})
    assert answer.status_code == 400, answer.text
    message: str = answer.json()["error"]
    return message


@pytest.mark.parametrize("kind", ["application/json", "text/plain; charset=utf-8", "application/octet-stream", ""])
async def test_a_body_is_read_as_json_whatever_it_is_said_to_be(app: Application, kind: str) -> None:
    assert await index(app, b'{"ready": true}', **{"content-type": kind}) == []
    assert await index(app, b'{"ready": false}', **{"content-type": kind}) == ["m"]
    answer = await app.client.post(UNLOAD, content=b'{"parameters": {}}', headers={"content-type": kind})
    assert (answer.status_code, answer.json()) == (200, {"name": "m", "unload": True})
    assert not (await app.client.get("/admin/models/m")).json()["enabled"]
    answer = await app.client.post(LOAD, content=b'{"parameters": {}}', headers={"content-type": kind})
    assert answer.json() == {"error": "model 'm' is still loading"}
    assert (await app.client.get("/admin/models/m")).json()["enabled"]


@pytest.mark.parametrize("content", [b"", b" \n", b"null", b"{}", b'{"ready": null}'])
async def test_what_may_be_left_out_may_be_null(app: Application, content: bytes) -> None:
    assert await index(app, content) == ["m"]
    for body in (content, b'{"parameters": null}', b'{"parameters": {"unload_dependents": null}}'):
        assert (await app.client.post(UNLOAD, content=body)).status_code == 200
        loading = await app.client.post(LOAD, content=body.replace(b"unload_dependents", b"config"))
        assert loading.json() == {"error": "model 'm' is still loading"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"ready": 0}, "body.ready: Input should be a valid boolean"),
        ({"ready": 1}, "body.ready: Input should be a valid boolean"),
        ({"ready": "true"}, "body.ready: Input should be a valid boolean"),
        ({"ready": []}, "body.ready: Input should be a valid boolean"),
        ([], "must be a JSON object"),
        (True, "must be a JSON object"),
    ],
)
async def test_an_index_that_is_asked_for_wrongly_says_what_is_wrong(app: Application, body: Any, words: str) -> None:
    assert words in await refusal(app, "/v2/repository/index", body)


@pytest.mark.parametrize("content", [b"{", b"\xff", b"\xef\xbb\xbf{", b"[" * 2000])
async def test_what_is_no_json_is_said_to_be_none(app: Application, content: bytes) -> None:
    for path in ("/v2/repository/index", LOAD, UNLOAD):
        answer = await app.client.post(path, content=content)
        assert (answer.status_code, answer.json()["error"][:20]) == (400, "the body is not JSON")


@pytest.mark.parametrize(
    ("path", "parameters", "words"),
    [
        (LOAD, {"config": "{}"}, "loading takes no config: publish a version with it, POST /admin/models/m/versions"),
        (LOAD, {"file:1/model.onnx": "AA=="}, "loading takes no files ('file:1/model.onnx' came): upload them"),
        (LOAD, {"nonsense": 1}, "loading takes no parameters ('nonsense' came)"),
        (UNLOAD, {"unload_dependents": 1}, "unload_dependents must be true or false, not 1"),
        (UNLOAD, {"unload_dependents": "true"}, "unload_dependents must be true or false, not 'true'"),
        (UNLOAD, {"nonsense": 1}, "unknown parameter 'nonsense': unloading takes unload_dependents alone"),
        (LOAD, [], "body.parameters: Input should be a valid dictionary"),
        (UNLOAD, 1, "body.parameters: Input should be a valid dictionary"),
    ],
)
async def test_a_parameter_that_is_not_obeyed_is_refused_with_the_reason(
    app: Application, path: str, parameters: Any, words: str
) -> None:
    assert words in await refusal(app, path, {"parameters": parameters})
    assert (await app.client.get("/admin/models/m")).json()["enabled"]


async def test_no_model_depends_on_another_so_unloading_them_too_changes_nothing(app: Application) -> None:
    for unload_dependents in (True, False):
        body = {"parameters": {"unload_dependents": unload_dependents}}
        assert (await app.client.post(UNLOAD, json=body)).status_code == 200


async def test_a_body_over_the_limit_is_refused(app: Application) -> None:
    for path, limit in (("/v2/repository/index", 64 << 20), (LOAD, 4 << 20)):
        assert (await app.client.post(path, content=bytes(limit + 1))).status_code == 413
