"""What CONTRIBUTING.md says about adding something is true: toys that are added so work, through the front door."""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from onnx import TensorProto, helper

from tests import servers
from tests.unit.extending.tree import Toy, Tree, find, read_table
from tests.unit.model_service.graphs import save_graph, save_token_table
from tests.unit.model_service.texts import copy_tokenizer, token_id

TASK = Toy(
    "a task that is served",
    ("wire/tasks/verdict.py", "model_service/tasks/verdict.py"),
    (
        ("wire/tasks/table.py", "from wire.tasks.contract import", "from wire.tasks import verdict\n"),
        ("wire/tasks/table.py", "    token_classification.CONTRACT,\n", "    verdict.CONTRACT,\n"),
    ),
)
PROTOCOL = Toy(
    "a protocol",
    ("gateway/api/lines.py",),
    (
        ("gateway/app.py", "from gateway.api.endpoint import", "from gateway.api import lines\n"),
        ("gateway/app.py", "huggingface.describe)", "lines.describe, "),
        (
            "gateway/app.py",
            '        route("/models/{model}",',
            '        route(lines.PATH, "lines", lines.Lines(components.membership)),\n',
        ),
        (
            "gateway/api/errors.py",
            '    if path.startswith("/v1/"):',
            '    if path.startswith("/lines/"):\n        return {"sorry": str(error)}\n',
        ),
    ),
)
ENGINE = Toy(
    "an engine",
    ("model_service/engines/abacus.py",),
    (
        (
            "wire/engines.py",
            '    EngineFacts("onnx"',
            '    EngineFacts("abacus", "The abacus", ".beads", "headrace_abacus", ("numpy",)),\n',
        ),
    ),
)
CACHE_STORE = Toy(
    "a cache store",
    ("cache/file_store.py",),
    (
        ("cache/settings.py", "from cache.frame import", "from cache.file_store import FileStore\n"),
        (
            "cache/settings.py",
            "    secret: str | None = Field(",
            '    folder: str | None = Field(default=None, description="Folder that gateways share.")\n',
        ),
        (
            "cache/settings.py",
            "    if not settings.redis_url:",
            "    if settings.folder:\n        return FileStore(settings.folder)\n",
        ),
    ),
)
ARTIFACT_STORE = Toy(
    "an artifact store",
    ("storage/shelf.py",),
    (
        ("storage/artifacts.py", "from storage.stored_files import", "from storage.shelf import PREFIX, ShelfStore\n"),
        (
            "storage/artifacts.py",
            '    if "://" in url or not url:',
            "    if url.startswith(PREFIX):\n        return ShelfStore(url)\n",
        ),
    ),
)
IMPORTER = Toy(
    "an importer",
    ("storage/importers/card.py",),
    (
        (
            "storage/importers/__init__.py",
            "from storage.importers.draft import",
            "from storage.importers.card import import_card\n",
        ),
        (
            "storage/importers/__init__.py",
            "    if path.is_file():",
            '    if path.suffix == ".card":\n        return finish(import_card(path), name, settings)\n',
        ),
    ),
)
SETTING = Toy(
    "a setting",
    (),
    (
        (
            "model_service/settings.py",
            "    poll_s: float = Field(",
            '    snack: str = Field(default="pear", description="What the worker eats.")\n',
        ),
    ),
)
TOYS = (TASK, PROTOCOL, ENGINE, CACHE_STORE, ARTIFACT_STORE, IMPORTER, SETTING)
X, Y = ({"name": name, "datatype": "FP32", "shape": [-1, 1]} for name in "xy")


@dataclass(frozen=True)
class Platform:
    """One that runs from a copy of the source with every toy in it, and keeps its files in `folder`."""

    tree: Tree
    http: httpx.Client
    worker: httpx.Client
    folder: Path
    until: Callable[[Callable[[], bool]], None]

    def headrace(self, *arguments: str) -> str:
        return self.tree.python("-m", "headrace", *arguments, "--url", str(self.http.base_url))

    def publish(self, name: str, files: dict[str, bytes], **fields: Any) -> httpx.Response:
        """A version of these files, the first of which is its model."""
        manifest = manifest_of(name, files, **fields)
        for entry, content in zip(manifest["files"], files.values(), strict=True):
            self.http.put(f"/admin/files/{entry['sha256']}", content=content).raise_for_status()
        return self.http.post(f"/admin/models/{name}/versions", json={"manifest": manifest})

    def wait_until_ready(self, model: str) -> None:
        self.until(lambda: self.http.get(f"/v2/models/{model}/ready").status_code == 200)

    def multiply(self, model: str, *numbers: float) -> httpx.Response:
        tensor = {**X, "shape": [len(numbers), 1], "data": numbers}
        return self.http.post(f"/v2/models/{model}/infer", json={"inputs": [tensor]})


