"""Malformed tensors get a 4xx that says why; no input takes a worker down."""

import gzip
import struct
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.platform import Platform

LENGTH = "inference-header-content-length"
ROW = np.array([[1, 2, 3, 4]], np.float32).tobytes()
MANY = settings(
    max_examples=300, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
Parts = tuple[bytes, dict[str, str]]


@pytest.fixture(autouse=True)
def _the_workers_live_on(platform: Platform) -> Iterator[None]:
    before = platform.workers()
    yield
    answer = platform.http.post("/v2/models/double/infer", **request(binary(ROW)))
    assert answer.status_code == 200, answer.text
    assert platform.workers() == before


def binary(data: bytes, /, **fields: Any) -> Parts:
    """A request to `double` with one binary tensor; `fields` go over the honest ones of its JSON."""
    size = fields.pop("size", len(data))
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4], "parameters": {"binary_data_size": size}, **fields}
    head = orjson.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}})
    return head + data, {LENGTH: str(len(head))}


def request(parts: Parts, **headers: str) -> dict[str, Any]:
    body, own = parts
    return {"content": body, "headers": own | headers}


def refused(answer: httpx.Response) -> str:
    assert 400 <= answer.status_code < 500, answer.text
    message: str = answer.json()["error"]
    assert message
    return message


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (binary(ROW, size=15), "15 came"),
        (binary(ROW, size=17), "17 bytes are announced"),
        (binary(ROW, size=2**63), "announced"),
        (binary(ROW, size=-1), "non-negative"),
        (binary(ROW, size=16.0), "integer"),
        (binary(ROW, size=True), "integer"),
        (binary(ROW[:-1]), "15 came"),
        (binary(ROW + b"\0"), "17 came"),
        (binary(ROW, size=0), "0 came"),
        (binary(ROW, shape=[-1, 4]), "non-negative"),
        (binary(ROW, shape=[1, -4]), "non-negative"),
        (binary(ROW, shape=[2**40, 4]), "bytes, 16 came"),
        (binary(ROW, shape=[2**62, 4]), "than 9223372036854775807 elements"),
        (binary(ROW, shape=[2**32, 2**32]), "than 9223372036854775807 elements"),
        (binary(ROW, shape=[2**63 - 1] * 300), "more than 32 dimensions"),
        (binary(b"", shape=[2**40, 0]), "1099511627776 rows"),
        (binary(ROW, shape=[4]), "[4]"),
        (binary(ROW, shape=[1, 4, 1]), "[1, 4, 1]"),
        (binary(ROW, shape=[1.0, 4]), "non-negative integers"),
        (binary(ROW, shape=None), "shape"),
        (binary(ROW, datatype="FP31"), "unknown datatype"),
        (binary(ROW, datatype="INT32"), "FP32"),
        (binary(ROW, datatype=None), "unknown datatype"),
        (binary(struct.pack("<I", 2**32 - 1), datatype="BYTES", shape=[1]), "elements"),
        (binary(struct.pack("<I", 0) * 3, datatype="BYTES", shape=[2]), "2 elements"),
        (binary(ROW, name=""), "name"),
        (binary(ROW, name=3), "name"),
        (binary(ROW, parameters="none"), "parameters"),
        ((b"", {}), "JSON"),
        ((b"{}", {}), "inputs"),
        ((b'{"inputs": []}', {}), "at least one"),
        ((b"[" * 100_000, {}), "JSON"),
        ((b'{"inputs":' * 5000 + b"1" + b"}" * 5000, {}), "JSON"),
        ((b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, NaN]}]}', {}), "JSON"),
        ((b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 1e39]}]}', {}), "FP32"),
        ((b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, [2], 3, 4]}]}', {}), "FP32"),
        ((binary(ROW)[0], {LENGTH: "999999"}), "999999"),
        ((binary(ROW)[0], {LENGTH: "0"}), "JSON"),
        ((binary(ROW)[0], {LENGTH: "-1"}), "whole number"),
        ((binary(ROW)[0], {LENGTH: "ten"}), "whole number"),
        ((binary(ROW)[0], {LENGTH: "9" * 30}), "whole number"),
        ((binary(ROW)[0], {}), "JSON"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_lies_about_itself_is_refused(platform: Platform, parts: Parts, words: str) -> None:
    assert words in refused(platform.http.post("/v2/models/double/infer", **request(parts)))


def test_broken_encodings_are_refused_and_bombs_are_not_unpacked(platform: Platform) -> None:
    body, headers = binary(ROW)
    packed = gzip.compress(body)
    for content, coding in ((packed[:-5], "gzip"), (packed + b"more", "gzip"), (body, "gzip"), (packed, "deflate")):
        answer = platform.http.post(
            "/v2/models/double/infer", content=content, headers=headers | {"content-encoding": coding}
        )
        assert coding in refused(answer)
    bomb = gzip.compress(bytes(65 << 20), 9)
    answer = platform.http.post("/v2/models/double/infer", content=bomb, headers={"content-encoding": "gzip"})
    assert answer.status_code == 413
    assert "inflates to more" in refused(answer)
    answer = platform.http.post("/v2/models/double/infer", content=body, headers={"content-encoding": "br"})
    assert answer.status_code == 415


def test_values_that_json_cannot_hold_are_had_in_binary_only(platform: Platform) -> None:
    rows = np.array([[np.nan, np.inf, -np.inf, 1]], np.float32)
    answer = platform.http.post("/v2/models/double/infer", **request(binary(rows.tobytes())))
    assert answer.status_code == 200
    np.testing.assert_array_equal(np.frombuffer(answer.content[-16:], np.float32), 2 * rows[0])
    head = orjson.loads(binary(rows.tobytes())[0][: int(binary(rows.tobytes())[1][LENGTH])])
    del head["parameters"]
    plain = orjson.dumps(head)
    as_json = platform.http.post(
        "/v2/models/double/infer", content=plain + rows.tobytes(), headers={LENGTH: str(len(plain))}
    )
    assert "binary_data" in refused(as_json)


ODD_NUMBERS = st.sampled_from([-(2**63), -1, 0, 1, 2, 3, 4, 5, 2**31, 2**32, 2**62, 2**63 - 1])
ODD_SIZES = ODD_NUMBERS | st.floats(allow_nan=False, allow_infinity=False)
ODD_SHAPES = st.lists(ODD_SIZES, max_size=5) | st.none() | st.text()
ODD_FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "size": ODD_NUMBERS | st.text(max_size=3),
        "shape": ODD_SHAPES,
        "datatype": st.sampled_from(["BOOL", "INT8", "INT64", "UINT16", "FP16", "BF16", "FP64", "BYTES", "", "x"]),
        "name": st.text(max_size=5),
        "data": st.recursive(st.none() | ODD_NUMBERS | st.text(max_size=3), st.lists, max_leaves=8),
        "parameters": st.dictionaries(st.sampled_from(["binary_data_size", "other"]), ODD_NUMBERS | st.none()),
    },
)


