"""A model trained in the profile `training`: watched by Prometheus while it learns, then registered, and asked."""

import csv
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from sklearn.datasets import load_breast_cancer

from tests.compose.stack import Stack, inspect, run
from tests.unit.deploy.dashboards import dashboards, queries

NAME = "tumours"
STEPS = 5000  # enough of them for Prometheus to come by several times
LIMIT_S = 300
QUERIES = [query for query in queries() if query.dashboard == "training"]


@pytest.fixture(scope="module")
def recipes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with measurements of cells, and a recipe that tells from them what they are."""
    folder = tmp_path_factory.mktemp("recipes")
    folder.chmod(0o755)  # the container's user is not the one of the tests
    found = load_breast_cancer()
    columns = [str(name).replace(" ", "_") for name in found.feature_names]
    with (folder / "cells.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow([*columns, "label"])
        lines.writerows([*row, found.target_names[label]] for row, label in zip(found.data, found.target, strict=True))
    recipe = {
        "name": NAME,
        "task": "tabular-classification",
        "model": {"config": {"model_type": "headrace-tabular", "columns": columns}},
        "datasets": [{"path": "cells.csv"}],
        "train": {"max_steps": STEPS, "eval_steps": 500, "learning_rate": 3e-3, "per_device_train_batch_size": 32},
        "export": {"variants": ["fp32"]},
        "register": {
            "url": "http://gateway:8000",
            "promote": "stable",
            "gates": [{"metric": "accuracy", "at_least": 0.9}],
        },
    }
    (folder / "cells.yaml").write_text(yaml.safe_dump(recipe))
    return folder


@pytest.fixture(scope="module")
def seen(stack: Stack, recipes: Path) -> set[str]:
    """Train to the end. Which queries of the dashboard had a number meanwhile."""
    trainer = Stack({**stack.environment, "HEADRACE_RECIPES": str(recipes)}, stack.http, stack.prometheus)
    trainer.compose("build", "--quiet", "trainer")
    id = trainer.compose("run", "--detach", "--use-aliases", "trainer", "/recipes/cells.yaml").strip().splitlines()[-1]
    found: set[str] = set()
    deadline = time.monotonic() + LIMIT_S
    try:
        while inspect(id)["State"]["Running"]:
            assert time.monotonic() < deadline, run(["docker", "logs", "--tail", "40", id])
            for query in QUERIES:
                if stack.has_number(query.expression.replace("$run", ".+")):
                    found.add(str(query))
            time.sleep(1)
        assert inspect(id)["State"]["ExitCode"] == 0, run(["docker", "logs", "--tail", "40", id])
    finally:
        run(["docker", "rm", "--force", id])
    return found


def test_every_query_of_the_dashboard_of_training_runs_has_data(seen: set[str]) -> None:
    assert seen == {str(query) for query in QUERIES}


def test_the_dashboard_offers_the_runs_that_there_are(stack: Stack, seen: set[str]) -> None:
    (variable,) = dashboards()["training"]["templating"]["list"]
    metric = variable["query"].removeprefix("label_values(").removesuffix(", run)")
    # The run is over, and Prometheus remembers it.
    assert {one["metric"]["model"] for one in stack.query(f"last_over_time({metric}[1h])")} == {NAME}


def test_what_was_trained_is_promoted_by_its_gates_and_answers(stack: Stack, seen: set[str]) -> None:
    stack.until(lambda: stack.http.get(f"/v2/models/{NAME}/ready").status_code == 200)
    data, labels = load_breast_cancer(return_X_y=True)
    rows = {"name": "features", "datatype": "FP32", "shape": [100, data.shape[1]], "data": data[:100].ravel().tolist()}
    answer = stack.http.post(f"/v2/models/{NAME}/infer", json={"inputs": [rows]})
    (logits,) = answer.raise_for_status().json()["outputs"]
    said = np.array(logits["data"]).reshape(100, 2).argmax(axis=1)
    # The classes are sorted by name, and the data set has them the other way round.
    assert (said == 1 - labels[:100]).mean() > 0.9