def manifest_of(name: str, files: dict[str, bytes], **fields: Any) -> dict[str, Any]:
    entries = [
        {"path": path, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
        for path, content in files.items()
    ]
    about = {"format": 1, "name": name, "model": next(iter(files)), "files": entries}
    return {**about, "inputs": [X], "outputs": [Y], **fields}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("extended")
    tree = Tree(folder / "source")
    for toy in TOYS:
        toy.add_to(tree)
    ports = servers.free_port(), servers.free_port()
    env = (
        os.environ
        | tree.environment
        | {
            "HEADRACE_DATABASE_URL": f"sqlite:///{folder / 'registry.db'}",
            "HEADRACE_ARTIFACTS_URL": f"shelf://{folder / 'artifacts'}",
            "HEADRACE_CACHE_FOLDER": str(folder / "answers"),
            "HEADRACE_CACHE_MEMORY_BYTES": "0",  # what is found again was in the folder
            "HEADRACE_GATEWAY_PORT": str(ports[0]),
            "HEADRACE_GATEWAY_REFRESH_S": "0.05",
            "HEADRACE_WORKER_PORT": str(ports[1]),
            "HEADRACE_WORKER_CACHE_DIR": str(folder / "loaded"),
            "HEADRACE_WORKER_POLL_S": "0.05",
            "HEADRACE_WORKER_DRAIN_S": "0",
        }
    )
    tree.python("-m", "storage.migrate", env=env)
    graph = save_graph(
        folder / "graph.onnx",
        [helper.make_node("Mul", ["x", "ten"], ["y"])],
        [("x", TensorProto.FLOAT, ["n", 1])],
        [("y", TensorProto.FLOAT, ["n", 1])],
        {"ten": np.array([10], np.float32)},
    )
    with ExitStack() as stack:
        worker, gateway = (
            stack.enter_context(
                servers.running([sys.executable, "-m", package], folder / f"{package}.log", cwd=tree.folder, env=env)
            )
            for package in ("model_service", "gateway")
        )
        clients = [stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}")) for port in ports]

        def until(condition: Callable[[], bool]) -> None:
            servers.wait_for(condition, worker, folder / "model_service.log")

        servers.wait_for(lambda: answers(clients[0]), gateway, folder / "gateway.log")
        platform = Platform(tree, clients[0], clients[1], folder, until)
        assert platform.publish("ten", {"graph.onnx": graph.read_bytes()}).status_code == 200
        platform.wait_until_ready("ten")
        yield platform


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/v2/health/ready").status_code == 200
    except httpx.TransportError:
        return False


def test_every_place_that_the_table_names_is_there() -> None:
    assert {"a task that is trained", *(toy.what for toy in TOYS)} == read_table().keys()
    for what, row in read_table().items():
        assert row.places, what
        for place in (*row.places, *row.tests):
            assert list(find(place)), f"to add {what}: {place}"


def test_little_needs_to_be_touched() -> None:
    assert len(PROTOCOL.files) <= 3
    assert len(TASK.files) <= 3
    assert {len(toy.files) for toy in (ENGINE, CACHE_STORE, ARTIFACT_STORE, IMPORTER)} == {2}


def test_a_task_that_was_added_is_imported_served_and_described(platform: Platform) -> None:
    model = platform.folder / "opinion"
    model.mkdir()
    tokenizer = copy_tokenizer(model)
    table = {token_id(tokenizer, word): logits for word, logits in {"good": [0, 2], "bad": [2, 0]}.items()}
    save_token_table(model / "model.onnx", table, tokenizer.get_vocab_size(), pooled=True)
    config = {"architectures": ["BertForVerdict"], "id2label": {"0": "no", "1": "yes"}}
    (model / "config.json").write_text(json.dumps(config))
    assert "opinion version 1 is loaded" in platform.headrace("models", "add", str(model), "--wait")
    platform.wait_until_ready("opinion")

    asked = {"inputs": ["good water", "a bad river"]}
    assert platform.http.post("/models/opinion", json=asked).json() == ["yes", "no"]
    capitals = {**asked, "parameters": {"capitals": True}}
    assert platform.http.post("/models/opinion", json=capitals).json() == ["YES", "NO"]
    refused = platform.http.post("/models/opinion", json={**asked, "parameters": {"capitals": 1}})
    assert (refused.status_code, refused.json()["error"]) == (400, "parameter 'capitals' must be true or false, not 1")
    assert platform.headrace("infer", "opinion", "good") == "verdict BYTES [1]\n  yes\n"

    described = platform.http.get("/openapi.json").json()
    schema = described["paths"]["/models/opinion"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    request = described["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    assert "Write it in capitals." in json.dumps(request)
    page = platform.tree.python("docs/tasks.py")
    assert "## verdict\n\nTexts in, for each the likeliest label out." in page
    assert "| `capitals` | `false` | boolean: Write it in capitals. |" in page


def test_a_protocol_that_was_added_answers_refuses_and_is_described(platform: Platform) -> None:
    answer = platform.http.post("/lines/ten", content="1\n2.5\n")
    assert (answer.text, answer.headers["content-type"]) == ("10\n25\n", "text/plain")
    refused = platform.http.post("/lines/ten", content="one")
    assert refused.status_code == 400
    assert refused.json()["sorry"].startswith("the body must be lines of numbers")
    assert platform.http.get("/lines/ten").json() == {"sorry": "/lines/ten takes POST, not GET"}
    described = platform.http.get("/openapi.json").json()
    assert described["paths"]["/lines/{model}"]["post"]["operationId"] == "lines"
    assert 'protocol="lines"' in platform.http.get("/metrics").text


def test_an_engine_that_was_added_runs_and_is_told_of(platform: Platform) -> None:
    made = platform.folder / "made"
    made.mkdir()
    (made / "three.beads").write_text("3")
    (made / "manifest.json").write_text(json.dumps(manifest_of("triple", {"three.beads": b"3"}, runtime="abacus")))
    assert "triple version 1 is loaded" in platform.headrace("models", "add", str(made), "--wait")
    platform.wait_until_ready("triple")
    assert platform.multiply("triple", 1, 2).json()["outputs"][0]["data"] == [3, 6]
    for client in (platform.http, platform.worker):
        assert client.get("/v2/models/triple").json()["platform"] == "headrace_abacus"
    refused = platform.publish("triple", {"three.onnx": b"3"}, runtime="abacus")
    assert "is not an .beads file: The abacus goes by the name's ending" in refused.json()["error"]
    told = platform.tree.python("-c", "from model_service.trial import runtime; print(runtime('abacus'))")
    assert told.startswith("numpy ")


def test_a_cache_store_that_was_added_has_the_answers(platform: Platform) -> None:
    assert [platform.multiply("ten", 7).headers["x-cache"] for _ in range(2)] == ["miss", "hit"]
    assert platform.multiply("ten", 7).json()["outputs"][0]["data"] == [70]
    assert list((platform.folder / "answers").iterdir())


def test_an_artifact_store_that_was_added_has_the_files(platform: Platform) -> None:
    graph = (platform.folder / "graph.onnx").read_bytes()
    stored = [path for path in (platform.folder / "artifacts" / "shelf").rglob("*") if path.is_file()]
    assert graph in [path.read_bytes() for path in stored]
    assert platform.multiply("ten", 1).status_code == 200


def test_an_importer_that_was_added_makes_versions(platform: Platform) -> None:
    card = platform.folder / "model.card"
    card.write_text(json.dumps({"title": "carded", "graph": "graph.onnx", "about": "Ten times as much."}))
    assert "carded version 1 is loaded" in platform.headrace("models", "add", str(card), "--wait")
    platform.wait_until_ready("carded")
    assert platform.multiply("carded", 4).json()["outputs"][0]["data"] == [40]
    assert "Ten times as much." in json.dumps(platform.http.get("/openapi.json").json()["paths"])


def test_a_setting_that_was_added_is_read_and_described(platform: Platform) -> None:
    page = platform.tree.python("-m", "headrace.reference")
    assert "| `HEADRACE_WORKER_SNACK` | `pear` | What the worker eats. |" in page
    assert "| `HEADRACE_CACHE_FOLDER` | unset | Folder that gateways share. |" in page
