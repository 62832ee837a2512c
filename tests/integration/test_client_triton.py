"""tritonclient, sync and aio, against a real platform."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

from tests.platform import Platform
from training.demo import digits

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


def test_what_the_client_writes_and_reads_for_others_to_send_is_answered(
    platform: Platform, client: triton.InferenceServerClient
) -> None:
    values = np.array([[1, 2, 3, 4]], np.float32)
    body, length = client.generate_request_body([tensor("x", values, "FP32")])
    sent = {"inference-header-content-length": str(length)}
    answer = platform.http.post("/v2/models/double/infer", content=body, headers=sent).raise_for_status()
    told = int(answer.headers["inference-header-content-length"])
    np.testing.assert_array_equal(
        client.parse_response_body(answer.content, header_length=told).as_numpy("y"), 2 * values
    )
    asked = client.async_infer("double", [tensor("x", values, "FP32")])
    np.testing.assert_array_equal(asked.get_result().as_numpy("y"), 2 * values)


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


def test_statistics_count_answers_from_the_cache_as_triton_does(client: triton.InferenceServerClient) -> None:
    def counted() -> Any:
        (entry,) = client.get_inference_statistics("double", "1")["model_stats"]
        assert (entry["name"], entry["version"]) == ("double", "1")
        stats = entry["inference_stats"]
        names = ("success", "fail", "queue", "compute_infer", "cache_hit", "cache_miss")
        assert all(stats[name]["ns"] > 0 for name in ("success", "cache_hit", "cache_miss") if stats[name]["count"])
        return np.array([entry["inference_count"], entry["execution_count"], *(stats[name]["count"] for name in names)])

    values = np.full((3, 4), 0.125, np.float32)
    asked = [tensor("x", values, "FP32")]
    before = counted()
    client.infer("double", asked)
    # Rows, batches; then requests: went well, failed, queued, computed; found and not found.
    np.testing.assert_array_equal(counted() - before, [3, 1, 1, 0, 1, 1, 0, 1])
    for _ in range(4):
        client.infer("double", asked)
    np.testing.assert_array_equal(counted() - before, [3, 1, 5, 0, 5, 1, 4, 1])
    client.infer("double", asked, headers={"Cache-Control": "no-cache"})
    np.testing.assert_array_equal(counted() - before, [6, 2, 6, 0, 6, 2, 4, 1])
    everything = client.get_inference_statistics()["model_stats"]
    assert {"minilm", "digits", "double"} <= {entry["name"] for entry in everything}
    assert {entry["name"] for entry in client.get_inference_statistics("digits")["model_stats"]} == {"digits"}
    with pytest.raises(InferenceServerException, match="no model 'nothing'"):
        client.get_inference_statistics("nothing")


async def test_statistics_count_each_of_the_requests_that_were_answered_together(platform: Platform) -> None:
    """Some of them wait for one another's answer, and some travel to the worker as one request."""
    platform.publish(platform.artifacts["double"], "counted")
    platform.wait_until_ready("counted")
    async with triton_aio.InferenceServerClient(platform.host, conn_limit=50) as client:

        async def counted() -> Any:
            (entry,) = (await client.get_inference_statistics("counted"))["model_stats"]
            stats = entry["inference_stats"]
            names = ("success", "queue", "compute_infer", "cache_miss")
            return np.array([entry["inference_count"], *(stats[name]["count"] for name in names)])

        assert not (await counted()).any(), "it has reproduced its golden answers, for which no client had asked"
        rows = [tensor("x", np.full((1, 4), n // 2, np.float32), "FP32") for n in range(100)]
        await asyncio.gather(*[client.infer("counted", [row]) for row in rows])
        np.testing.assert_array_equal(await counted(), [50, 100, 100, 50, 50])
        unlike = [client.infer("counted", [row], headers={"Cache-Control": "no-cache"}) for row in rows[:40]]
        await asyncio.gather(*unlike)
        np.testing.assert_array_equal(await counted(), [90, 140, 140, 90, 50])


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
    with pytest.raises(InferenceServerException, match="loading takes no config"):
        client.load_model("loadable", config="{}", headers=platform.token)
    with pytest.raises(InferenceServerException, match="loading takes no files"):
        client.load_model("loadable", config="{}", files={"file:1/model.onnx": b"graph"}, headers=platform.token)
    client.unload_model("loadable", unload_dependents=True, headers=platform.token)
    assert not client.is_model_ready("loadable")


async def test_the_aio_client_unloads_and_loads_as_well(platform: Platform) -> None:
    platform.publish(platform.artifacts["double"], "reloadable")
    platform.wait_until_ready("reloadable")
    async with triton_aio.InferenceServerClient(platform.host) as client:
        await client.unload_model("reloadable", headers=platform.token)
        assert not await client.is_model_ready("reloadable")
        await client.load_model("reloadable", headers=platform.token)
        assert await client.is_model_ready("reloadable")
        index = await client.get_model_repository_index()
        assert ("reloadable", "READY") in {(entry["name"], entry["state"]) for entry in index}
        with pytest.raises(InferenceServerException, match="loading takes no config"):
            await client.load_model("reloadable", config="{}", headers=platform.token)
        (counted,) = (await client.get_inference_statistics("reloadable"))["model_stats"]
        assert counted["name"] == "reloadable"


# Every method of the clients that is about an extension which is not offered, with what it is told.
NOT_OFFERED: dict[str, tuple[tuple[Any, ...], str]] = {
    "get_model_config": (("double",), "model configuration extension"),
    "get_trace_settings": ((), "trace extension"),
    "update_trace_settings": (("double",), "trace extension"),
    "get_log_settings": ((), "logging extension"),
    "update_log_settings": (({"log_info": False},), "logging extension"),
    "get_system_shared_memory_status": ((), "shared memory"),
    "register_system_shared_memory": (("region", "/key", 64), "shared memory"),
    "unregister_system_shared_memory": ((), "shared memory"),
    "get_cuda_shared_memory_status": (("region",), "shared memory"),
    "register_cuda_shared_memory": (("region", b"handle", 0, 64), "shared memory"),
    "unregister_cuda_shared_memory": (("region",), "shared memory"),
}


@pytest.mark.parametrize("method", NOT_OFFERED)
async def test_an_extension_that_is_not_offered_says_so_to_both_clients(
    platform: Platform, client: triton.InferenceServerClient, method: str
) -> None:
    arguments, words = NOT_OFFERED[method]
    with pytest.raises(InferenceServerException, match=f"{words}.* is not offered"):
        getattr(client, method)(*arguments)
    async with triton_aio.InferenceServerClient(platform.host) as aio:
        with pytest.raises(InferenceServerException, match=f"{words}.* is not offered"):
            await getattr(aio, method)(*arguments)


def test_every_method_of_the_clients_is_tried_here() -> None:
    tried = Path(__file__).read_text()
    for client in (triton.InferenceServerClient, triton_aio.InferenceServerClient):
        methods = {name for name in vars(client) if not name.startswith("_")}
        assert {name for name in methods if name not in tried} <= {"plugin", "register_plugin", "unregister_plugin"}


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


def test_what_the_client_asks_for_is_obeyed_or_refused_by_name(client: triton.InferenceServerClient) -> None:
    values = np.full((1, 4), 0.75, np.float32)

    def ask(**options: Any) -> Any:
        return client.infer("double", [tensor("x", values, "FP32")], **options).as_numpy("y")

    wanted = triton.InferRequestedOutput("y", class_count=0)
    obeyed: list[dict[str, Any]] = [{"timeout": 20_000_000}, {"priority": 0}, {"sequence_id": 0}, {"outputs": [wanted]}]
    for options in obeyed:
        np.testing.assert_array_equal(ask(**options), 2 * values)
    in_memory = triton.InferInput("x", [1, 4], "FP32")
    in_memory.set_shared_memory("region", 16)
    out_to_memory = triton.InferRequestedOutput("y")
    out_to_memory.set_shared_memory("region", 16)
    refused_by: list[tuple[str, dict[str, Any]]] = [
        ("sequence_id", {"sequence_id": 7, "sequence_start": True}),
        ("sequence_id", {"sequence_id": "seven"}),
        ("priority", {"priority": 1}),
        ("classification", {"outputs": [triton.InferRequestedOutput("y", class_count=2)]}),
        ("shared_memory_region", {"outputs": [out_to_memory]}),
        ("shared_memory_region", {"inputs": [in_memory]}),
        ("nonsense", {"parameters": {"nonsense": 1}}),
    ]
    for name, options in refused_by:
        inputs = options.pop("inputs", [tensor("x", values, "FP32")])
        with pytest.raises(InferenceServerException, match=f"'{name}'") as refused:
            client.infer("double", inputs, **options)
        assert refused.value.status() == "400"
    with pytest.raises(InferenceServerException, match="parameter 'top_k' is unknown; this model takes dimensions"):
        client.infer("minilm", [tensor("text", texts("a"), "BYTES")], parameters={"top_k": 1})
