"""A real worker process: loads what the registry wants, and is asked over HTTP."""

import asyncio
import http.client
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from storage.database import Database
from storage.folder_store import FolderStore
from storage.manifest import Manifest
from storage.migrate import upgrade
from storage.registry import Registry
from tests.platform import make_artifacts, running
from training.demo import minilm
from wire.codec import decode_response, encode_request
from wire.messages import InferRequest
from wire.tensors import bytes_tensor

TEXTS = ("The river is high.", "Water is rising.", "A cat sits on the warm windowsill.")
LIMIT_S = 60
X = {"name": "x", "datatype": "FP32", "shape": [1, 4]}
DOUBLE = {"inputs": [{**X, "data": [1, 2, 3, 4]}]}
# Long enough for a worker to notice who hangs up: 400 texts of 250 tokens each.
SLOW = {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [400], "data": ["water " * 250] * 400}]}


class Worker:
    """`python -m model_service` on a free port, over a registry and artifacts in `folder`."""

    def __init__(self, folder: Path, made: dict[str, Path]) -> None:
        self.made = made
        self.database_url = f"sqlite:///{folder / 'registry.db'}"
        self.artifacts = folder / "artifacts"
        self.log = folder / "worker.log"
        self.env = {
            "HEADRACE_DATABASE_URL": self.database_url,
            "HEADRACE_ARTIFACTS_URL": str(self.artifacts),
            "HEADRACE_WORKER_PORT": "0",
            "HEADRACE_WORKER_CACHE_DIR": str(folder / "loaded"),
            "HEADRACE_WORKER_POLL_S": "0.05",
            "HEADRACE_WORKER_UNLOAD_GRACE_S": "0",
            "HEADRACE_WORKER_DRAIN_S": "2",
            "HEADRACE_WORKER_MAX_BODY_BYTES": str(1_000_000),
        }

    @contextmanager
    def running(self) -> Iterator["Worker"]:
        with running("model_service", self.env, self.log) as self.process:
            wait_for(lambda: "worker on http" in self.log.read_text(), self.log)
            self.url = self.log.read_text().split("worker on ")[1].split()[0]
            with httpx.Client(base_url=self.url, timeout=LIMIT_S, trust_env=False) as self.http:
                wait_for(lambda: self.http.get("/v2/health/ready").status_code == 200, self.log)
                # It is ready before it has what nobody has served yet.
                wait_for(lambda: not self.loading(), self.log)
                yield self

    def registry(self, change: Callable[[Registry], Any]) -> Any:
        async def inside() -> Any:
            async with self._registry() as registry:
                return await change(registry)

        return asyncio.run(inside())

    def publish(self, artifact: str, **changed: Any) -> int:
        """Publish what was made as the next version of its model; its number."""
        folder = self.made[artifact]
        found = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
        manifest = Manifest.model_validate({**found.model_dump(), **changed})

        async def inside(registry: Registry) -> int:
            store = FolderStore(self.artifacts)
            for file in manifest.files:
                await store.put_file(folder / file.path)
            return (await registry.publish(manifest, alias=changed.get("description") or None)).number

        number: int = self.registry(inside)
        return number

    def state(self, model: str, version: int) -> str | None:
        for entry in self.http.post("/v2/repository/index").json():
            if (entry["name"], entry["version"]) == (model, str(version)):
                return str(entry["state"])
        return None

    def loading(self) -> bool:
        return any(entry["state"] == "LOADING" for entry in self.http.post("/v2/repository/index").json())

    def until(self, condition: Callable[[], object]) -> None:
        wait_for(condition, self.log)

    def infer(self, model: str, body: Any, version: int | None = None) -> httpx.Response:
        at = "" if version is None else f"/versions/{version}"
        return self.http.post(f"/v2/models/{model}{at}/infer", json=body)

    def metric(self, name: str, **labels: str) -> float:
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        for line in self.http.get("/metrics").text.splitlines():
            if line.startswith(f"{name}{{") and all(label in line for label in wanted):
                return float(line.split()[-1])
        return 0.0

    @asynccontextmanager
    async def _registry(self) -> AsyncIterator[Registry]:
        database = Database.open(self.database_url)
        try:
            yield Registry(database)
        finally:
            await database.close()


def wait_for(condition: Callable[[], object], log: Path) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen:\n{log.read_text()}"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_artifacts(tmp_path_factory.mktemp("made"))


def prepared(folder: Path, made: dict[str, Path]) -> Worker:
    worker = Worker(folder, made)
    asyncio.run(upgrade(worker.database_url))
    return worker


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory, made: dict[str, Path]) -> Iterator[Worker]:
    """With minilm and double, shared: tests publish versions of their own before they change any."""
    worker = prepared(tmp_path_factory.mktemp("worker"), made)
    for artifact in ("minilm", "double"):
        worker.publish(artifact)
    with worker.running():
        yield worker


