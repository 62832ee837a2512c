"""`headrace infer`: ask a model once."""

import asyncio
import json
import sys
from math import isfinite
from typing import Annotated, Any

import typer

from headrace import options


@options.on_platform
def infer(
    platform: options.Platform,
    name: options.Model,
    values: Annotated[
        list[str], typer.Argument(metavar="TEXT_OR_JSON...", help="Texts, or tensors as one JSON value; - reads them.")
    ],
    version: options.Version = None,
) -> None:
    """Ask a model. Where its only input is a text a row, each value, or line of standard input, is a text, JSON too.

    FP16 and BF16 are typed and shown as numbers; NaN, Infinity and -Infinity as these words, in --json too.
    """
    json_rows, as_text, response = asyncio.run(_infer(platform, name, version, values))
    if platform.as_json:
        print(json.dumps(response, indent=2, ensure_ascii=False))  # orjson would make null of NaN
        return
    if as_text is not None:
        note = f"{name} takes texts, one a value or a line of standard input: {as_text!r:.60} was read as one text"
        print(f"note: {note}, and not as JSON", file=sys.stderr)
    for tensor in response["outputs"]:
        print(f"{tensor['name']} {tensor['datatype']} {tensor['shape']}")
        for row in rows_of(tensor):
            print(f"  {brief(row, as_json=json_rows)}")


async def _infer(
    platform: options.Platform, name: str, version: str | None, values: list[str]
) -> tuple[bool, str | None, Any]:
    """Whether strings in the answer are rows of JSON, the first text that could be rows of JSON too, and the answer."""
    from headrace.api import Api
    from headrace.sample import contract_of, request_of, takes_texts

    async with Api.open(platform.gateway_url, platform.token) as api:
        metadata = await api.model(name, version)
        if values == ["-"]:
            values = sys.stdin.read().splitlines() if takes_texts(metadata) else [sys.stdin.read()]
        answer = await api.infer(name, version, request_of(metadata, values))
        as_text = next(filter(_holds_rows, values), None) if takes_texts(metadata) else None
        return contract_of(metadata).json_rows, as_text, answer


def _holds_rows(text: str) -> bool:
    try:
        return text.lstrip()[:1] in ("[", "{") and isinstance(json.loads(text), list | dict)
    except (ValueError, RecursionError):
        return False


def rows_of(tensor: dict[str, Any]) -> list[Any]:
    """The tensor's data, one entry for each row. JSON data is flat on the wire, row-major."""
    data, shape = tensor["data"], tensor["shape"]
    if len(shape) < 2 or not data:
        return list(data)
    size = len(data) // shape[0]
    return [data[at : at + size] for at in range(0, len(data), size)]


def brief(row: Any, *, as_json: bool) -> str:
    """A row on one line: long ones are cut, and strings that are JSON are shown as what they hold."""
    if isinstance(row, str):
        return json.dumps(json.loads(row), ensure_ascii=False) if as_json else row
    if isinstance(row, list):
        shown = [_number(x, 4) if isinstance(x, float) else str(x) for x in row[:10]]
        return " ".join(shown) + (f" ... ({len(row)})" if len(row) > 10 else "")
    return _number(row, 6) if isinstance(row, float) else str(row)


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}g}" if isfinite(value) else json.dumps(value)
