"""Our own OpenAPI description, believed by schemathesis: every operation answers as it says, and none breaks."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import SearchStrategy
from schemathesis import APIOperation as AnyOperation
from schemathesis import Case as AnyCase
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi import checks

from storage.manifest import Manifest
from tests.platform import KINDS, Platform
from wire.codec import encode_request
from wire.datatypes import SIZES
from wire.messages import InferRequest
from wire.tensors import Tensor, join_bytes

Operation = AnyOperation[Any, Any, Any, Any]
Case = AnyCase[Any]

CONTENT = b"not much of a model"
EXAMPLES = 6
CHECKS: Any = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.unsupported_method,
    checks.allow_header_conformance,
]
# What changes the registry is let loose on a model of its own, which is put back before each call.
CHANGING: dict[str, dict[str, Any]] = {
    "publish_version": {},
    "promote": {},
    "rollback": {},
    "remove_alias": {"alias": "candidate"},
    "set_route": {},
    "load_model": {},
    "unload_model": {},
    "retry_version": {"number": 1},
    "remove_version": {"number": 3},
    "remove_model": {},
    "repository_load": {},
    "repository_unload": {},
}
# These wait for the workers.
SLOW = ("repository_load", "repository_unload")
REAL: dict[str, Any] = {
    "model": "minilm",
    "name": "double",
    "version": "1",
    "number": 1,
    "sha256": sha256(CONTENT).hexdigest(),
}
BODIES: dict[str, Any] = {
    "infer": {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a sentence"]}]},
    "infer_version": {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["a sentence"]}]},
    "run_task": {"inputs": "a sentence"},
    "promote": {"version": 1, "alias": "candidate"},
    "rollback": {"alias": "stable"},
    "set_route": {"weights": {"1": 0.5, "2": 0.5}},
    "upload_file": CONTENT,
}
# `kinds` takes FP16, so its tensors come as bytes; the header says where the JSON before them ends.
KIND_TENSORS = [
    Tensor(kind.lower(), kind, (1, 2), bytes(2 * SIZES[kind]) if kind in SIZES else join_bytes([b"a", b"b"]))
    for kind in KINDS
]
KINDS_BODY, KINDS_JSON = encode_request(InferRequest("kinds", None, KIND_TENSORS))
HEADERS = {"model_kinds_infer": {"Inference-Header-Content-Length": str(KINDS_JSON)}}
BODIES |= {"model_kinds_infer": KINDS_BODY}


class Exercise:
    """Calls operations of the platform and counts what answers 2xx."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.schema = schemathesis.openapi.from_url(f"{platform.url}/openapi.json")
        self.succeeded: Counter[str] = Counter()
        self.session = requests.Session()
        found = (platform.artifacts["double"] / "manifest.json").read_bytes()
        manifest = Manifest.model_validate_json(found).model_dump(mode="json")
        self.versions = [{**manifest, "description": f"version {n}"} for n in (1, 2, 3)]
        published = {**self.versions[0], "name": scratch("publish_version")}
        self.bodies = BODIES | {"publish_version": {"manifest": published, "alias": None}}

    def operations(self) -> Iterator[tuple[str, Operation]]:
        for result in self.schema.get_all_operations():
            assert isinstance(result, Ok), result
            operation = result.ok()
            name = operation.definition.raw["operationId"]
            # Models of other tests may be on their way in or out.
            if "Models" not in operation.definition.raw["tags"] or self.is_lasting(operation.path):
                yield name, operation

    def is_lasting(self, path: str) -> bool:
        return path.removeprefix("/v2").removeprefix("/models/").removesuffix("/infer") in self.platform.artifacts

    def call(self, name: str, case: Case) -> None:
        if name in CHANGING:
            self.put_back(scratch(name))
        response = case.call(session=self.session)
        assert response.status_code < 500 or response.status_code == 503, (case.as_curl_command(), response.text)
        case.validate_response(response, checks=CHECKS)
        self.succeeded[name] += 200 <= response.status_code < 300

    def fuzz(self, name: str, cases: SearchStrategy[Case]) -> None:
        @settings(
            max_examples=1 if name in SLOW else EXAMPLES,
            phases=[Phase.generate],
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(cases)
        def run(case: Case) -> None:
            self.call(name, case)

        # Not every operation can be asked wrongly.
        with suppress(Unsatisfiable):
            run()

    def put_back(self, model: str) -> None:
        """The model with three versions, `stable` promoted from the first to the second, a `candidate`, and no route.

        It is not removed and made anew, as its numbers would count on.
        """
        http, path = self.platform.http, f"/admin/models/{model}"
        answers = [http.post(f"{path}/versions", json={"manifest": {**v, "name": model}}) for v in self.versions]
        for answer in answers[:2]:
            http.post(f"{path}/promote", json={"version": answer.json()["number"]}).raise_for_status()
        http.post(f"{path}/promote", json={"version": "stable", "alias": "candidate"}).raise_for_status()
        http.put(f"{path}/route", json={"weights": None}).raise_for_status()

    def clear(self, name: str) -> None:
        """Remove what the operation was let loose on."""
        self.platform.http.delete(f"/admin/models/{scratch(name)}")


@pytest.fixture(scope="module")
def exercise(platform: Platform) -> Exercise:
    return Exercise(platform)


def scratch(name: str) -> str:
    """The model that the operation may change."""
    return f"scratch-{name}"


def real_case(name: str, operation: Operation, bodies: dict[str, Any]) -> Case:
    """A call that should succeed: real names, and the description's own example unless we have a body."""
    own = {"name": scratch(name), "model": scratch(name), **CHANGING[name]} if name in CHANGING else {}
    path = {p.name: {**REAL, **own}[p.name] for p in operation.path_parameters}
    content = operation.definition.raw.get("requestBody", {}).get("content", {})
    if not content:
        return operation.Case(path_parameters=path)
    kind = next(iter(content))
    body = bodies.get(name)
    if body is None:
        examples = operation.schema.raw_schema["components"]["schemas"]
        schema = content[kind]["schema"]
        schema = examples[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
        body = schema.get("examples", [{}])[0]
    return operation.Case(path_parameters=path, headers=HEADERS.get(name), body=body, media_type=kind)


@pytest.mark.slow
def test_every_operation_answers_as_described_and_succeeds_with_real_names(exercise: Exercise) -> None:
    names = []
    # Never left out: what comes without it is refused for that, and no other fault is looked for.
    token = exercise.platform.token
    own: dict[str, Any] = {"headers": token} if token else {}
    for name, operation in exercise.operations():
        names.append(name)
        case = real_case(name, operation, exercise.bodies)
        case.headers.update(token)
        exercise.call(name, case)
        for mode in GenerationMode:
            exercise.fuzz(name, operation.as_strategy(mode, **own))
            if case.path_parameters:
                exercise.fuzz(name, operation.as_strategy(mode, path_parameters=case.path_parameters, **own))
        exercise.clear(name)
    assert len(names) > 40
    assert [name for name in names if not exercise.succeeded[name]] == []
