"""The registry on this machine, without a gateway between."""

import asyncio
from pathlib import Path

import pytest

from headrace.data_folder import DataFolder
from headrace.errors import CommandError
from headrace.local_registry import LocalRegistry, prepare
from headrace.options import Platform
from headrace.registry import open_registry
from storage.importers import import_model
from tests.unit.headrace.test_models_commands import write_model


async def test_a_file_that_changes_between_its_import_and_its_registration_is_refused(tmp_path: Path) -> None:
    data = DataFolder(tmp_path / "data")
    await prepare(data)
    imported = import_model(write_model(tmp_path / "scaled.onnx", 1))
    write_model(tmp_path / "scaled.onnx", 2)
    async with LocalRegistry.open(data.database_url, str(data.artifacts)) as registry:
        with pytest.raises(CommandError, match="nothing was stored"):
            await registry.add(imported, None)
        assert await registry.models() == []
        added = await registry.add(import_model(tmp_path / "scaled.onnx"), None)
        assert [model.versions for model in await registry.models()] == [(added,)]


async def test_twenty_at_once_in_a_folder_that_has_no_registry_yet_all_register_their_models(tmp_path: Path) -> None:
    source = write_model(tmp_path / "scaled.onnx", 1)
    platform = Platform(data=tmp_path / "data")

    async def add(number: int) -> None:
        async with open_registry(platform, create=True) as registry:
            await registry.add(import_model(source, f"m{number}"), None)

    await asyncio.gather(*map(add, range(20)))
    async with open_registry(platform) as registry:
        assert {model.name for model in await registry.models()} == {f"m{number}" for number in range(20)}
