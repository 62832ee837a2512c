from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic

import pytest

from gateway.auth import WRONG_TOKEN_S
from tests.unit.gateway.application import Application, application

TOKEN = "a long secret"


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Application]:
    async with application(tmp_path, admin_token=TOKEN, host="0.0.0.0") as app:
        yield app


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[Application]:
    async with application(tmp_path) as app:
        yield app


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Bearer ", "Basic YTpi", TOKEN, f"Bearer {TOKEN}x"])
async def test_without_the_token_nothing_is_changed_or_told(guarded: Application, header: str | None) -> None:
    headers = {"authorization": header} if header else {}
    for method, path in (
        ("GET", "/admin/models"),
        ("DELETE", "/admin/models/m"),
        ("PUT", f"/admin/files/{'0' * 64}"),
        ("POST", "/v2/repository/models/m/unload"),
    ):
        answer = await guarded.client.request(method, path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert "token" in answer.json()["error"]


async def test_who_guesses_the_token_is_logged_and_waits(
    guarded: Application, caplog: pytest.LogCaptureFixture
) -> None:
    began = monotonic()
    answer = await guarded.client.get("/admin/models", headers={"authorization": "Bearer wrong"})
    assert answer.status_code == 401
    assert monotonic() - began >= WRONG_TOKEN_S
    (line,) = [record.getMessage() for record in caplog.records if record.name == "gateway.auth"]
    assert "a wrong token came from" in line
    assert "Bearer" not in line


async def test_whoever_lacks_the_token_has_no_body_read(guarded: Application) -> None:
    asked = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal asked
        asked += 1
        yield b"no JSON"

    for method, path in (
        ("POST", "/admin/models/m/versions"),
        ("POST", "/admin/models/m/promote"),
        ("PUT", "/admin/models/m/route"),
        ("PUT", f"/admin/files/{'0' * 64}"),
        ("POST", "/v2/repository/models/m/load"),
    ):
        answer = await guarded.client.request(
            method, path, content=body(), headers={"content-type": "application/json"}
        )
        assert answer.status_code == 401, path
    assert asked == 0


async def test_the_token_opens_the_admin_api_from_anywhere(guarded: Application) -> None:
    headers = {"authorization": f"Bearer {TOKEN}", "host": "gateway.example"}
    assert (await guarded.client.get("/admin/models", headers=headers)).json() == []


async def test_what_changes_nothing_needs_no_token(guarded: Application) -> None:
    for method, path in (("GET", "/v2"), ("GET", "/v2/models"), ("POST", "/v2/repository/index"), ("GET", "/metrics")):
        assert (await guarded.client.request(method, path)).status_code == 200


async def test_without_a_token_the_admin_api_is_closed_where_others_can_reach_it(tmp_path: Path) -> None:
    async with application(tmp_path, host="0.0.0.0") as app:
        answer = await app.client.get("/admin/models")
        assert answer.status_code == 403
        assert "HEADRACE_ADMIN_TOKEN" in answer.json()["error"]


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000"])
async def test_without_a_token_this_machine_may(local: Application, host: str) -> None:
    assert (await local.client.get("/admin/models", headers={"host": host})).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "attacker.example:8000"},  # a name that was made to lead here
        {"host": "[attacker"},
        {"host": ""},
        {"host": "gateway"},
        {"origin": "https://attacker.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:8000", "host": "localhost:8000"},
        {"origin": "http://127.0.0.1:3000"},  # what another program of this machine serves
        {"forwarded": "for=192.0.2.7"},
        {"x-forwarded-for": "127.0.0.1"},
        {"X-Forwarded-Proto": "https"},
        {"x-forwarded-host": "127.0.0.1:8000"},
        {"x-real-ip": "127.0.0.1"},
        {"via": "1.1 proxy"},
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/admin/models"), ("POST", "/v2/repository/models/m/unload"), ("DELETE", "/admin/models/m")],
)
async def test_without_a_token_no_web_page_and_no_proxy_may(
    local: Application, headers: dict[str, str], method: str, path: str
) -> None:
    answer = await local.client.request(method, path, headers=headers)
    assert answer.status_code == 403
    assert answer.json()["error"]


async def test_a_page_of_the_gateway_itself_may(local: Application) -> None:
    headers = {"origin": "http://localhost:8000", "host": "localhost:8000"}
    assert (await local.client.get("/admin/models", headers=headers)).status_code == 200


async def test_with_the_token_a_proxy_may_hand_on(tmp_path: Path) -> None:
    async with application(tmp_path, admin_token=TOKEN) as app:
        headers = {"authorization": f"Bearer {TOKEN}", "x-forwarded-for": "192.0.2.7"}
        assert (await app.client.get("/admin/models", headers=headers)).status_code == 200


async def test_the_description_asks_for_the_token_only_where_there_is_one(
    guarded: Application, local: Application
) -> None:
    with_token, without = [(await app.client.get("/openapi.json")).json() for app in (guarded, local)]
    assert with_token["paths"]["/admin/models"]["get"]["security"]
    assert "security" not in with_token["paths"]["/v2/models"]["get"]
    assert "security" not in without["paths"]["/admin/models"]["get"]
