"""tritonclient, sync and aio, against a real platform."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

from tests.platform import Platform
from training import digits

KINDS: dict[str, Any] = {
    "BOOL": np.array([[True, False]]),
    "INT8": np.array([[-128, 127]], np.int8),
    "INT64": np.array([[-(2**63), 2**63 - 1]], np.int64),
    "UINT8": np.array([[0, 255]], np.uint8),
    "FP16": np.array([[0.5, -65504]], np.float16),
    "FP32": np.array([[1.5, -2.25]], np.float32),
    "FP64": np.array([[1e300, -1e-300]], np.float64),
    "BYTES": np.array([["ein Wört".encode(), b""]], np.object_),
}


@pytest.fixture
def client(platform: Platform) -> Iterator[triton.InferenceServerClient]:
    client = triton.InferenceServerClient(platform.host)
    yield client
    client.close()


def tensor(name: str, values: Any, datatype: str, *, binary: bool = True) -> triton.InferInput:
    given = triton.InferInput(name, values.shape, datatype)
    given.set_data_from_numpy(values, binary_data=binary)
    return given


def kinds(*, binary: bool, leaving_out: str = "") -> list[triton.InferInput]:
    return [tensor(k.lower(), v, k, binary=binary or k == "FP16") for k, v in KINDS.items() if k != leaving_out]


def texts(*sentences: str) -> Any:
    return np.array([sentence.encode() for sentence in sentences], np.object_)


def test_every_datatype_comes_back_in_binary_as_it_went(client: triton.InferenceServerClient) -> None:
    result = client.infer("kinds", kinds(binary=True))
    for kind, values in KINDS.items():
        np.testing.assert_array_equal(result.as_numpy(f"{kind.lower()}_out"), values)
        assert result.get_output(f"{kind.lower()}_out")["datatype"] == kind


def test_json_and_binary_mix_in_a_request_and_in_its_answer(client: triton.InferenceServerClient) -> None:
    wanted = [triton.InferRequestedOutput(f"{k.lower()}_out", binary_data=k in ("FP16", "INT8")) for k in KINDS]
    result = client.infer("kinds", kinds(binary=False), outputs=wanted)
    for kind, values in KINDS.items():
        given = result.as_numpy(f"{kind.lower()}_out")
        # Through JSON, BYTES come back as text.
        expected = np.vectorize(bytes.decode, otypes=[np.object_])(values) if kind == "BYTES" else values
        np.testing.assert_array_equal(given, expected)
    assert "data" in result.get_output("fp32_out")
    assert "data" not in result.get_output("int8_out")


def test_digits_are_recognised_through_the_client(client: triton.InferenceServerClient) -> None:
    pixels, labels = digits.held_out()
    given = np.concatenate([client.infer("digits", [tensor("pixels", part, "FP32")]).as_numpy("label")
                            for part in np.array_split(pixels, 4)])  # fmt: skip
    assert float((given == labels).mean()) >= 0.95


def test_similar_sentences_score_above_dissimilar_ones(client: triton.InferenceServerClient) -> None:
    sentences = texts("A cat sits by the window.", "A kitten is lying on the windowsill.", "Interest rates rose again.")
    vectors = client.infer("minilm", [tensor("text", sentences, "BYTES")]).as_numpy("embedding")
    assert vectors.shape == (3, 384)
    cat, kitten, rates = vectors
    assert cat @ kitten > 0.4 > cat @ rates


def test_named_outputs_come_in_the_order_asked_and_the_id_comes_back(client: triton.InferenceServerClient) -> None:
    pixels, _ = digits.held_out()
    wanted = [triton.InferRequestedOutput("probabilities"), triton.InferRequestedOutput("label")]
    result = client.infer("digits", [tensor("pixels", pixels[:2], "FP32")], outputs=wanted, request_id="mine")
    answer = result.get_response()
    assert answer["id"] == "mine"
    assert [output["name"] for output in answer["outputs"]] == ["probabilities", "label"]
    assert (answer["model_name"], answer["model_version"]) == ("digits", "1")


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False])
def test_requests_and_answers_may_be_compressed(
    client: triton.InferenceServerClient, coding: str, binary: bool
) -> None:
    values = np.arange(4000, dtype=np.float32).reshape(-1, 4)
    result = client.infer(
        "double",
        [tensor("x", values, "FP32", binary=binary)],
        outputs=[triton.InferRequestedOutput("y", binary_data=binary)],
        request_compression_algorithm=coding,
        response_compression_algorithm=coding,
    )
    np.testing.assert_array_equal(result.as_numpy("y"), 2 * values)


def test_an_answer_is_compressed_for_who_asks_for_it(platform: Platform) -> None:
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}
    plain = platform.http.post("/v2/models/double/infer", json=body)
    for coding in ("gzip", "deflate"):
        packed = platform.http.post("/v2/models/double/infer", json=body, headers={"accept-encoding": coding})
        assert packed.headers["content-encoding"] == coding
        assert packed.json() == plain.json()
    assert "content-encoding" not in plain.headers  # httpx itself accepts several codings


async def test_the_aio_client_gets_the_same_answers(platform: Platform) -> None:
    async with triton_aio.InferenceServerClient(platform.host) as client:
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready("kinds")
        result = await client.infer("kinds", kinds(binary=True))
        for kind, values in KINDS.items():
            np.testing.assert_array_equal(result.as_numpy(f"{kind.lower()}_out"), values)
        packed = await client.infer(
            "kinds", kinds(binary=True), request_compression_algorithm="gzip", response_compression_algorithm="gzip"
        )
        np.testing.assert_array_equal(packed.as_numpy("fp64_out"), KINDS["FP64"])
        assert (await client.get_model_metadata("double"))["inputs"][0]["name"] == "x"


def test_it_says_what_is_wrong(client: triton.InferenceServerClient) -> None:
    good = tensor("x", np.zeros((1, 4), np.float32), "FP32")
    for model, inputs, status, words in (
        ("nothing", [good], "404", "no model 'nothing'"),
        ("double", [tensor("z", np.zeros((1, 4), np.float32), "FP32")], "400", "'x'"),
        ("double", [tensor("x", np.zeros((1, 4), np.int32), "INT32")], "400", "FP32"),
        ("double", [tensor("x", np.zeros((1, 5), np.float32), "FP32")], "400", "[1, 5]"),
        ("kinds", kinds(binary=True, leaving_out="INT8"), "400", "int8"),
    ):
        with pytest.raises(InferenceServerException) as caught:
            client.infer(model, inputs)
        assert caught.value.status() == status
        assert words in caught.value.message()
    with pytest.raises(InferenceServerException, match="no version '9'"):
        client.infer("double", [good], model_version="9")


def test_server_and_models_describe_themselves(client: triton.InferenceServerClient) -> None:
    server = client.get_server_metadata()
    assert server["name"] == "headrace"
    assert {"binary_tensor_data", "model_repository", "statistics"} <= set(server["extensions"])
    for version in ("", "1", "stable"):
        metadata = client.get_model_metadata("digits", version)
        assert metadata["name"] == "digits"
        assert metadata["versions"] == ["1"]
        assert metadata["inputs"] == [{"name": "pixels", "datatype": "FP32", "shape": [-1, 64]}]
        assert [output["name"] for output in metadata["outputs"]] == ["label", "probabilities"]
        assert client.is_model_ready("digits", version)
    assert client.is_server_live()
    assert client.is_server_ready()
    assert not client.is_model_ready("nothing")
    assert not client.is_model_ready("digits", "9")


def test_statistics_count_what_was_computed_and_nothing_that_was_cached(client: triton.InferenceServerClient) -> None:
    def counted() -> tuple[int, int]:
        (entry,) = client.get_inference_statistics("double", "1")["model_stats"]
        assert (entry["name"], entry["version"]) == ("double", "1")
        return entry["inference_count"], entry["inference_stats"]["success"]["count"]

    rows, requests = counted()
    values = np.full((3, 4), 0.125, np.float32)
    for _ in range(2):
        client.infer("double", [tensor("x", values, "FP32")])
    assert counted() == (rows + 3, requests + 1)
    client.infer("double", [tensor("x", values, "FP32")], headers={"Cache-Control": "no-cache"})
    assert counted() == (rows + 6, requests + 2)
    everything = client.get_inference_statistics()["model_stats"]
    assert {"minilm", "digits", "double"} <= {entry["name"] for entry in everything}
    assert {entry["name"] for entry in client.get_inference_statistics("digits")["model_stats"]} == {"digits"}
    with pytest.raises(InferenceServerException, match="no model 'nothing'"):
        client.get_inference_statistics("nothing")


def test_a_model_is_unloaded_and_loaded_again(platform: Platform, client: triton.InferenceServerClient) -> None:
    platform.publish(platform.artifacts["double"], "loadable")
    platform.publish(platform.artifacts["double"], "loadable", description="another", alias="candidate")
    platform.wait_until_ready("loadable")
    platform.wait_until_ready("loadable", "candidate")

    def states() -> list[tuple[str, str]]:
        index = client.get_model_repository_index()
        return [(entry["version"], entry["state"]) for entry in index if entry["name"] == "loadable"]

    values = tensor("x", np.ones((1, 4), np.float32), "FP32")
    assert states() == [("1", "READY"), ("2", "READY")]
    client.unload_model("loadable", headers=platform.token)
    assert not client.is_model_ready("loadable")
    assert states() == [("1", "UNAVAILABLE"), ("2", "UNAVAILABLE")]
    with pytest.raises(InferenceServerException, match="load it first"):
        client.infer("loadable", [values])
    client.load_model("loadable", headers=platform.token)
    assert client.is_model_ready("loadable")
    np.testing.assert_array_equal(client.infer("loadable", [values]).as_numpy("y"), np.full((1, 4), 2))
    with pytest.raises(InferenceServerException, match="'nothing'"):
        client.load_model("nothing", headers=platform.token)
    with pytest.raises(InferenceServerException, match="takes no parameters"):
        client.load_model("loadable", config="{}", headers=platform.token)


def test_the_index_is_a_bare_array_and_lists_what_is_ready_where_asked(platform: Platform) -> None:
    platform.publish(platform.artifacts["double"], "indexed")
    platform.publish(platform.artifacts["double"], "indexed", description="named by nothing")
    platform.wait_until_ready("indexed")
    path, ask = "/v2/repository/index", {"ready": True}
    everything = platform.http.post(path).json()
    assert {"name": "indexed", "version": "2", "state": "UNAVAILABLE", "reason": "no alias and no route names it"} in (
        everything
    )
    ready = platform.http.post(path, content=orjson.dumps(ask)).json()
    assert [entry["version"] for entry in ready if entry["name"] == "indexed"] == ["1"]
    assert all(entry["state"] == "READY" for entry in ready)
