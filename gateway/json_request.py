"""JSON beside inference, within the limits that inference has."""

from typing import Any

from starlette.requests import Request

from wire.json_body import JsonLimits, read_json


class JsonRequest(Request):
    """A request whose JSON is counted before it is parsed, and parsed as that of inference is."""

    def __init__(self, request: Request, limits: JsonLimits) -> None:
        super().__init__(request.scope, request.receive)
        self._limits = limits

    async def json(self) -> Any:
        content = await self.body()
        return None if content.strip() == b"null" else read_json(content, self._limits, "the body")
