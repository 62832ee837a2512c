"""The client of a gateway's API: whatever goes wrong is one line that says what to do."""

from typing import Any

import httpx
import pytest

from headrace.api import Api
from headrace.errors import CommandError

URL = "http://platform"


def api(*answers: httpx.Response | Exception) -> Api:
    """A client whose requests are answered with these, one after the other."""
    waiting = list(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        told = waiting.pop(0)
        if isinstance(told, Exception):
            raise told
        return told

    return Api(httpx.AsyncClient(base_url=URL, transport=httpx.MockTransport(answer)))


@pytest.mark.parametrize(
    ("error", "words", "hint"),
    [
        (httpx.ConnectError("refused"), "nothing answers at http://platform", "headrace up"),
        (httpx.ReadTimeout("slow"), "http://platform.* did not answer in time", "logs"),
        (httpx.ReadError("cut"), "the connection to http://platform.* broke: cut", "try again"),
    ],
)
async def test_a_platform_that_does_not_answer_is_named_with_what_to_do(
    error: Exception, words: str, hint: str
) -> None:
    with pytest.raises(CommandError, match=words) as told:
        await api(error).call("GET", "/v2")
    assert hint in told.value.hint


@pytest.mark.parametrize(
    ("status", "headers", "hint"),
    [
        (401, {}, "--token"),
        (403, {}, "HEADRACE_ADMIN_TOKEN"),
        (429, {}, "in a moment"),
        (503, {"headrace-error": "ModelNotReady", "retry-after": "1"}, "in a moment"),
        (503, {"headrace-error": "ModelNotReady"}, "waiting will not help"),
        (400, {}, ""),
    ],
)
async def test_a_refusal_is_told_as_the_gateway_says_it_with_what_to_do(
    status: int, headers: dict[str, str], hint: str
) -> None:
    with pytest.raises(CommandError, match=r"^no$") as told:
        await api(httpx.Response(status, headers=headers, json={"error": "no"})).call("GET", "/v2")
    assert hint in told.value.hint


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"detail": "no"}'])
async def test_an_error_that_is_none_of_a_gateway_s_is_told_by_its_status(body: bytes) -> None:
    with pytest.raises(CommandError, match="GET http://platform/v2 was answered 502"):
        await api(httpx.Response(502, content=body)).call("GET", "/v2")


@pytest.mark.parametrize("body", [b"hello", b'["m"]', b'{"name": "m", "inputs": []}'])
async def test_what_is_no_gateway_is_called_so(body: bytes) -> None:
    with pytest.raises(CommandError, match="what answers at http://platform/v2/models/m is no headrace gateway"):
        await api(httpx.Response(200, content=body)).model("m")


async def test_an_unknown_model_is_told_with_the_names_that_come_near() -> None:
    index: list[dict[str, Any]] = [{"name": "digits"}, {"name": "minilm"}]
    answers = httpx.Response(404, json={"error": "no"}), httpx.Response(200, json=index)
    with pytest.raises(CommandError, match="digit") as told:
        await api(*answers).model("digit")
    assert "digits" in f"{told.value} {told.value.hint}"


async def test_an_unknown_version_of_a_known_model_is_told_as_the_gateway_says_it() -> None:
    answers = (
        httpx.Response(404, json={"error": "digits has no version 7"}),
        httpx.Response(200, json=[{"name": "digits"}]),
    )
    with pytest.raises(CommandError, match="digits has no version 7"):
        await api(*answers).model("digits", "7")
