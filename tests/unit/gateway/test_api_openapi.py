import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as given_any
from hypothesis import strategies as st
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from openapi_spec_validator import validate as validate_openapi

from gateway.api.openapi import names_in_code
from tests.unit.gateway.application import Application, application, described, text_model

TASKS = ("sentence-embedding", "text-classification", "token-classification")


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[Application]:
    async with application(tmp_path) as app:
        await app.upload()
        for task in TASKS:
            await app.publish(text_model(task))
        await app.publish(
            described(
                "many.tensors",
                inputs=[
                    {"name": "a", "datatype": "UINT8", "shape": [-1, 3]},
                    {"name": "b", "datatype": "BOOL", "shape": [2]},
                    {"name": "c", "datatype": "INT64", "shape": []},
                ],
            )
        )
        await app.publish(described("half", inputs=[{"name": "x", "datatype": "FP16", "shape": [-1]}]))
        yield app


async def spec(app: Application) -> Any:
    return (await app.client.get("/openapi.json")).json()


def validator(spec: Any, name: str) -> Any:
    return OAS31Validator({"$ref": f"#/components/schemas/{name}", "components": spec["components"]})


async def test_it_is_valid_openapi(app: Application) -> None:
    given = await spec(app)
    validate_openapi(given, cls=OpenAPIV31SpecValidator)
    operations = [operation for item in given["paths"].values() for operation in item.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    assert all("422" not in operation["responses"] for operation in operations)
    assert all(operation["summary"] for operation in operations)


def parts(value: Any) -> Iterator[dict[str, Any]]:
    """Every object within `value`."""
    if isinstance(value, dict):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from parts(part)


# What openapi-python-client, openapi-generator's templates or openapi-typescript refuse, or make no sound code of.
REFUSED = {"prefixItems", "patternProperties", "propertyNames", "dependentSchemas", "dependentRequired", "contains"}
REFUSED |= {
    "unevaluatedProperties",
    "unevaluatedItems",
    "if",
    "then",
    "else",
    "not",
    "$defs",
    "$dynamicRef",
    "nullable",
}


async def test_it_holds_nothing_that_generators_of_clients_refuse(app: Application) -> None:
    outputs = [{"name": name, "datatype": "FP32", "shape": [-1]} for name in ("a.b", "a_b", "A_B")]
    await app.publish(described("alike", outputs=outputs))
    for name in ("me-too", "me_too"):
        await app.publish(text_model("sentence-embedding", name))
    given = await spec(app)
    for part in parts({"paths": given["paths"], "schemas": given["components"]["schemas"]}):
        assert not REFUSED & part.keys(), part
        for word in part.get("enum", [part["const"]] if "const" in part else []):
            assert part.get("type") == {str: "string", int: "integer"}.get(type(word)), part
        assert not isinstance(part.get("type"), list), "anyOf says the same, and more of them know it"
        for names in ("properties", "schemas"):
            for name, schema in part.get(names, {}).items():
                assert isinstance(schema, dict), "true and false are schemas that few know"
                assert schema.get("type") != "null", f"{name} can be nothing but null"
        for choice in part.get("anyOf", ()):
            assert choice.get("type") != "null" or len(part["anyOf"]) == 2
            assert choice.get("type") != "array" or {"type": "null"} in part["anyOf"], "lists want oneOf"
        assert not isinstance(part.get("default"), dict | list)
        assert "allOf" not in part
        constants = [re.sub("[^a-z0-9]", "", str(word).lower()) for word in part.get("enum", ())]
        assert len(set(constants)) == len(constants), "in capitals and without signs two are alike"


async def test_every_parameter_that_is_taken_is_described(app: Application) -> None:
    given = await spec(app)
    for task in TASKS:
        schema = given["components"]["schemas"][f"model_{task.replace('-', '_')}_TaskRequest"]
        (parameters, _) = schema["properties"]["parameters"]["anyOf"]
        answer = await app.client.post(f"/models/{task}", json={"inputs": "a", "parameters": {"nonsense": 1}})
        taken = answer.json()["error"].partition("this task takes ")[2].split(", ")
        assert set(parameters["properties"]) == set(taken)
        if task == "sentence-embedding":
            assert set(taken) < set(schema["properties"])
    schema = given["paths"]["/v1/embeddings"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    body = {"model": "sentence-embedding", "input": "a", "nonsense": 1}
    message = (await app.client.post("/v1/embeddings", json=body)).json()["error"]["message"]
    assert set(schema["properties"]) == set(message.partition("this takes ")[2].split(", "))


async def test_every_model_s_request_is_typed_by_its_manifest(app: Application) -> None:
    given = await spec(app)
    assert "/v2/models/many.tensors/infer" in given["paths"]
    check = validator(given, "model_many_tensors_InferRequest")
    a = {"name": "a", "datatype": "UINT8", "shape": [1, 3], "data": [0, 1, 255]}
    b = {"name": "b", "datatype": "BOOL", "shape": [2], "data": [True, False]}
    c = {"name": "c", "datatype": "INT64", "shape": [], "data": [5]}
    assert check.is_valid({"inputs": [a, b, c], "id": "mine", "outputs": [{"name": "y"}]})
    for wrong in (
        [a, b],
        [a, b, {**c, "name": "d"}],
        [{**a, "datatype": "INT8"}, b, c],
        [{**a, "data": [0, 1, 256]}, b, c],
        [{**a, "shape": [3]}, b, c],
        [a, {**b, "shape": [3]}, c],
        [a, b, {**c, "data": [0.5]}],
    ):
        assert not check.is_valid({"inputs": wrong})
    assert not check.is_valid({"inputs": [a, b, c], "outputs": [{"name": "z"}]})


async def test_every_model_s_answer_is_typed_by_its_manifest(app: Application) -> None:
    check = validator(await spec(app), "model_sentence_embedding_InferResponse")
    output = {"name": "embedding", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}
    answer = {"model_name": "sentence-embedding", "model_version": "1", "outputs": [output]}
    assert check.is_valid(answer)
    assert not check.is_valid({**answer, "outputs": [{**output, "datatype": "FP64"}]})


async def test_text_models_are_typed_by_their_task(app: Application) -> None:
    given = await spec(app)
    assert {f"/models/{task}" for task in TASKS} <= given["paths"].keys()
    assert "/models/many.tensors" not in given["paths"]
    features = validator(given, "model_sentence_embedding_TaskRequest")
    assert features.is_valid({"inputs": {"source_sentence": "a", "sentences": ["b"]}})
    labels = validator(given, "model_text_classification_TaskRequest")
    assert labels.is_valid({"inputs": "a", "parameters": {"top_k": 1}})
    assert not labels.is_valid({"inputs": "a", "parameters": {"top_k": 0}})
    assert not labels.is_valid({"inputs": {"source_sentence": "a", "sentences": ["b"]}})


async def test_examples_fit_their_own_schemas(app: Application) -> None:
    given = await spec(app)
    checked = 0
    for name, schema in given["components"]["schemas"].items():
        for example in schema.get("examples", ()):
            validator(given, name).validate(example)
            checked += 1
    assert checked >= 2 * len(TASKS)


async def test_tensors_without_a_json_form_are_described_as_bytes(app: Application) -> None:
    mixed = [{"name": "y", "datatype": "BF16", "shape": [-1]}, {"name": "z", "datatype": "FP32", "shape": [-1]}]
    await app.publish(described("mixed", outputs=mixed))
    given = await spec(app)
    half, some = (given["paths"][f"/v2/models/{name}/infer"]["post"] for name in ("half", "mixed"))
    assert list(half["requestBody"]["content"]) == ["application/octet-stream"]
    assert "`x` FP16 [-1]" in half["description"]
    (length,) = half["parameters"]
    assert (length["name"], length["in"], length["required"]) == ("Inference-Header-Content-Length", "header", True)
    assert list(half["responses"]["200"]["content"]) == ["application/json", "application/octet-stream"]
    assert list(some["requestBody"]["content"]) == ["application/json", "application/octet-stream"]
    assert "`y` BF16 [-1]" in some["description"]
    output = given["components"]["schemas"]["model_mixed_InferResponse"]["properties"]["outputs"]["items"]
    assert output["properties"]["name"] == {"type": "string", "const": "z"}


async def test_what_a_generated_client_calls_its_functions_and_classes_stays_apart(app: Application) -> None:
    awkward = ("version", "task", "a.b", "a-b", "a_b", "A.B", "ab", "stats", "7")
    for name in awkward:
        await app.publish(text_model("sentence-embedding", name))
    given = await spec(app)
    validate_openapi(given, cls=OpenAPIV31SpecValidator)
    operations = [operation["operationId"] for item in given["paths"].values() for operation in item.values()]
    # As generators do: letters and digits alone, in whatever case.
    for names in (operations, list(given["components"]["schemas"])):
        plain = Counter(re.sub(r"[^a-z0-9]", "", name.lower()) for name in names)
        assert [name for name, times in plain.items() if times > 1] == []
    assert {"model_version_infer", "model_task_task", "model_7_infer"} <= set(operations)
    for path, item in given["paths"].items():
        if path in {f"/v2/models/{name}/infer" for name in awkward}:
            (reference,) = item["post"]["requestBody"]["content"]["application/json"]["schema"].values()
            assert reference.rpartition("/")[2] in given["components"]["schemas"]


@given_any(st.lists(st.text("abAB12._-", min_size=1, max_size=4), unique=True))
def test_no_two_models_are_called_alike_in_code(models: list[str]) -> None:
    names = [pattern.format("infer") for pattern in names_in_code(models).values()]
    assert len({re.sub(r"[^a-z0-9]", "", name.lower()) for name in names}) == len(models)
    assert all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) for name in names)


async def test_it_follows_the_models_and_is_made_only_when_they_change(app: Application) -> None:
    first = await app.client.get("/openapi.json")
    await app.components.membership.refresh()
    assert (await app.client.get("/openapi.json")).content == first.content
    await app.publish(text_model("sentence-embedding", "another"))
    added = await spec(app)
    assert "/models/another" in added["paths"]
    embedding = added["paths"]["/v1/embeddings"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert "another" in embedding["properties"]["model"]["enum"]
    await app.client.delete("/admin/models/another")
    assert (await app.client.get("/openapi.json")).content == first.content
    better = described("many.tensors", inputs=[{"name": "z", "datatype": "INT8", "shape": [-1]}])
    await app.publish(better)
    await app.client.post("/admin/models/many.tensors/promote", json={"version": 2})
    await app.load()
    request = (await spec(app))["components"]["schemas"]["model_many_tensors_InferRequest"]
    assert request["properties"]["inputs"]["items"]["properties"]["name"] == {"type": "string", "const": "z"}
