"""A data set that the recipe knows by its name on the Hugging Face hub, of which a stand-in runs here."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

FILES = {
    f"{name}.csv": "review,stars\n" + "".join(f"{name} {index},{1 + index % 2}\n" for index in range(count))
    for name, count in (("train", 40), ("test", 10))
}
SHA = hashlib.sha1(repr(FILES).encode()).hexdigest()
SCRIPT = """
import json, sys
from pathlib import Path
from tests.training.data_stage import data
block = {"path": "people/reviews", "columns": {"text": "review", "label": "stars"}, "options": json.loads(sys.argv[2])}
print(json.dumps(data(Path(sys.argv[1]), datasets=[block])[0]))
"""


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's HTTP API as `datasets` asks for."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer([entry(path) for path in asked["paths"] if path in FILES])

    def do_GET(self) -> None:
        match [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]:
            case ["api", "datasets", "people", "reviews", *revision] if "tree" not in revision:
                self.answer({"id": "people/reviews", "sha": SHA, "siblings": [{"rfilename": path} for path in FILES]})
            case ["api", "datasets", "people", "reviews", "tree", _, *path]:
                folder = "/".join(path)
                found = [entry(file) for file in FILES if file.startswith(folder)]
                self.answer(found if found else None)
            case ["datasets", "people", "reviews", "resolve", _, *path]:
                self.answer(FILES.get("/".join(path)))
            case _:
                self.answer(None)

    def answer(self, value: Any) -> None:
        body = value.encode() if isinstance(value, str) else json.dumps(value or {}).encode()
        self.send_response(404 if value is None else 200)
        if value is None:
            self.send_header("X-Error-Code", "EntryNotFound")
        if isinstance(value, str):
            self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
            self.send_header("X-Repo-Commit", SHA)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def entry(path: str) -> dict[str, Any]:
    data = FILES[path].encode()
    return {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}


@pytest.fixture
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def stage(hub: str, folder: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """The data stage in a process of its own: the library reads where the hub is when it is imported."""
    environment = {**os.environ, "HF_ENDPOINT": hub, "HF_HOME": str(folder / "cache"), "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-c", SCRIPT, str(folder), json.dumps(options)]
    root = Path(__file__).parents[2]
    return subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True)


def test_a_name_on_the_hub_is_read_with_the_splits_it_has(hub: str, tmp_path: Path) -> None:
    done = stage(hub, tmp_path)
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout.splitlines()[-1])
    assert outcome["rows"] == {"train": 36, "validation": 4, "test": 10}
    assert outcome["labels"]["test"] == {"1": 5, "2": 5}


def test_a_name_that_the_hub_does_not_know_is_an_error(hub: str, tmp_path: Path) -> None:
    done = stage(hub, tmp_path, data_files="none.csv")
    assert done.returncode == 1
    assert "RecipeError: datasets: people/reviews: " in done.stderr
