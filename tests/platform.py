"""Platforms that tests ask, of whatever kind; and one on this machine: Valkey, a worker and a gateway."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from onnx import TensorProto, helper

from storage.manifest import Manifest
from tests import servers
from tests.unit.model_service.graphs import Port, save_graph, save_token_table
from tests.unit.model_service.texts import copy_tokenizer, token_id
from training.demo import digits, minilm
from training.export.manifest import write_manifest

# One output for each datatype of `kinds`, equal to its input.
KINDS = {
    "BOOL": TensorProto.BOOL,
    "INT8": TensorProto.INT8,
    "INT64": TensorProto.INT64,
    "UINT8": TensorProto.UINT8,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}
SENTIMENTS = ("negative", "neutral", "positive")
ENTITIES = ("O", "B-PER", "I-PER")


@dataclass(frozen=True)
class Platform:
    """Where the gateway answers, and the artifacts that were published: folders with a `manifest.json`, by model.

    `http` may ask the admin API too. `until` waits for a condition, and fails with what the processes say. `workers`
    tells the workers' processes: another set of names where one has ended, or was started anew.
    """

    url: str
    artifacts: Mapping[str, Path]
    http: httpx.Client = field(repr=False)
    until: Callable[[Callable[[], bool]], None] = field(repr=False)
    workers: Callable[[], frozenset[str]] = field(repr=False)

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")

    @property
    def token(self) -> dict[str, str]:
        """The header by which the admin API knows who asks; empty where everybody may."""
        return {name: value for name, value in self.http.headers.items() if name == "authorization"}

    def publish(self, folder: Path, name: str | None = None, alias: str | None = None, **changed: Any) -> int:
        """As `publish`: the version's number."""
        number: int = publish(self.http, folder, name, alias, **changed)["number"]
        return number

    def publish_all(self) -> None:
        """Publish the artifacts, until each is ready."""
        for artifact in self.artifacts.values():
            self.publish(artifact)
        for model in self.artifacts:
            self.wait_until_ready(model)

    def wait_until_ready(self, model: str, version: int | str | None = None) -> None:
        """Until a worker has loaded it and the gateway knows."""
        path = f"/v2/models/{model}/ready" if version is None else f"/v2/models/{model}/versions/{version}/ready"
        self.until(lambda: self.http.get(path).status_code == 200)


@dataclass(frozen=True)
class LocalPlatform(Platform):
    """One whose only worker can be asked past the gateway."""

    worker_url: str


def publish(
    http: httpx.Client, folder: Path, name: str | None = None, alias: str | None = None, **changed: Any
) -> dict[str, Any]:
    """Upload what is in `folder` and publish it, under another name or with other fields: the version."""
    found = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    manifest = Manifest.model_validate({**found.model_dump(), "name": name or found.name, **changed})
    for file in manifest.files:
        if http.head(f"/admin/files/{file.sha256}").status_code != 200:
            with (folder / file.path).open("rb") as content:
                http.put(f"/admin/files/{file.sha256}", content=content).raise_for_status()
    body = {"manifest": manifest.model_dump(mode="json"), "alias": alias}
    answer = http.post(f"/admin/models/{manifest.name}/versions", json=body)
    assert answer.status_code == 200, answer.text
    version: dict[str, Any] = answer.json()
    return version


@contextmanager
def platform_in(folder: Path) -> Iterator[LocalPlatform]:
    """A platform that keeps everything in `folder`; every model is ready."""
    artifacts = make_artifacts(folder / "made")
    with ExitStack() as stack:
        valkey = stack.enter_context(servers.valkey_server())
        gateway_port, worker_port = servers.free_port(), servers.free_port()
        url, worker_url = (f"http://127.0.0.1:{port}" for port in (gateway_port, worker_port))
        env = {
            "HEADRACE_DATABASE_URL": f"sqlite:///{folder / 'registry.db'}",
            "HEADRACE_ARTIFACTS_URL": str(folder / "artifacts"),
            "HEADRACE_CACHE_REDIS_URL": valkey.url,
            "HEADRACE_CACHE_SECRET": "the secret of the platform",
            "HEADRACE_GATEWAY_PORT": str(gateway_port),
            "HEADRACE_GATEWAY_REFRESH_S": "0.1",
            "HEADRACE_WORKER_PORT": str(worker_port),
            "HEADRACE_WORKER_CACHE_DIR": str(folder / "loaded"),
            "HEADRACE_WORKER_POLL_S": "0.1",
            "HEADRACE_WORKER_UNLOAD_GRACE_S": "0.5",
            "HEADRACE_WORKER_DRAIN_S": "0",
        }
        subprocess.run([sys.executable, "-m", "storage.migrate"], env=os.environ | env, check=True)
        worker_log, gateway_log = folder / "worker.log", folder / "gateway.log"
        worker = stack.enter_context(running("model_service", env, worker_log))
        gateway = stack.enter_context(running("gateway", env, gateway_log))
        client = stack.enter_context(httpx.Client(base_url=url, timeout=30))
        servers.wait_for(lambda: _answers(client), gateway, gateway_log)
        platform = LocalPlatform(
            url=url,
            artifacts=artifacts,
            http=client,
            until=lambda condition: servers.wait_for(condition, worker, worker_log),
            workers=lambda: frozenset({str(worker.pid)} if worker.poll() is None else ()),
            worker_url=worker_url,
        )
        platform.publish_all()
        yield platform


