from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import ClientDisconnect

from gateway.api import errors
from gateway.api.errors import of_storage
from gateway.api.guarded_router import MAX_JSON_BYTES
from storage import errors as storage
from tests.unit.gateway.application import Application, application
from wire.errors import ServingError, Unavailable
from wire.status import http_status


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[Application]:
    async with application(tmp_path, max_body_bytes=1000) as app:
        yield app


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/v2/nowhere/at/all", 404),
        ("GET", "/v2/models/nothing", 404),
        ("POST", "/v2/models/nothing/infer", 400),
        ("DELETE", "/v2", 405),
        ("GET", "/v2/models/m/infer", 405),
        ("GET", "/admin/events?limit=many", 400),
        ("GET", "/admin/models/nothing", 404),
        ("GET", "/docs/files/nothing", 404),
    ],
)
async def test_every_error_is_one_sentence_in_one_shape(app: Application, method: str, path: str, status: int) -> None:
    answer = await app.client.request(method, path, headers={"x-request-id": "mine"})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"] == "mine"
    (sentence,) = answer.json().values()
    assert list(answer.json()) == ["error"]
    assert isinstance(sentence, str)
    assert sentence


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/v1/nowhere", 404, "NotFound"),
        ("GET", "/v1/models/nothing", 404, "ModelNotFound"),
        ("POST", "/v1/embeddings", 400, "InvalidInput"),
        ("PUT", "/v1/embeddings", 405, "MethodNotAllowed"),
    ],
)
async def test_under_v1_errors_have_openai_s_shape(
    app: Application, method: str, path: str, status: int, kind: str
) -> None:
    answer = await app.client.request(method, path)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert error.pop("message")
    assert error == {"type": "invalid_request_error", "param": None, "code": kind}


async def test_what_does_not_validate_is_named_and_not_repeated(app: Application) -> None:
    promoted = await app.client.post("/admin/models/m/promote", json={"alias": "secret", "version": [1]})
    assert promoted.status_code == 400
    assert "body.version" in promoted.json()["error"]
    assert "secret" not in promoted.json()["error"]
    no_json = await app.client.post(
        "/admin/models/m/promote", content=b'{"version": ', headers={"content-type": "application/json"}
    )
    assert no_json.json()["error"].startswith("the body is not JSON")
    undeclared = await app.client.post("/admin/models/m/promote", content=b'{"version": 1}')
    assert "Content-Type: application/json" in undeclared.json()["error"]


async def test_a_refused_method_is_answered_with_all_that_the_path_takes(app: Application) -> None:
    answer = await app.client.patch(f"/admin/files/{'0' * 64}")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "HEAD, PUT"
    assert (await app.client.patch("/admin/models/m")).headers["allow"] == "DELETE, GET, HEAD"


async def test_a_body_over_the_limit_is_refused_before_it_is_read(app: Application) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield bytes(100)

    limits = {"/admin/models/m/promote": MAX_JSON_BYTES, "/v2/repository/index": 1000, "/v2/models/m/infer": 1000}
    for path, limit in limits.items():
        sent = 0
        answer = await app.client.post(path, content=endless(), headers={"content-type": "application/json"})
        assert answer.status_code == 413
        assert "bytes that" in answer.json()["error"]
        assert sent < limit / 100 + 10
        large = bytes(limit + 1)
        announced = await app.client.post(path, content=large, headers={"content-type": "application/json"})
        assert announced.status_code == 413
        assert str(limit) in announced.json()["error"]


async def test_slashes_at_the_end_are_not_redirected(app: Application) -> None:
    assert (await app.client.get("/v2/")).status_code == 200
    assert (await app.client.get("/v2/models/")).status_code == 404


@pytest.mark.parametrize("error", [RuntimeError("password=1234"), storage.Drift("password=1234")])
async def test_what_went_wrong_inside_is_not_told(error: Exception) -> None:
    app = FastAPI()
    errors.install(app)

    @app.get("/")
    async def break_down() -> None:
        raise error

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get("/")
    assert (answer.status_code, answer.json()) == (500, {"error": "internal error"})


async def test_a_client_that_left_while_it_was_sending_is_no_failure_of_ours() -> None:
    app = FastAPI()
    errors.install(app)

    @app.get("/")
    async def break_down() -> None:
        raise ClientDisconnect

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        assert (await client.get("/")).status_code == 499


def test_every_refusal_of_storage_that_a_client_can_cause_is_the_client_s() -> None:
    ours = {storage.StorageError, storage.InvalidUrl, storage.Drift}
    for kind in all_kinds(storage.StorageError):
        error = of_storage(kind("what is wrong"))
        if kind in ours:
            assert type(error) is ServingError
        else:
            assert http_status(error) in (400, 404, 409, 503)
            assert str(error) == "what is wrong"
    for down in (storage.Unavailable(), storage.NotMigrated()):
        assert type(of_storage(down)) is Unavailable  # and not, as no worker is to blame, WorkerUnavailable
        assert of_storage(down).retry_after == 1


def all_kinds(kind: type[storage.StorageError]) -> set[type[storage.StorageError]]:
    return {kind}.union(*map(all_kinds, kind.__subclasses__()))
