"""How the registry reads: what polling it costs. What it guarantees is in tests/contract."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from storage.database import Database
from storage.errors import InvalidArtifact
from storage.manifest import FileEntry, Manifest, TensorSpec
from storage.migrate import upgrade
from storage.registry import Registry


def manifest(name: str, **more: Any) -> Manifest:
    tensor = TensorSpec(name="x", datatype="FP32", shape=(-1, 4))
    file = FileEntry(path="m.onnx", sha256="0" * 64, size=1)
    return Manifest(name=name, model="m.onnx", inputs=(tensor,), outputs=(tensor,), files=(file,), **more)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    url = f"sqlite:///{tmp_path}/registry.db"
    await upgrade(url)
    database = Database.open(url)
    yield database
    await database.close()


@pytest.fixture
def queries(database: Database) -> Callable[[], list[str]]:
    """What was asked of the database since the last call, transactions' begin and end aside."""
    seen: list[str] = []

    def see(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if not statement.startswith("BEGIN"):
            seen.append(statement)

    event.listen(database.engine.sync_engine, "before_cursor_execute", see)

    def taken() -> list[str]:
        taken = seen.copy()
        seen.clear()
        return taken

    return taken


async def test_models_are_read_again_only_once_one_has_changed_and_many_cost_as_much_as_one(
    database: Database, queries: Callable[[], list[str]]
) -> None:
    writer, registry = Registry(database), Registry(database)
    asked = []
    for i in range(8):
        for description in ("first", "second"):
            await writer.publish(manifest(f"model-{i}", description=description))
        await writer.beat(f"replica-{i}", "http://127.0.0.1:1", {})
        queries()
        changed = await registry.snapshot()
        asked.append(len(queries()))
        assert await registry.snapshot() == changed
        assert len(await registry.list_desired()) == len(changed.models) == i + 1
        assert len(queries()) == 3
    assert set(asked) == {8}


async def test_a_manifest_is_read_and_parsed_once_however_often_it_is_polled(
    database: Database, queries: Callable[[], list[str]]
) -> None:
    await Registry(database).publish(manifest("m"))
    registry = Registry(database)
    queries()
    first = await registry.snapshot()
    assert any("versions.manifest" in query for query in queries())
    again = await registry.snapshot()
    assert not any("versions.manifest" in query for query in queries())
    assert again == first
    assert again.models[0].versions[0].manifest is first.models[0].versions[0].manifest


async def test_a_heartbeat_is_one_statement(database: Database, queries: Callable[[], list[str]]) -> None:
    registry = Registry(database)
    await registry.beat("w1", "http://127.0.0.1:1", {})
    queries()
    await registry.beat("w1", "http://127.0.0.1:1", {})
    assert len(queries()) == 1


async def test_a_manifest_that_json_cannot_hold_is_refused(database: Database) -> None:
    registry = Registry(database)
    with pytest.raises(InvalidArtifact, match="what JSON cannot"):
        await registry.publish(manifest("m", provenance={"seed": 2**70}))
    assert await registry.models() == []


async def test_what_is_published_is_what_every_process_reads(database: Database) -> None:
    published = await Registry(database).publish(manifest("m", provenance={"seeds": (1, 2), "loss": float("inf")}))
    assert (await Registry(database).model("m")).versions == (published,)
    assert published.digest == published.manifest.digest