def make_artifacts(folder: Path) -> dict[str, Path]:
    """Folders with a graph and a manifest, one for each task and one that takes every datatype."""
    made = {name: folder / name for name in ("minilm", "digits", "double", "kinds", "sentiment", "names")}
    minilm.build(made["minilm"])
    digits.build(made["digits"])
    for name in ("double", "kinds", "sentiment", "names"):
        made[name].mkdir(parents=True)
    _make_double(made["double"])
    _make_kinds(made["kinds"])
    _make_sentiment(made["sentiment"])
    _make_names(made["names"])
    return made


@contextmanager
def running(package: str, env: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`python -m package`, stopped at the end."""
    with servers.running([sys.executable, "-m", package], log, env=os.environ | env) as process:
        yield process


def _make_double(folder: Path) -> None:
    x: list[Port] = [("x", TensorProto.FLOAT, ["n", 4])]
    y: list[Port] = [("y", TensorProto.FLOAT, ["n", 4])]
    save_graph(folder / "model.onnx", [helper.make_node("Add", ["x", "x"], ["y"])], x, y)
    _write(folder, "double", inputs=[_spec("x", "FP32", 4)], outputs=[_spec("y", "FP32", 4)])


def _make_kinds(folder: Path) -> None:
    names = [kind.lower() for kind in KINDS]
    nodes = [helper.make_node("Identity", [name], [f"{name}_out"]) for name in names]
    inputs: list[Port] = [(kind.lower(), number, ["n", 2]) for kind, number in KINDS.items()]
    outputs: list[Port] = [(f"{name}_out", number, shape) for name, number, shape in inputs]
    save_graph(folder / "model.onnx", nodes, inputs, outputs)
    specs = [_spec(kind.lower(), kind, 2) for kind in KINDS]
    _write(folder, "kinds", inputs=specs, outputs=[{**spec, "name": f"{spec['name']}_out"} for spec in specs])


def _make_sentiment(folder: Path) -> None:
    tokenizer = copy_tokenizer(folder)
    table = {token_id(tokenizer, word): logits for word, logits in {"good": [0, 0, 2], "bad": [2, 0, 0]}.items()}
    save_token_table(folder / "model.onnx", table, tokenizer.get_vocab_size(), pooled=True)
    _write_text(folder, "sentiment", "text-classification", SENTIMENTS)


def _make_names(folder: Path) -> None:
    tokenizer = copy_tokenizer(folder)
    outside = np.tile(np.array([5, 0, 0], np.float32), (tokenizer.get_vocab_size(), 1))
    table = {token: list(logits) for token, logits in enumerate(outside)}
    table |= {token_id(tokenizer, "ada"): [0, 5, 0], token_id(tokenizer, "byron"): [0, 0, 5]}
    save_token_table(folder / "model.onnx", table, tokenizer.get_vocab_size(), pooled=False)
    _write_text(folder, "names", "token-classification", ENTITIES)


def _write_text(folder: Path, name: str, task: str, labels: tuple[str, ...]) -> None:
    _write(
        folder,
        name,
        "tokenizer.json",
        task=task,
        inputs=[{"name": "text", "datatype": "BYTES", "shape": [-1]}],
        outputs=[{"name": "labels", "datatype": "BYTES", "shape": [-1]}],
        text={"tokenizer": "tokenizer.json", "max_length": 64, "labels": labels},
    )


def _write(folder: Path, name: str, *more: str, **fields: Any) -> None:
    write_manifest(folder, ["model.onnx", *more], {"name": name, "model": "model.onnx", **fields})


def _spec(name: str, datatype: str, columns: int) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [-1, columns]}


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/v2/health/ready").status_code == 200
    except httpx.TransportError:
        return False
