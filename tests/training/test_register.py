"""Evaluation and registration: on this machine's registry, and on a running platform that serves what was trained."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from storage.artifacts import open_store
from storage.database import Database
from storage.registry import Registry
from storage.views import ModelView
from tests.training.movies import trained
from tests.training.serving import TOKEN, Serving, serving_in
from training.compare import run as compare
from training.evaluate import run as evaluate
from training.export import run as export
from training.recipe.recipe import Recipe
from training.register import run as register
from training.register.destination import RegisterFailed
from training.report.write import render

EVALUATE = {"rows": 120, "resamples": 40}


class Made:
    """The stages' folders and outcomes, up to evaluation, of a small export."""

    def __init__(self, root: Path) -> None:
        self.root, self.found = root, trained()
        self.recipe = self.found.recipe(
            export={"variants": ["fp32", "int8"], "parity_rows": 32, "metric_drop": 0.1},
            evaluate=EVALUATE,
            description="Films.",
        )
        self.exported = export.run(self.found.work(self.recipe, root / "export"))
        self.folders = {"export": root / "export"}
        self.evaluated = self.evaluate(self.recipe, "evaluate")

    def evaluate(self, recipe: Recipe, name: str) -> dict[str, Any]:
        work = self.found.work(recipe, self.root / name, self.folders, {"export": self.exported})
        return evaluate.run(work)

    def compare(self, url: str) -> dict[str, Any]:
        recipe = self.found.recipe(evaluate={**EVALUATE, "against": {"url": url}})
        work = self.found.work(recipe, self.root / "compare", self.folders, {"export": self.exported})
        return compare.run(work)

    def register(
        self,
        folder: Path,
        evaluated: dict[str, Any] | None = None,
        compared: dict[str, Any] | None = None,
        **block: Any,
    ) -> dict[str, Any]:
        recipe = self.found.recipe(evaluate=EVALUATE, register=block)
        outcomes = {"export": self.exported, "evaluate": evaluated or self.evaluated}
        if compared is not None:
            outcomes["compare"] = compared
        return register.run(self.found.work(recipe, folder, self.folders, outcomes))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("made"))


def test_every_variant_is_measured_on_the_test_rows_with_its_interval(made: Made):
    found = made.evaluated
    assert found["rows"] == 120
    assert set(found["metrics"]) == {"torch", "fp32", "int8"}
    for metrics in found["metrics"].values():
        accuracy = metrics["accuracy"]
        assert accuracy["low"] < accuracy["value"] < accuracy["high"]
        assert accuracy["value"] > 0.65
    assert found["metrics"]["fp32"]["accuracy"] == found["metrics"]["torch"]["accuracy"]


def test_what_the_served_variant_gets_wrong_is_told(made: Made):
    found = made.evaluated
    (a, b), (c, d) = found["classes"]["confusion"]
    assert a + b + c + d == 120
    assert (a + d) / 120 == pytest.approx(found["metrics"]["fp32"]["accuracy"]["value"])
    assert len(found["mistakes"]) == min(10, b + c)
    assert all(one["answer"] != one["label"] for one in found["mistakes"])
    assert sum(one["count"] for one in found["classes"]["reliability"]) == 120


def test_a_version_goes_into_the_registry_with_all_that_made_it(made: Made, tmp_path):
    data = tmp_path / "data"
    outcome = made.register(tmp_path / "register", data=str(data))
    assert outcome["failed"] == []
    model = asyncio.run(_model(data, "movies"))
    assert model.aliases == {"candidate": 1}
    manifest = model.versions[0].manifest
    assert manifest.metrics["accuracy"] == made.evaluated["metrics"]["fp32"]["accuracy"]["value"]
    assert manifest.provenance["data"] == "f" * 64
    assert manifest.provenance["test_rows"] == made.evaluated["rows_digest"]
    assert manifest.provenance["packages"].keys() >= {"torch", "transformers", "onnxruntime", "peft", "trl", "datasets"}
    assert {"golden.json", "metrics.json", "recipe.yaml", "onnx/model_quantized.onnx"} <= {
        file.path for file in manifest.files
    }
    store = open_store(str(data / "artifacts"))
    assert all(asyncio.run(store.has(file.sha256)) for file in manifest.files)


def test_gates_that_hold_promote(made: Made, tmp_path):
    data = tmp_path / "data"
    gates = [{"metric": "accuracy", "at_least": 0.6, "worse_by_at_most": 0.0}]
    outcome = made.register(tmp_path / "register", data=str(data), promote="stable", gates=gates)
    assert outcome["promoted"] == "stable"
    assert asyncio.run(_model(data, "movies")).aliases == {"candidate": 1, "stable": 1}


