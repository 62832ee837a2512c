"""`headrace infer`: ask a model once."""

import asyncio
import json
import sys
from typing import Annotated, Any
from urllib.parse import quote

import typer

from headrace import options


def infer(
    name: options.Model,
    values: Annotated[
        list[str], typer.Argument(metavar="TEXT_OR_JSON...", help="Texts, or tensors as one JSON value; - reads them.")
    ],
    version: Annotated[str | None, typer.Option(help="A version's number or alias; unless given, `stable`.")] = None,
    url: options.Url = None,
    token: options.Token = None,
    data: options.Data = options.DATA,
    as_json: options.Json = False,
) -> None:
    """Ask a model. For a text model every value, or line of standard input, is a text of its own."""
    from headrace.output import print_json

    response = asyncio.run(_infer(options.gateway_url(url, data), token, name, version, values))
    if as_json:
        print_json(response)
        return
    for tensor in response["outputs"]:
        print(f"{tensor['name']} {tensor['datatype']} {tensor['shape']}")
        for row in rows_of(tensor):
            print(f"  {brief(row)}")


async def _infer(url: str, token: str | None, name: str, version: str | None, values: list[str]) -> Any:
    from headrace.api import Api
    from headrace.sample import request_of, takes_text

    async with Api.open(url, token) as api:
        metadata = await api.model(name, version)
        if values == ["-"]:
            values = sys.stdin.read().splitlines() if takes_text(metadata) else [sys.stdin.read()]
        where = f"/v2/models/{quote(name, safe='')}" + (f"/versions/{quote(version, safe='')}" if version else "")
        return await api.call("POST", f"{where}/infer", request_of(metadata, values))


def rows_of(tensor: dict[str, Any]) -> list[Any]:
    """The tensor's data, one entry for each row. JSON data is flat on the wire, row-major."""
    data, shape = tensor["data"], tensor["shape"]
    if len(shape) < 2 or not data:
        return list(data)
    size = len(data) // shape[0]
    return [data[at : at + size] for at in range(0, len(data), size)]


def brief(row: Any) -> str:
    """A row on one line: long ones are cut, and rows of JSON are shown as what they hold."""
    if isinstance(row, str):
        try:
            return json.dumps(json.loads(row), ensure_ascii=False)
        except json.JSONDecodeError:
            return row
    if isinstance(row, list):
        shown = [f"{x:.4g}" if isinstance(x, float) else str(x) for x in row[:10]]
        return " ".join(shown) + (f" ... ({len(row)})" if len(row) > 10 else "")
    return f"{row:.6g}" if isinstance(row, float) else str(row)
