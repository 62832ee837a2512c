"""A model's life through the admin API of a real platform: published, promoted, rolled back, routed, broken, gone."""

from pathlib import Path
from typing import Any

import pytest

from storage.manifest import Manifest
from tests.platform import Platform
from training.export.manifest import write_manifest

ROW = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}


def answering_version(platform: Platform, model: str, version: str | None = None) -> str:
    path = f"/v2/models/{model}/infer" if version is None else f"/v2/models/{model}/versions/{version}/infer"
    answer = platform.http.post(path, json=ROW)
    assert answer.status_code == 200, answer.text
    assert answer.json()["outputs"][0]["data"] == [2, 4, 6, 8]
    number: str = answer.json()["model_version"]
    return number


def post(platform: Platform, path: str, **body: Any) -> Any:
    answer = platform.http.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_candidate_is_tried_promoted_and_rolled_back(platform: Platform) -> None:
    artifact = platform.artifacts["double"]
    platform.publish(artifact, "life")
    platform.publish(artifact, "life", description="better", alias="candidate")
    platform.wait_until_ready("life", 1)
    platform.wait_until_ready("life", 2)
    assert answering_version(platform, "life") == "1"
    assert answering_version(platform, "life", "candidate") == answering_version(platform, "life", "2") == "2"
    post(platform, "/admin/models/life/promote", version="candidate")
    assert answering_version(platform, "life") == "2"
    post(platform, "/admin/models/life/rollback")
    # At once, unless workers have begun to unload it, which they see in half a second is wanted again.
    platform.until(lambda: answering_version(platform, "life") == "1")
    platform.http.put("/admin/models/life/route", json={"weights": {"candidate": 1}}).raise_for_status()
    assert answering_version(platform, "life") == "2"
    assert platform.http.delete("/admin/models/life").status_code == 204
    assert platform.http.post("/v2/models/life/infer", json=ROW).status_code == 404
    events = [event["kind"] for event in platform.http.get("/admin/events?model=life").json()]
    assert events[0] == "removed"
    assert {"published", "promoted", "rolled-back", "routed"} <= set(events)


@pytest.mark.timeout(60)
def test_a_version_that_does_not_load_says_why_and_the_one_before_goes_on_answering(
    platform: Platform, tmp_path: Path
) -> None:
    workers = platform.workers()
    platform.publish(platform.artifacts["double"], "careful")
    platform.wait_until_ready("careful")
    (tmp_path / "model.onnx").write_bytes(b"no graph at all")
    fields = Manifest.model_validate_json((platform.artifacts["double"] / "manifest.json").read_bytes()).model_dump()
    write_manifest(tmp_path, ["model.onnx"], {**fields, "name": "careful"})
    number = platform.publish(tmp_path, alias="stable")
    failure = None
    while failure is None:
        assert answering_version(platform, "careful") == "1"
        failure = platform.http.get("/admin/models/careful").json()["versions"][number - 1]["failure"]
    index = {
        entry["version"]: (entry["state"], entry["reason"])
        for entry in platform.http.post("/v2/repository/index").json()
        if entry["name"] == "careful"
    }
    assert index == {"1": ("READY", ""), "2": ("UNAVAILABLE", failure)}
    assert platform.workers() == workers
    assert answering_version(platform, "careful") == "1"


def test_a_promotion_of_what_is_not_loaded_costs_no_request(platform: Platform) -> None:
    artifact = platform.artifacts["double"]
    platform.publish(artifact, "swapped")
    platform.wait_until_ready("swapped")
    platform.publish(artifact, "swapped", description="not loaded before")
    post(platform, "/admin/models/swapped/promote", version=2)
    while answering_version(platform, "swapped") == "1":
        pass
    for _ in range(200):
        assert answering_version(platform, "swapped") == "2"


def test_a_file_larger_than_a_piece_arrives_whole(platform: Platform) -> None:
    graph = platform.artifacts["minilm"] / "onnx/model_quantized.onnx"
    (entry,) = [
        file
        for file in Manifest.model_validate_json((platform.artifacts["minilm"] / "manifest.json").read_bytes()).files
        if file.path == "onnx/model_quantized.onnx"
    ]
    with graph.open("rb") as content:
        answer = platform.http.put(f"/admin/files/{entry.sha256}", content=content)
    assert answer.json() == {"sha256": entry.sha256, "size": graph.stat().st_size}
