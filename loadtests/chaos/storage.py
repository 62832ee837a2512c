"""A registry or a store that is slow or away."""

import contextlib
import logging
import os
import sqlite3
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from loadtests.chaos import models
from loadtests.chaos.platform import WORKERS, Running
from loadtests.platform import platform
from loadtests.processes import free_port
from storage.importers import Import

HELD_S = 20.0
SLOW_S = 8.0  # of each request to the store
BUCKET = "artifacts"
slowness = threading.Event()


def hold_sqlite(platform: Running) -> list[str]:
    """Another program holds the registry's database by BEGIN EXCLUSIVE for 20 seconds."""
    database = sqlite3.connect(platform.data / "registry.db", isolation_level=None)
    with contextlib.closing(database):
        database.execute("BEGIN EXCLUSIVE")
        time.sleep(HELD_S)
        database.execute("ROLLBACK")
    return []


def publish_slowly(platform: Running) -> list[str]:
    """A version is published while the artifacts' store takes eight seconds for each request."""
    slowness.set()
    try:
        began = time.monotonic()
        platform.publish(models.doubled("another"))
        return [f"publishing took {time.monotonic() - began:.0f} s"]
    except Exception as error:  # which is the publisher's to know, and costs those nothing who ask for answers
        return [f"publishing failed after {time.monotonic() - began:.0f} s: {error}"]
    finally:
        slowness.clear()


@contextlib.contextmanager
def over_a_bucket(artifacts: Sequence[Import], *, envoy: bool = False) -> Iterator[Running]:
    """A platform with one gateway whose artifacts are in a bucket of an S3 server that can be slow."""
    with _s3_server() as endpoint:
        told = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
        }
        os.environ.update(told)
        try:
            urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{BUCKET}", method="PUT")).close()
            with platform(artifacts, WORKERS, envoy=envoy, store=f"s3://{BUCKET}/headrace") as running:
                yield Running(running.url, Path("/nowhere"), psutil.Process())
        finally:
            for name in told:
                del os.environ[name]


@contextlib.contextmanager
def _s3_server() -> Iterator[str]:
    """One that waits before each request while `slowness` is set."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # not a line for each request
    serve = DomainDispatcherApplication(create_backend_app)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if slowness.is_set():
            time.sleep(SLOW_S)
        answer: Iterable[bytes] = serve(environ, start_response)
        return answer

    port = free_port()
    server = make_server("127.0.0.1", port, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.shutdown()
        thread.join()
