"""A small stand-in of the Hugging Face hub: as much of its HTTP API as `huggingface_hub.snapshot_download` asks for."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass
class Repository:
    """`commits` maps a commit's sha to its files; `branches` maps a branch or a tag to a commit."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    gated: bool = False


@dataclass
class Hub:
    """`fetched` has the path of every file whose bytes were asked for."""

    url: str
    repositories: dict[str, Repository] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)

    def commit(self, name: str, files: dict[str, bytes], branch: str = "main") -> str:
        """Put `files` on a branch of the repository, as its new state: the commit's sha."""
        repository = self.repositories.setdefault(name, Repository())
        sha = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
        repository.commits[sha] = files
        repository.branches[branch] = sha
        return sha


@contextmanager
def serve_hub() -> Iterator[Hub]:
    """A hub on a free port of this machine, for as long as the context lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Requests)
    hub = Hub(f"http://127.0.0.1:{server.server_port}")
    server.hub = hub  # type: ignore[attr-defined]
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Requests(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._file()

    def do_GET(self) -> None:
        parts = self._parts()
        match parts:
            case ["api", "models", owner, name]:
                self._info(f"{owner}/{name}", "main")
            case ["api", "models", owner, name, "revision", revision]:
                self._info(f"{owner}/{name}", revision)
            case ["api", "models", owner, name, "tree", revision]:
                self._tree(f"{owner}/{name}", revision)
            case _:
                self._file()

    def _info(self, name: str, revision: str) -> None:
        if (found := self._find(name, revision)) is not None:
            sha, files = found
            self._json({"id": name, "sha": sha, "siblings": [{"rfilename": path} for path in files]})

    def _tree(self, name: str, revision: str) -> None:
        if (found := self._find(name, revision)) is not None:
            entries = [
                {"type": "file", "path": path, "size": len(data), "oid": _blob_id(data)}
                for path, data in found[1].items()
            ]
            self._json(entries)

    def _file(self) -> None:
        match self._parts():
            case [owner, name, "resolve", revision, *path] if path:
                found = self._find(f"{owner}/{name}", revision)
            case _:
                return self._fail(404, "EntryNotFound")
        if found is None:
            return None
        sha, files = found
        if (data := files.get("/".join(path))) is None:
            return self._fail(404, "EntryNotFound")
        if self.command == "GET":
            self._hub.fetched.append("/".join(path))
        return self._answer(200, data, {"ETag": f'"{_blob_id(data)}"', "X-Repo-Commit": sha})

    def _find(self, name: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """The commit and its files; None once it was answered that there is no such thing."""
        repository = self._hub.repositories.get(name)
        if repository is None:
            self._fail(404, "RepoNotFound")
        elif repository.gated:
            self._fail(403, "GatedRepo")
        elif (sha := repository.branches.get(revision, revision)) not in repository.commits:
            self._fail(404, "RevisionNotFound")
        else:
            return sha, repository.commits[sha]
        return None

    @property
    def _hub(self) -> Hub:
        hub: Hub = self.server.hub  # type: ignore[attr-defined]
        return hub

    def _parts(self) -> list[str]:
        return [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]

    def _json(self, value: Any) -> None:
        self._answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _fail(self, status: int, code: str) -> None:
        self._answer(status, b"{}", {"X-Error-Code": code, "X-Error-Message": code})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _blob_id(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()
