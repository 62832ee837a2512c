"""Every task's model is trained, exported and registered, and a running platform answers as the golden answers say."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx
import orjson
import pytest

from model_service.golden import difference
from storage.importers import import_model
from storage.importers.rows import follow_rows
from tests.training.cases import case
from tests.training.serving import TOKEN, Serving, serving_in
from training.evaluate.run import run as evaluate
from training.export.run import ARTIFACT
from training.export.run import run as export
from training.register.destination import Remote
from training.register.run import run as register
from training.stage import Work
from training.tasks.open import TASKS, open_task
from training.train.run import run as train
from wire.codec import decode_response

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default"), pytest.mark.timeout(300)]
STAGES = {"train": train, "export": export, "evaluate": evaluate, "register": register}
FEW = 6  # steps, after which it differs from its base
INT8 = {"masked-lm": 5.0}  # logits after a high rate


@pytest.fixture(scope="module")
def serving() -> Iterator[Serving]:
    """One for all tasks, whose files go with it: there are gigabytes of them, which pytest would keep."""
    with TemporaryDirectory(prefix="headrace-served-") as folder, serving_in(Path(folder)) as found:
        yield found


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="headrace-made-") as folder:
        yield Path(folder)


@pytest.mark.parametrize("name", [task.name for task in TASKS])
def test_the_platform_answers_as_the_model_that_was_trained(
    name: str, serving: Serving, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_ADMIN_TOKEN", TOKEN)
    outcomes = _made(name, serving.url, folder)
    metrics, metric = outcomes["evaluate"]["metrics"], open_task(name).metric
    assert metrics["fp32"][metric]["value"] == pytest.approx(metrics["torch"][metric]["value"], rel=1e-3, abs=1e-3)

    artifact = folder / "register" / ARTIFACT
    assert outcomes["register"]["promoted"] == "stable"
    serving.until_ready(name, "stable")
    tolerance = _check(serving, f"/v2/models/{name}/infer", artifact / "golden.json")
    assert follow_rows(onnx.load(artifact / "onnx" / "model.onnx")).why_not is None, (
        "its requests would share no batches"
    )
    exact = outcomes["export"]["variants"]["fp32"]
    assert exact["largest"] < exact["from_base"] > tolerance, "its base would have answered the same"

    # The other variant of the same artifact, as the next version.
    imported = import_model(artifact, settings={"variant": "int8"})
    assert imported.manifest.golden is not None
    number = asyncio.run(_publish(serving, imported))
    serving.until_ready(name, number)
    _check(serving, f"/v2/models/{name}/versions/{number}/infer", artifact / imported.manifest.golden)
    serving.http.delete(f"/admin/models/{name}").raise_for_status()


def _made(name: str, url: str, folder: Path) -> dict[str, Any]:
    """What each stage says of itself. Their folders are in `folder`, and a few steps is all that is trained."""
    tolerance = {"int8": INT8[name]} if name in INT8 else {}
    recipe, data = case(
        name,
        folder,
        200,
        {"max_steps": FEW},
        name=name,
        # A metric on sixteen rows after so few steps moves with every one of them.
        export={"parity_rows": 16, "golden_rows": 2, "metric_drop": 1e9, "tolerance": tolerance},
        evaluate={"rows": 12, "resamples": 5},
        register={"url": url, "promote": "stable"},
    )
    inputs = {"data": data}
    outcomes: dict[str, Any] = {"data": {}}
    for stage, run in STAGES.items():
        own = folder / stage
        own.mkdir()
        outcomes[stage] = run(Work(recipe, own, dict(inputs), dict(outcomes), print))
        inputs[stage] = own
    return outcomes


def _check(serving: Serving, path: str, golden: Path) -> float:
    """Ask what is golden over HTTP, and hold the answers to its tolerance, which is returned."""
    document = orjson.loads(golden.read_bytes())
    assert document["cases"]
    for one in document["cases"]:
        # A language model's scores are more values than JSON may have, and in binary all of them come as they are.
        answer = serving.http.post(path, json={"inputs": one["inputs"], "parameters": {"binary_data_output": True}})
        assert answer.status_code == 200, answer.text
        length = int(answer.headers["inference-header-content-length"])
        given = {tensor.name: tensor for tensor in decode_response(answer.content, length).outputs}
        for expected in decode_response(orjson.dumps({"outputs": one["outputs"]}), None).outputs:
            assert difference(expected, given[expected.name], document["tolerance"]) is None
    return float(document["tolerance"])


async def _publish(serving: Serving, imported: Any) -> int:
    async with Remote.open(serving.url, TOKEN) as platform:
        return (await platform.publish(imported, "candidate")).number
