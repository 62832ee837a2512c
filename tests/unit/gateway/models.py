"""Registry views and manifests for the gateway's tests."""

from datetime import UTC, datetime
from typing import Any

from storage.manifest import FileEntry, Manifest, TensorSpec
from storage.views import ModelView, ReplicaView, VersionView

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def manifest(name: str = "m", **more: Any) -> Manifest:
    tensor = TensorSpec(name="x", datatype="FP32", shape=(-1, 2))
    file = FileEntry(path="model.onnx", sha256="0" * 64, size=1)
    return Manifest(name=name, model="model.onnx", inputs=(tensor,), outputs=(tensor,), files=(file,), **more)


def model(*numbers: int, aliases: dict[str, int] | None = None, name: str = "m", **more: Any) -> ModelView:
    """A model whose version n has the id n."""
    versions = tuple(VersionView(n, name, n, f"digest-{n}", manifest(name), None, NOW) for n in numbers)
    fields: dict[str, Any] = {"enabled": True, "history": {}, "weights": None, **more}
    fields["history"] = {alias: () for alias in aliases or {}} | fields["history"]
    return ModelView(name=name, versions=versions, aliases=aliases or {}, **fields)


def replica(
    id: str,
    *ready: int,
    url: str = "http://127.0.0.1:1",
    beat: int = 1,
    settled: bool = True,
    draining: bool = False,
) -> ReplicaView:
    versions = {str(n): {"state": "ready", "reason": None} for n in ready}
    return ReplicaView(id, url, settled, draining, beat, NOW, versions)