def test_a_gate_that_fails_leaves_a_candidate_and_says_why(made: Made, tmp_path):
    data = tmp_path / "data"
    gates = [{"metric": "accuracy", "at_least": 0.999}]
    outcome = made.register(tmp_path / "register", data=str(data), promote="stable", gates=gates)
    value = made.evaluated["metrics"]["fp32"]["accuracy"]["value"]
    assert outcome["failed"] == [f"accuracy {value:.4f}, at least 0.999"]
    assert outcome["promoted"] is None
    assert asyncio.run(_model(data, "movies")).aliases == {"candidate": 1}


def test_registering_again_is_the_same_version(made: Made, tmp_path):
    first, second = (made.register(tmp_path / "register", data=str(tmp_path / "data")) for _ in range(2))
    assert first == second


def test_figures_with_other_intervals_are_of_the_same_version(made: Made, tmp_path):
    data = str(tmp_path / "data")
    first = made.register(tmp_path / "register", data=data)
    wider = {name: {**found, "low": 0.0} for name, found in made.evaluated["metrics"]["fp32"].items()}
    evaluated = {**made.evaluated, "metrics": {**made.evaluated["metrics"], "fp32": wider}}
    again = made.register(tmp_path / "again", evaluated, data=data, promote="stable")
    assert (first["version"], again["version"]) == (1, 1)
    model = asyncio.run(_model(tmp_path / "data", "movies"))
    assert len(model.versions) == 1
    assert model.aliases == {"candidate": 1, "stable": 1}
    made.register(tmp_path / "third", evaluated, data=data, alias="tried")
    assert asyncio.run(_model(tmp_path / "data", "movies")).aliases["tried"] == 1


def test_a_platform_that_is_away_is_an_error_that_names_it(made: Made, tmp_path):
    with pytest.raises(RegisterFailed, match=r"http://127\.0\.0\.1:9"):
        made.register(tmp_path / "register", url="http://127.0.0.1:9")


def test_a_serving_version_that_cannot_be_asked_is_told_and_stops_nothing(made: Made):
    assert "cannot be asked" in made.compare("http://127.0.0.1:9")["unknown"]


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory):
    with serving_in(tmp_path_factory.mktemp("serving")) as found:
        yield found


def test_a_running_platform_serves_what_was_registered_and_is_compared_with(
    made: Made, serving: Serving, tmp_path, monkeypatch
):
    with pytest.raises(RegisterFailed, match="HEADRACE_ADMIN_TOKEN"):
        made.register(tmp_path / "refused", url=serving.url)
    monkeypatch.setenv("HEADRACE_ADMIN_TOKEN", TOKEN)
    gates = [{"metric": "accuracy", "worse_by_at_most": 0.0}]
    first = made.register(tmp_path / "first", url=serving.url, promote="stable", gates=gates)
    assert (first["version"], first["promoted"]) == (1, "stable")
    serving.until_ready("movies", 1)

    text = "A wonderful film, moving and funny."
    asked = {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": [text]}]}
    answer = serving.http.post("/v2/models/movies/infer", json=asked).json()
    ranked = json.loads(answer["outputs"][0]["data"][0])
    assert ranked[0]["label"] == "positive"

    # The version that serves, asked over HTTP, answers as well as its graph does here.
    compared = made.compare(serving.url)
    metrics = made.evaluated["metrics"]
    assert compared["version"] == 1
    assert compared["differences"]["accuracy"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert compared["metrics"]["log_loss"]["value"] == pytest.approx(metrics["fp32"]["log_loss"]["value"], abs=1e-5)

    worse = {**made.evaluated, "metrics": {**metrics, "fp32": _worse(metrics["fp32"])}}
    second = made.register(tmp_path / "second", worse, compared, url=serving.url, promote="stable", gates=gates)
    assert second["version"] == 2
    assert second["promoted"] is None
    assert "version 1 has" in second["failed"][0]


def _worse(metrics: dict[str, Any]) -> dict[str, Any]:
    """As a model would have that is right a little less often."""
    accuracy = metrics["accuracy"]
    return {**metrics, "accuracy": {**accuracy, "value": accuracy["value"] - 0.01}}


def test_the_report_shows_what_the_stages_found(made: Made, tmp_path):
    outcome = made.register(tmp_path / "register", data=str(tmp_path / "data"))
    outcomes = {"export": made.exported, "evaluate": made.evaluated, "register": outcome}
    html, markdown = render(tmp_path / "report", made.recipe, outcomes, made.folders)
    accuracy = f"{made.evaluated['metrics']['fp32']['accuracy']['value']:.4f}"
    for text in (html.read_text(), markdown.read_text()):
        assert accuracy in text
        assert "Films." in text
        assert "movies version 1 is candidate" in text


async def _model(data: Path, name: str) -> ModelView:
    database = Database.open(f"sqlite+aiosqlite:///{data / 'registry.db'}")
    try:
        return await Registry(database).model(name)
    finally:
        await database.close()
