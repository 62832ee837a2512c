"""Which web pages may ask, whatever they ask for."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from gateway.settings import GatewaySettings
from tests.unit.gateway.application import Application, application

PAGE = "https://app.example"
ROUTES = [
    ("GET", "/v2"), ("GET", "/v2/health/live"), ("GET", "/v2/models"), ("GET", "/metrics"), ("GET", "/docs"),
    ("GET", "/openapi.json"), ("POST", "/v2/repository/index"), ("POST", "/v2/models/m/infer"), ("GET", "/v1/models"),
    ("POST", "/v1/embeddings"), ("POST", "/models/m"), ("GET", "/admin/models"), ("GET", "/nowhere"),
]  # fmt: skip


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[Application]:
    async with application(tmp_path) as app:
        yield app


def was_refused(answer: httpx.Response) -> bool:
    return answer.status_code == 403 and "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_on_this_machine_alone_other_pages_and_names_get_nothing(
    local: Application, method: str, path: str
) -> None:
    for headers in (
        {"origin": PAGE},
        {"origin": "http://127.0.0.1:3000"},
        {"origin": "http://localhost:8000"},
        {"origin": "null"},
        {"host": "attacker.example"},
        {"host": "127.0.0.1.attacker.example:8000"},
    ):
        assert was_refused(await local.client.request(method, path, headers=headers)), headers
    for headers in ({}, {"origin": "http://127.0.0.1:8000"}, {"host": "localhost:1"}, {"host": "[::1]"}):
        assert not was_refused(await local.client.request(method, path, headers=headers)), headers


async def test_a_name_that_nobody_elsewhere_can_own_is_answered(local: Application) -> None:
    assert (await local.client.get("/v2", headers={"host": "gateway:8000"})).status_code == 200


async def test_the_refusal_has_the_shape_that_clients_of_the_path_read(local: Application) -> None:
    answer = await local.client.post("/v1/embeddings", headers={"origin": PAGE, "x-request-id": "mine"})
    assert PAGE in answer.json()["error"]["message"]
    assert answer.headers["x-request-id"] == "mine"
    answer = await local.client.get("/v2", headers={"origin": PAGE})
    assert "cors_origins" in answer.json()["error"]


async def test_a_name_that_the_settings_list_is_answered(tmp_path: Path) -> None:
    async with application(tmp_path, hosts=("Models.example",)) as app:
        assert (await app.client.get("/v2", headers={"host": "models.example:443"})).status_code == 200
        assert was_refused(await app.client.get("/v2", headers={"host": "example.com"}))


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
async def test_a_listed_page_may_ask_and_read_the_answer(tmp_path: Path, host: str) -> None:
    async with application(tmp_path, host=host, cors_origins=(PAGE,)) as app:
        preflight = await app.client.options(
            "/v2/models/m/infer",
            headers={
                "origin": PAGE,
                "access-control-request-method": "POST",
                "access-control-request-headers": "content-type,x-request-timeout-ms",
            },
        )
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == PAGE
        assert "POST" in preflight.headers["access-control-allow-methods"]
        assert "x-request-timeout-ms" in preflight.headers["access-control-allow-headers"]
        for method, path in ROUTES:
            answer = await app.client.request(method, path, headers={"origin": PAGE})
            assert answer.headers["access-control-allow-origin"] == PAGE, path
            assert "x-cache" in answer.headers["access-control-expose-headers"]
            assert answer.headers["vary"] == "origin"


async def test_where_others_can_reach_it_an_unlisted_page_cannot_read_the_answer(tmp_path: Path) -> None:
    async with application(tmp_path, host="0.0.0.0", cors_origins=(PAGE,)) as app:
        for headers in ({"origin": "https://attacker.example"}, {}):
            answer = await app.client.get("/v2", headers=headers)
            assert answer.status_code == 200
            assert "access-control-allow-origin" not in answer.headers
        headers = {"origin": "https://attacker.example", "access-control-request-method": "POST"}
        assert (await app.client.options("/v2/models/m/infer", headers=headers)).status_code == 405


@pytest.mark.parametrize("origin", ["*", "app.example", "https://app.example/", "https://", "null"])
def test_what_is_no_origin_is_refused_by_name(origin: str) -> None:
    with pytest.raises(ValueError, match="scheme://host"):
        GatewaySettings(cors_origins=(origin,))
