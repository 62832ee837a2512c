import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from storage.database import Database
from storage.migrate import upgrade
from storage.registry import Registry
from tests.contract.manifests import manifest
from tests.contract.stores import Store, bucket_store, folder_store
from tests.servers import create_database


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """A local S3 server, shared: each test has a bucket of its own."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["folder", "s3"])
def either(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty artifact store of each kind."""
    if request.param == "folder":
        return folder_store(tmp_path / "store")
    endpoint = request.getfixturevalue("s3_endpoint")
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    return bucket_store(endpoint)


MIGRATED: dict[str, str] = {}  # what a test's database is copied from, migrated once: PostgreSQL's, SQLite's


@pytest.fixture(params=["sqlite", "postgresql"])
async def url(request: pytest.FixtureRequest, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres_url")
        if "postgresql" not in MIGRATED:
            template = await create_database(server)
            await upgrade(template)
            MIGRATED["postgresql"] = template.rsplit("/", 1)[1]
        return await create_database(server, MIGRATED["postgresql"])
    if "sqlite" not in MIGRATED:
        MIGRATED["sqlite"] = str(tmp_path_factory.mktemp("migrated") / "registry.db")
        await upgrade(f"sqlite:///{MIGRATED['sqlite']}")
    shutil.copy(MIGRATED["sqlite"], tmp_path / "registry.db")
    return f"sqlite:///{tmp_path}/registry.db"


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = Database.open(url)
    yield database
    await database.close()


@pytest.fixture
async def registry(database: Database) -> Registry:
    return Registry(database)


@pytest.fixture
async def other(url: str) -> AsyncIterator[Registry]:
    """A registry as another process has it: connections and caches of its own."""
    database = Database.open(url)
    yield Registry(database)
    await database.close()


@pytest.fixture
async def three(registry: Registry) -> Registry:
    for description in ("first", "second", "third"):
        await registry.publish(manifest(description))
    return registry