def check(answer: httpx.Response) -> None:
    if answer.status_code != 200:
        refused(answer)


def test_any_mixture_of_odd_fields_is_refused_or_answered(platform: Platform) -> None:
    @MANY
    @given(ODD_FIELDS, st.binary(max_size=40))
    def run(fields: dict[str, Any], data: bytes) -> None:
        check(platform.http.post("/v2/models/double/infer", **request(binary(data, **fields))))

    run()


def test_a_body_cut_or_changed_anywhere_is_refused_or_answered(platform: Platform) -> None:
    body, headers = binary(ROW)

    @MANY
    @given(st.integers(0, len(body)), st.binary(max_size=8), st.integers(0, 8))
    def run(at: int, put_in: bytes, left_out: int) -> None:
        changed = body[:at] + put_in + body[at + left_out :]
        check(platform.http.post("/v2/models/double/infer", content=changed, headers=headers))

    run()


def test_any_bytes_at_all_are_refused_or_answered_by_every_protocol(platform: Platform) -> None:
    @MANY
    @given(
        st.sampled_from(["/v2/models/kinds/infer", "/v1/embeddings", "/models/minilm", "/models/names"]),
        st.binary(max_size=60) | st.recursive(
            st.none() | st.booleans() | ODD_NUMBERS | st.text(max_size=4),
            lambda inner: st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["inputs", "parameters", "options", "model", "input", "outputs"]), inner),
            max_leaves=10,
        ).map(orjson.dumps),
    )  # fmt: skip
    def run(path: str, content: bytes) -> None:
        answer = platform.http.post(path, content=content)
        assert answer.status_code < 500, answer.text

    run()


@pytest.mark.parametrize("levels", [300, 1000, 100_000])
def test_what_is_nested_too_deep_is_refused_by_every_protocol(platform: Platform, levels: int) -> None:
    deep = b"[" * levels + b"]" * levels
    tensor = b'{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": %b, "parameters": {"odd": %b}}'
    row = tensor % (b"[1, 2, 3, 4]", b"1")
    for path, content in (
        ("/v2/models/double/infer", deep),
        ("/v2/models/double/infer", b'{"inputs": %b}' % deep),
        ("/v2/models/double/infer", b'{"inputs": [%b]}' % (tensor % (deep, b"1"))),
        ("/v2/models/double/infer", b'{"inputs": [%b], "parameters": {"odd": %b}}' % (row, deep)),
        ("/v2/models/double/infer", b'{"inputs": [%b], "parameters": %b}' % (row, deep)),
        ("/v1/embeddings", b'{"model": "minilm", "input": %b}' % deep),
        ("/models/minilm", b'{"inputs": %b}' % deep),
        ("/models/minilm", b'{"inputs": "a", "parameters": {"odd": %b}}' % deep),
    ):
        refused(platform.http.post(path, content=content))
    # What a tensor or an output says beside what we read goes no further than this process.
    check(
        platform.http.post("/v2/models/double/infer", content=b'{"inputs": [%b]}' % (tensor % (b"[1, 2, 3, 4]", deep)))
    )
    asked = b'{"inputs": [%b], "outputs": [{"name": "y", "parameters": {"odd": %b}}]}' % (row, deep)
    check(platform.http.post("/v2/models/double/infer", content=asked))


@pytest.mark.parametrize(
    "shape",
    [[2**40, 4], [2**62, 4], [2**63], [2**64], [10**30], [2**63 - 1] * 300, [1] * 33, [-1, 4], [1.5], [[1]], "4"],
)
def test_a_shape_that_nothing_can_have_is_refused_for_json_too(platform: Platform, shape: Any) -> None:
    for model, tensor in (
        ("double", {"name": "x", "datatype": "FP32", "data": [1, 2, 3, 4]}),
        ("minilm", {"name": "text", "datatype": "BYTES", "data": ["a"]}),
    ):
        answer = platform.http.post(f"/v2/models/{model}/infer", json={"inputs": [{**tensor, "shape": shape}]})
        assert f"tensor '{tensor['name']}'" in refused(answer)


def test_text_that_is_not_utf8_is_refused(platform: Platform) -> None:
    data = struct.pack("<I", 2) + b"\xff\xfe"
    parts = binary(data, name="text", datatype="BYTES", shape=[1])
    assert "UTF-8" in refused(platform.http.post("/v2/models/minilm/infer", **request(parts)))
