"""Talks to a running gateway, and turns whatever goes wrong into one line that says what to do."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import httpx

from headrace.binary_data import JSON_LENGTH, decode_answer, encode_request
from headrace.errors import CommandError, unknown_model
from wire.errors import InvalidInput

# Loading a large file into the registry takes as long as it takes; a gateway that is silent for this long is not there.
TIMEOUT = httpx.Timeout(60, connect=5)
HIGHEST_PORT = 65535


class Api:
    """The HTTP API of the platform at `url`; `token` is needed by its admin part, where it asks for one."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, token: str | None = None) -> AsyncIterator["Api"]:
        headers = {b"authorization": f"Bearer {token}".encode()} if token else {}
        check_url(url)
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=TIMEOUT) as client:
            yield cls(client)

    @property
    def url(self) -> httpx.URL:
        return self._client.base_url

    async def call(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """What the gateway answers, read as JSON; None where it answers nothing. Raises CommandError."""
        return _json_of(await self.send(method, path, **({} if body is None else {"json": body}), **options))

    async def model(self, name: str, version: str | None = None) -> Any:
        """The model's metadata in OIP's form. Raises CommandError, for an unknown one with the names that come near."""
        response = await self.send("GET", model_path(name, version))
        if response.status_code == 404:
            names = [entry["name"] for entry in await self.call("POST", "/v2/repository/index", {})]
            if name not in names:
                raise unknown_model(name, sorted(set(names)))
        metadata = _json_of(response)
        if not isinstance(metadata, dict) or not metadata.keys() >= {"name", "task", "inputs"}:
            raise not_ours(response.url)
        return metadata

    async def infer(self, name: str, version: str | None, request: Mapping[str, Any]) -> Any:
        """The model's answer as JSON has it, with any number that a tensor may hold. Raises CommandError."""
        body, headers = encode_request(request, binary_output=True)
        response = await self.send("POST", f"{model_path(name, version)}/infer", content=body, headers=headers)
        if not response.is_success or JSON_LENGTH not in response.headers:
            return _json_of(response)
        try:
            return decode_answer(response.content, int(response.headers[JSON_LENGTH]))
        except (InvalidInput, ValueError, LookupError) as error:
            raise not_ours(response.url) from error

    async def has(self, path: str) -> bool:
        """Whether HEAD finds something there."""
        response = await self.send("HEAD", path)
        # Why a server can't tell, an answer without a body doesn't say: what is tried next will.
        if response.status_code == 404 or response.is_server_error:
            return False
        _json_of(response)
        return True

    async def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """The answer, whatever its status. Raises CommandError where there is none."""
        try:
            return await self._client.request(method, path, **options)
        except httpx.ConnectError as error:
            raise CommandError(
                f"nothing answers at {self.url}",
                "start a platform with `headrace up`, or name a running one with --url",
            ) from error
        except httpx.TimeoutException as error:
            raise CommandError(f"{self.url} did not answer in time", "look at its logs") from error
        except httpx.HTTPError as error:
            raise CommandError(f"the connection to {self.url} broke: {error}", "try again") from error


def model_path(name: str, version: str | None = None) -> str:
    """Where a model, or one of its versions, is asked about; `/infer` behind it is where it is asked."""
    return f"/v2/models/{quote(name, safe='')}" + (f"/versions/{quote(version, safe='')}" if version else "")


def check_url(url: str) -> None:
    """Raises CommandError, which says what is wrong with it, unless a platform could be there."""
    hint = "give one such as http://127.0.0.1:8000 with --url"
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise CommandError(f"{url!r} is no URL: {error}", hint) from error
    if parts.scheme not in ("http", "https") or not parts.host:
        raise CommandError(f"{url!r} is no URL", hint)
    if parts.port is not None and not 0 < parts.port <= HIGHEST_PORT:
        raise CommandError(f"{url!r} has no port from 1 to {HIGHEST_PORT}", hint)


def not_ours(where: object) -> CommandError:
    """The error for an answer that no gateway gives."""
    return CommandError(f"what answers at {where} is no headrace gateway", "look at --url or HEADRACE_URL")


def _json_of(response: httpx.Response) -> Any:
    if not response.is_success:
        raise CommandError(_error_of(response), _hint(response))
    try:
        return response.json() if response.content else None
    except ValueError as error:
        raise not_ours(response.url) from error


def _error_of(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        return f"{response.request.method} {response.request.url} was answered {response.status_code}"


def _hint(response: httpx.Response) -> str:
    match response.status_code:
        case 401 | 403:
            return "give the admin token with --token or HEADRACE_ADMIN_TOKEN"
        case 503 if response.headers.get("headrace-error") == "ModelNotReady" and "retry-after" not in response.headers:
            return "waiting will not help; `headrace status` shows what is loaded"
        case 429 | 503:
            return "try again in a moment; `headrace status` shows what is loaded"
        case _:
            return ""
