"""What is asked of a model as it is typed, and how its answers are shown to people."""

import io
import json
import math
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from headrace.binary_data import JSON_LENGTH
from headrace.infer_command import brief, rows_of
from tests.unit.headrace.conftest import Run
from wire.codec import decode_request, encode_response
from wire.errors import InvalidInput
from wire.messages import InferResponse
from wire.tensors import Tensor


@contextmanager
def gateway(
    task: str, inputs: dict[str, Any], output: dict[str, Any] | InferResponse
) -> Iterator[tuple[str, list[Any]]]:
    """One with a model `m` that always answers `output`, a response in binary where it is asked for: its URL, and the
    JSON of what it was asked, or the request where bytes came."""
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            outputs = [] if isinstance(output, dict) else output.outputs
            floats = [{"name": each.name, "datatype": each.datatype, "shape": [-1]} for each in outputs]
            self.answer({"name": "m", "task": task, "inputs": [inputs], "outputs": floats})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            length = self.headers[JSON_LENGTH]
            request = decode_request(body, None if length is None else int(length), "m", None)
            asked.append(json.loads(body) if length is None else request)
            if isinstance(output, dict):
                return self.answer({"outputs": [output]})
            try:
                content, length = encode_response(output, request)
            except InvalidInput as error:
                return self.answer({"error": str(error)}, 400)
            self.send(200, content, **({} if length is None else {JSON_LENGTH: str(length)}))

        def answer(self, value: Any, status: int = 200) -> None:
            self.send(status, json.dumps(value).encode())

        def send(self, status: int, body: bytes, **headers: str) -> None:
            self.send_response(status)
            for name, value in {"content-length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            serving.join()


TEXT = {"name": "text", "datatype": "BYTES", "shape": [-1]}


def strings(*rows: str) -> dict[str, Any]:
    return {"name": "labels", "datatype": "BYTES", "shape": [len(rows)], "data": list(rows)}


@pytest.mark.parametrize(("task", "shown"), [("text-classification", '  {"a": 1.0}'), ("tensors", '  {"a":  1.0}')])
def test_a_row_of_json_is_shown_as_what_it_holds_where_the_task_answers_json(run: Run, task: str, shown: str) -> None:
    with gateway(task, TEXT, strings('{"a":  1.0}')) as (url, asked):
        result = run("infer", "m", "[1]", "2", "--url", url)
    assert result.out.splitlines() == ["labels BYTES [1]", shown]
    (request,) = asked
    assert request["inputs"] == [{**TEXT, "shape": [2], "data": ["[1]", "2"]}]


@pytest.mark.parametrize(
    ("inputs", "typed", "said"),
    [
        (
            TEXT,
            ['[["good fine"],["bad sad"]]', "x"],
            """'[["good fine"],["bad sad"]]' was read as one text, and not as""",
        ),
        (TEXT, ["[sic] fine", "7"], None),
        ({**TEXT, "shape": [-1, 2]}, ['[["good", "fine"]]'], None),
    ],
)
def test_that_json_was_read_as_one_text_is_told(
    run: Run, inputs: dict[str, Any], typed: list[str], said: str | None
) -> None:
    with gateway("tensors", inputs, strings("a")) as (url, _):
        result = run("infer", "m", *typed, "--url", url)
        assert run("infer", "m", *typed, "--url", url, "--json").err == ""
    assert result.out.splitlines() == ["labels BYTES [1]", "  a"]
    assert (said or "") in result.err
    assert bool(result.err) is (said is not None)


def test_of_standard_input_each_line_is_a_text_or_the_whole_one_value(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = {"name": "x", "datatype": "FP32", "shape": [-1, 2]}
    for inputs, typed, data in ((TEXT, "one\n[2]\n", ["one", "[2]"]), (numbers, "[[1,\n2]]", [[1, 2]])):
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        with gateway("tensors", inputs, strings()) as (url, asked):
            assert run("infer", "m", "-", "--url", url).code == 0
        assert asked[0]["inputs"][0]["data"] == data


@pytest.mark.parametrize(
    ("shape", "data", "rows"),
    [([2], ["a", "b"], ["a", "b"]), ([2, 2], [1, 2, 3, 4], [[1, 2], [3, 4]]), ([0, 3], [], []), ([], [5], [5])],
)
def test_flat_data_is_cut_into_the_rows_of_its_shape(shape: list[int], data: list[Any], rows: list[Any]) -> None:
    assert rows_of({"shape": shape, "data": data}) == rows


def test_a_row_is_one_line() -> None:
    assert brief([0.5] * 384, as_json=False).endswith("... (384)")
    assert brief([1, 2], as_json=False) == "1 2"
    assert brief('{"label": "gut", "score": 0.9}', as_json=True) == '{"label": "gut", "score": 0.9}'
    assert brief("plain text", as_json=False) == "plain text"
    assert brief(0.25, as_json=False) == "0.25"


def test_a_string_of_a_graph_is_shown_as_it_is_even_where_it_looks_like_a_number() -> None:
    assert brief("1e3", as_json=False) == "1e3"


HALF = {"name": "x", "datatype": "FP16", "shape": [-1, 2]}
NUMBERS = struct.pack("<6e", 0.5, -2, 65504, math.nan, math.inf, -math.inf)


def test_numbers_that_json_cannot_hold_are_sent_as_bytes_and_shown_as_words(run: Run) -> None:
    response = InferResponse(
        "m", "1", (Tensor("y", "FP16", (2, 3), NUMBERS), Tensor("b", "BYTES", (1,), b"\1\0\0\0\xff"))
    )
    with gateway("tensors", HALF, response) as (url, asked):
        result = run("infer", "m", "[[0.5, NaN], [1, -Infinity]]", "--url", url)
        as_json = run("infer", "m", "[0.5, 1]", "--url", url, "--json")
    assert result.out.splitlines() == [
        *("y FP16 [2, 3]", "  0.5 -2 6.55e+04", "  NaN Infinity -Infinity"),
        *("b BYTES [1]", "  \\xff"),
    ]
    assert asked[0].inputs == [Tensor("x", "FP16", (2, 2), struct.pack("<4e", 0.5, math.nan, 1, -math.inf))]
    shown, _ = json.loads(as_json.out)["outputs"]
    assert shown["data"][:3] == [0.5, -2, 65504]
    assert str(shown["data"][3:]) == "[nan, inf, -inf]"


def test_a_model_of_many_numbers_is_measured_in_binary(run: Run) -> None:
    wide = {"name": "x", "datatype": "FP32", "shape": [-1, 3, 100, 100]}
    response = InferResponse("m", "1", (Tensor("y", "INT32", (1,), bytes(4)),))
    with gateway("tensors", wide, response) as (url, asked):
        result = run("bench", "m", "--url", url, "--seconds", "0.1", "--concurrency", "1", "--rows", "2", "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["rows"] == 2
    assert asked[0].inputs[0].shape == (2, 3, 100, 100)
    assert isinstance(asked[0].inputs[0].data, memoryview)  # not of JSON


def test_rows_that_a_model_does_not_take_are_not_said_to_be_measured(run: Run) -> None:
    fixed = {"name": "x", "datatype": "FP32", "shape": [4, 2]}
    response = InferResponse("m", "1", (Tensor("y", "INT32", (4,), bytes(16)),))
    options = ("--seconds", "0.1", "--concurrency", "1", "--json")
    with gateway("tensors", fixed, response) as (url, _):
        refused = run("bench", "m", "--url", url, "--rows", "8", *options)
        measured = run("bench", "m", "--url", url, *options)
    assert refused.code == 1
    assert "has a first dimension of 4" in refused.err
    assert "leave out --rows" in refused.err
    assert json.loads(measured.out)["rows"] == 4


def test_a_model_of_halves_or_of_what_is_no_number_is_measured(run: Run) -> None:
    response = InferResponse("m", "1", (Tensor("y", "FP32", (1,), struct.pack("<f", math.nan)),))
    with gateway("tensors", HALF, response) as (url, asked):
        result = run("bench", "m", "--url", url, "--seconds", "0.1", "--concurrency", "1")
    assert result.code == 0, result.err
    assert (asked[0].inputs[0].datatype, asked[0].inputs[0].shape) == ("FP16", (1, 2))
