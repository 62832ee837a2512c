"""The admin API's client: what it sends, and what it says when something is wrong."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from headrace.api import Api
from headrace.errors import CommandError
from headrace.remote_registry import RemoteRegistry
from storage.importers import import_model
from tests.unit.headrace.test_models_commands import write_model

URL = "http://platform"


def registry(answer: httpx.MockTransport) -> RemoteRegistry:
    return RemoteRegistry(Api(httpx.AsyncClient(base_url=URL, transport=answer)))


async def test_only_missing_files_are_sent_and_then_the_manifest(tmp_path: Path) -> None:
    imported = import_model(write_model(tmp_path / "m.onnx", 1), "m")
    (file,) = imported.manifest.files
    there: dict[str, bytes] = {}
    calls: list[str] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        sha256 = request.url.path.rpartition("/")[2]
        calls.append(f"{request.method} {request.url.path}")
        match request.method:
            case "HEAD":
                return httpx.Response(200 if sha256 in there else 404)
            case "PUT":
                assert int(request.headers["content-length"]) == file.size
                there[sha256] = await request.aread()
                return httpx.Response(200, json={"sha256": sha256, "size": len(there[sha256])})
        version = {"id": 1, "model": "m", "number": 1, "digest": imported.manifest.digest, "failure": None}
        created = {"manifest": imported.manifest.model_dump(mode="json"), "created_at": "2026-01-01T00:00:00Z"}
        return httpx.Response(200, json=version | created)

    remote = registry(httpx.MockTransport(answer))
    head, put, post = (
        f"HEAD /admin/files/{file.sha256}",
        f"PUT /admin/files/{file.sha256}",
        "POST /admin/models/m/versions",
    )
    assert (await remote.add(imported, None)).number == 1
    assert calls == [head, put, post]
    assert there[file.sha256] == imported.files[file.path].read_bytes()
    await remote.add(imported, "candidate")
    assert calls == [head, put, post, head, post]


async def test_why_a_store_is_away_is_said_though_the_answer_to_head_has_no_body(tmp_path: Path) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(503, json=None if request.method == "HEAD" else {"error": "the artifact store is full"})

    with pytest.raises(CommandError, match="the artifact store is full"):
        await registry(httpx.MockTransport(answer)).add(import_model(write_model(tmp_path / "m.onnx", 1), "m"), None)


@pytest.mark.parametrize(
    ("status", "hint"), [(401, "HEADRACE_ADMIN_TOKEN"), (403, "HEADRACE_ADMIN_TOKEN"), (503, "try again"), (409, "")]
)
async def test_what_the_platform_says_is_passed_on(status: int, hint: str) -> None:
    remote = registry(httpx.MockTransport(lambda request: httpx.Response(status, json={"error": "because"})))
    with pytest.raises(CommandError, match="because") as refused:
        await remote.rollback("m", "stable")
    assert hint in refused.value.hint


async def test_an_alias_is_removed_at_its_path() -> None:
    calls: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        calls.append(f"{request.method} {request.url.raw_path.decode()}")
        return httpx.Response(200, json={})

    await registry(httpx.MockTransport(answer)).remove_alias("m", "of/two")
    assert calls == ["DELETE /admin/models/m/aliases/of%2Ftwo"]


@pytest.mark.parametrize(
    ("headers", "hint"),
    [
        ({"headrace-error": "ModelNotReady"}, "waiting will not help"),
        ({"headrace-error": "ModelNotReady", "retry-after": "1"}, "try again in a moment"),
    ],
)
async def test_only_what_waiting_helps_is_to_be_tried_again(headers: dict[str, str], hint: str) -> None:
    answer = httpx.MockTransport(lambda request: httpx.Response(503, json={"error": "because"}, headers=headers))
    with pytest.raises(CommandError) as refused:
        await Api(httpx.AsyncClient(base_url=URL, transport=answer)).call("POST", "/v2/models/m/infer", {})
    assert hint in refused.value.hint


async def test_an_answer_that_is_not_ours_is_an_error_too() -> None:
    remote = registry(httpx.MockTransport(lambda request: httpx.Response(502, text="<html>bad gateway</html>")))
    with pytest.raises(CommandError, match="502"):
        await remote.models()


@pytest.mark.parametrize(
    "answer",
    [{"text": "<html>welcome</html>"}, {"content": b"\xff\xfe"}, {"json": {"hello": "world"}}, {"content": b""}],
)
async def test_what_answers_and_is_no_gateway_is_said(answer: dict[str, Any]) -> None:
    api = Api(httpx.AsyncClient(base_url=URL, transport=httpx.MockTransport(lambda _: httpx.Response(200, **answer))))
    for ask in (RemoteRegistry(api).models(), RemoteRegistry(api).rollback("m", "stable"), api.model("m")):
        with pytest.raises(CommandError, match="is no headrace gateway") as refused:
            await ask
        assert "--url" in refused.value.hint