def texts_body(*texts: str) -> dict[str, Any]:
    return {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [len(texts)], "data": texts}]}


def test_a_sentence_model_answers_what_the_reference_does(worker: Worker) -> None:
    (output,) = worker.infer("minilm", texts_body(*TEXTS)).json()["outputs"]
    got = np.array(output["data"], np.float32).reshape(output["shape"])
    np.testing.assert_allclose(got, np.stack(minilm.embed(worker.made["minilm"], TEXTS)), atol=1e-4)


def test_many_at_once_get_their_own_answers(worker: Worker) -> None:
    sentences = [f"{'word ' * (n % 7)}number {n}" for n in range(60)]
    alone = [worker.infer("minilm", texts_body(text)).json()["outputs"][0]["data"] for text in sentences[:10]]
    with ThreadPoolExecutor(16) as threads:
        together = list(threads.map(lambda text: worker.infer("minilm", texts_body(text)).json(), sentences))
    vectors = [answer["outputs"][0]["data"] for answer in together]
    # int8 kernels quantise a whole batch with one scale, so a neighbour may change the last digits.
    np.testing.assert_allclose(vectors[:10], alone, atol=0.05)
    assert all(np.argmax(np.array(alone) @ np.array(vector)) == n for n, vector in enumerate(vectors[:10]))


def test_binary_in_binary_out(worker: Worker) -> None:
    request = InferRequest("minilm", None, [bytes_tensor("text", [text.encode() for text in TEXTS])])
    body, length = encode_request(request)
    headers = {"inference-header-content-length": str(length)}
    answer = worker.http.post("/v2/models/minilm/infer", content=body, headers=headers)
    (output,) = decode_response(answer.content, int(answer.headers["inference-header-content-length"])).outputs
    assert output.shape == (3, 384)
    as_json = worker.infer("minilm", texts_body(*TEXTS)).json()["outputs"][0]["data"]
    np.testing.assert_allclose(np.frombuffer(output.data, np.float32), as_json, atol=1e-6)


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        ("GET", "/nowhere", {}, 404),
        ("POST", "/v2/models/none/infer", {"json": DOUBLE}, 404),
        ("POST", "/v2/models/double/versions/99/infer", {"json": DOUBLE}, 404),
        ("GET", "/v2/models/double/infer", {}, 405),
        ("POST", "/v2/models/double/infer", {"content": b"{"}, 400),
        ("POST", "/v2/models/double/infer", {"json": {**DOUBLE, "outputs": [{"name": "z"}]}}, 400),
        ("POST", "/v2/models/double/infer", {"content": bytes(1_000_001)}, 413),
        ("POST", "/v2/models/double/infer", {"json": DOUBLE, "headers": {"content-encoding": "br"}}, 415),
        ("POST", "/v2/models/double/infer", {"json": DOUBLE, "headers": {"x-request-timeout-ms": "0"}}, 504),
    ],
)
def test_every_refusal_is_an_error_in_json(
    worker: Worker, method: str, path: str, options: dict[str, Any], status: int
) -> None:
    answer = worker.http.request(method, path, **options)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])
    assert isinstance(answer.json()["error"], str)


def test_a_deadline_is_kept_while_the_model_computes(worker: Worker) -> None:
    answer = worker.http.post("/v2/models/minilm/infer", json=SLOW, headers={"x-request-timeout-ms": "50"})
    assert (answer.status_code, answer.headers["headrace-error"]) == (504, "DeadlineExceeded")
    assert worker.infer("double", DOUBLE).status_code == 200


def test_work_for_a_client_that_hangs_up_is_dropped(worker: Worker) -> None:
    before = worker.metric("headrace_worker_dropped_items_total", model="minilm")
    body = json.dumps(SLOW).encode()
    connection = http.client.HTTPConnection(worker.url.removeprefix("http://"))
    connection.request("POST", "/v2/models/minilm/infer", body)
    worker.until(lambda: worker.metric("headrace_worker_waiting_rows", model="minilm"))
    connection.close()
    worker.until(lambda: worker.metric("headrace_worker_requests_total", model="minilm", outcome="ClientGone"))
    assert worker.metric("headrace_worker_waiting_rows", model="minilm") == 0
    assert worker.metric("headrace_worker_dropped_items_total", model="minilm") > before


