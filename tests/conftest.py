"""Servers that tests share: started when the first test asks for them, stopped at the end of the session."""

import gc
from collections.abc import Iterator

import pytest

from tests.servers import Server, postgres_server, valkey_server


@pytest.fixture(scope="module", autouse=True)
def leave_what_is_there_alone() -> None:
    """Have the garbage collector look at what these tests make, and not at a gigabyte of others over and over."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def valkey() -> Iterator[Server]:
    """A real Valkey, shared: tests use keys of their own and neither flush nor stop it."""
    with valkey_server() as server:
        yield server


@pytest.fixture(scope="session")
def valkey_url(valkey: Server) -> str:
    """Where the shared Valkey answers: `redis://127.0.0.1:<port>/0`."""
    return valkey.url


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A real PostgreSQL, shared: `tests.servers.create_database(postgres_url)` makes a database of one's own."""
    with postgres_server() as server:
        yield server.url