def test_requests_are_counted(worker: Worker) -> None:
    def count() -> int:
        (statistics,) = worker.http.get("/v2/models/double/versions/1/stats").json()["model_stats"]
        return int(statistics["inference_stats"]["success"]["count"])

    counted = count()
    exported = worker.metric("headrace_worker_requests_total", model="double", version="1", outcome="success")
    assert worker.infer("double", DOUBLE, 1).status_code == 200
    assert count() == counted + 1
    # Who has read the metrics often in this second is told what was so a moment ago.
    worker.until(
        lambda: (
            worker.metric("headrace_worker_requests_total", model="double", version="1", outcome="success")
            >= exported + 1
        )
    )
    assert "process_resident_memory_bytes" in worker.http.get("/metrics").text


def test_versions_are_loaded_and_unloaded_while_it_runs(worker: Worker) -> None:
    first = worker.publish("double", name="changing")
    worker.until(lambda: worker.state("changing", first) == "READY")
    second = worker.publish("double", name="changing", description="candidate")
    worker.until(lambda: worker.state("changing", second) == "READY")
    for number in (first, second):  # several versions at once
        answer = worker.infer("changing", DOUBLE, number).json()
        assert (answer["model_version"], answer["outputs"][0]["data"]) == (str(number), [2, 4, 6, 8])
    worker.registry(lambda registry: registry.set_enabled("changing", False))
    worker.until(lambda: worker.state("changing", first) is None and worker.state("changing", second) is None)
    gone = worker.infer("changing", DOUBLE)
    assert (gone.status_code, gone.headers["headrace-error"]) == (404, "ModelNotFound")
    worker.registry(lambda registry: registry.set_enabled("changing", True))
    worker.until(lambda: worker.infer("changing", DOUBLE).status_code == 200)


def test_a_version_that_is_wrong_is_refused_with_the_reason_and_harms_nobody(worker: Worker) -> None:
    wrong = [{"name": "not-there", "datatype": "FP32", "shape": [-1, 4]}]
    number = worker.publish("double", name="wrong", outputs=wrong)

    def failure() -> str:
        (found,) = worker.registry(lambda registry: registry.model("wrong")).versions
        assert found.number == number
        return str(found.failure or "")

    worker.until(failure)
    assert "not-there" in failure()
    assert worker.infer("wrong", DOUBLE).status_code == 404
    assert worker.infer("double", DOUBLE).status_code == 200


def test_a_trial_that_was_passed_is_not_repeated_by_the_next_worker(tmp_path: Path, made: dict[str, Path]) -> None:
    worker = prepared(tmp_path, made)
    worker.publish("double")
    with worker.running():
        worker.until(lambda: worker.state("double", 1) == "READY")
        assert "trial load" in worker.log.read_text()
    with worker.running():
        worker.until(lambda: worker.state("double", 1) == "READY")
        assert "trial load" not in worker.log.read_text()


def test_told_to_stop_it_says_so_answers_what_it_has_and_leaves(tmp_path: Path, made: dict[str, Path]) -> None:
    worker = prepared(tmp_path, made)
    worker.publish("minilm")
    worker.publish("double")
    with worker.running():
        worker.until(lambda: worker.infer("double", DOUBLE).status_code == 200)
        worker.until(lambda: worker.state("minilm", 1) == "READY")
        some = {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [24], "data": ["water " * 250] * 24}]}
        with ThreadPoolExecutor(1) as threads:
            slow = threads.submit(worker.infer, "minilm", some)
            worker.until(lambda: worker.metric("headrace_worker_waiting_rows", model="minilm"))
            worker.process.send_signal(signal.SIGTERM)
            worker.until(lambda: worker.http.get("/v2/health/ready").status_code == 503)
            assert worker.infer("double", DOUBLE).status_code == 200  # gateways need a moment to notice
            worker.until(lambda: [replica.draining for replica in worker.registry(lambda r: r.replicas())] == [True])
            assert slow.result().status_code == 200
        assert worker.process.wait(LIMIT_S) == 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", int(worker.url.rpartition(":")[2]))).close()
    assert worker.registry(lambda registry: registry.replicas()) == []


ROUNDS = """
import asyncio, sys
from pathlib import Path
from model_service import memory
from model_service.opening import open_here
from model_service.warmup import warm_up
from storage.manifest import Manifest

folder = Path(sys.argv[1])
manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

async def main():
    for number in range(int(sys.argv[2])):
        model = open_here("minilm", number, manifest, folder, threads=2)
        await warm_up(model, folder)
        await model.close()
        del model
        memory.give_back()
        print(resident())

memory.use_one_arena()
asyncio.run(main())
"""


@pytest.mark.slow
def test_loading_and_unloading_leaves_no_memory_behind(made: dict[str, Path]) -> None:
    command = [sys.executable, "-c", ROUNDS, str(made["minilm"]), "50"]
    output = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, check=True, text=True).stdout
    megabytes = [float(line) for line in output.splitlines()]
    assert len(megabytes) == 50
    assert max(megabytes) - min(megabytes) < 20
