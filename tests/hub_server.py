"""A stand-in for the Hugging Face Hub: as much of its HTTP as fetching and handing in a model takes."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_right"

Files = dict[str, bytes]


@dataclass
class Repo:
    """Its states, oldest first; ``main`` is the last."""

    commits: list[Files] = field(default_factory=lambda: [{".gitattributes": b""}])
    private: bool = False
    gated: bool = False

    def number(self, revision: str) -> int | None:
        shas = [sha(number) for number in range(len(self.commits))]
        return len(shas) - 1 if revision == "main" else shas.index(revision) if revision in shas else None


def sha(number: int) -> str:
    """Of a repository's commit."""
    return hashlib.sha1(str(number).encode()).hexdigest()


class Hub(ThreadingHTTPServer):
    """All that the server remembers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repos: dict[str, Repo] = {}
        self.blobs: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.status = 200
        """What every request is answered with, if it is another."""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def running_hub() -> Iterator[Hub]:
    with Hub() as hub:
        thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()


class RefusedError(Exception):
    def __init__(self, status: int, code: str = "", message: str = "", body: object = None) -> None:
        self.status, self.code, self.message, self.body = status, code, message, body or {}


NOT_FOUND = RefusedError(404, "RepoNotFound", "Repository not found")


class Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def answer(self) -> None:
        self.path = unquote(urlsplit(self.path).path)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            self.body = b"".join(self.chunks())
        self.server.asked.append(f"{self.command} {self.path}")
        try:
            if self.server.status != 200:
                raise RefusedError(self.server.status, message="as the test wants it")
            route, found = next(
                (do, found) for do, path in ROUTES if (found := re.fullmatch(path, self.path))
            )
            route(self, *found.groups())
        except RefusedError as refused:
            headers = {"X-Error-Code": refused.code, "X-Error-Message": refused.message}
            self.send(
                json.dumps(refused.body).encode(), refused.status, {k: v for k, v in headers.items() if v}
            )

    do_GET = do_HEAD = do_POST = do_PUT = answer  # noqa: N815

    def chunks(self) -> Iterator[bytes]:
        while length := int(self.rfile.readline(), 16):
            yield self.rfile.read(length)
            self.rfile.readline()
        self.rfile.readline()

    def send(self, data: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def send_json(self, value: object) -> None:
        self.send(json.dumps(value).encode(), headers={"Content-Type": "application/json"})

    def may(self) -> bool:
        """Whether the right token is shown. RefusedError for a wrong one."""
        given = self.headers.get("Authorization")
        if given not in (None, f"Bearer {TOKEN}"):
            raise RefusedError(401, message="Invalid credentials in Authorization header")
        return given is not None

    def repo(self, name: str, *, write: bool = False) -> Repo:
        may, repo = self.may(), self.server.repos.get(name)
        if repo is None or (repo.private and not may):
            raise NOT_FOUND
        if write and not may:
            raise RefusedError(401, message="Invalid username or password.")
        return repo

    def state(self, name: str, revision: str) -> tuple[Repo, int]:
        repo = self.repo(name)
        if (number := repo.number(revision)) is None:
            raise RefusedError(404, "RevisionNotFound", "Invalid rev id")
        return repo, number

    def create(self) -> None:
        if not self.may():
            raise RefusedError(401, message="Invalid username or password.")
        wanted = json.loads(self.body)
        name = f"{wanted['organization']}/{wanted['name']}"
        if wanted["organization"] != "me":
            raise RefusedError(
                403, message=f"You have no rights to create a model under {wanted['organization']}"
            )
        if name in self.server.repos:
            raise RefusedError(409, body={"url": f"{self.server.address}/{name}"})
        self.server.repos[name] = Repo(private=wanted.get("visibility") == "private")
        self.send_json({"url": f"{self.server.address}/{name}"})

    def info(self, name: str, revision: str | None) -> None:
        repo, number = self.state(name, revision or "main")
        files = [{"rfilename": path} for path in repo.commits[number]]
        self.send_json({"id": name, "sha": sha(number), "private": repo.private, "siblings": files})

    def tree(self, name: str, revision: str) -> None:
        repo, number = self.state(name, revision)
        files = repo.commits[number].items()
        self.send_json(
            [{"type": "file", "path": path, "size": len(data), "oid": oid(data)} for path, data in files]
        )

    def resolve(self, name: str, revision: str, path: str) -> None:
        repo, number = self.state(name, revision)
        if repo.gated and not self.may():
            raise RefusedError(403, "GatedRepo", "Access to this model is restricted")
        if path not in repo.commits[number]:
            raise RefusedError(404, "EntryNotFound", "Entry not found")
        data = repo.commits[number][path]
        self.send(data, headers={"ETag": f'"{oid(data)}"', "X-Repo-Commit": sha(number)})

    def check_card(self) -> None:
        text = json.loads(self.body)["content"]
        if "license: nonsense" in text:
            errors = [{"message": '"license" must be one of [apache-2.0, mit, ...]'}]
            raise RefusedError(400, body={"errors": errors})
        self.send_json({"errors": [], "warnings": []})

    def preupload(self, name: str) -> None:
        self.repo(name, write=True)
        files = [
            {
                "path": one["path"],
                "uploadMode": "lfs" if one["path"].endswith(".safetensors") else "regular",
                "shouldIgnore": False,
            }
            for one in json.loads(self.body)["files"]
        ]
        self.send_json({"files": files})

    def batch(self, name: str) -> None:
        self.repo(name, write=True)
        objects = [
            {
                "oid": one["oid"],
                "size": one["size"],
                "actions": {"upload": {"href": f"{self.server.address}/lfs/{one['oid']}"}},
            }
            for one in json.loads(self.body)["objects"]
        ]
        self.send_json({"transfer": "basic", "objects": objects})

    def store(self, digest: str) -> None:
        assert hashlib.sha256(self.body).hexdigest() == digest
        self.server.blobs[digest] = self.body
        self.send(b"")

    def commit(self, name: str) -> None:
        repo = self.repo(name, write=True)
        files = dict(repo.commits[-1])
        for line in self.body.splitlines():
            entry: dict[str, Any] = json.loads(line)
            kind, value = entry["key"], entry["value"]
            if kind == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif kind == "lfsFile":
                files[value["path"]] = self.server.blobs[value["oid"]]
            elif kind == "deletedFile":
                del files[value["path"]]
        repo.commits.append(files)
        number = len(repo.commits) - 1
        url = f"{self.server.address}/{name}/commit/{sha(number)}"
        self.send_json({"success": True, "commitOid": sha(number), "commitUrl": url})


def oid(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


NAME = r"([\w.-]+/[\w.-]+)"
ROUTES: list[tuple[Callable[..., None], str]] = [
    (Handler.create, "/api/repos/create"),
    (Handler.check_card, "/api/validate-yaml"),
    (Handler.tree, f"/api/models/{NAME}/tree/([^/]+)/?"),
    (Handler.preupload, f"/api/models/{NAME}/preupload/main"),
    (Handler.commit, f"/api/models/{NAME}/commit/main"),
    (Handler.info, f"/api/models/{NAME}(?:/revision/([^/]+))?"),
    (Handler.batch, rf"/{NAME}\.git/info/lfs/objects/batch"),
    (Handler.store, "/lfs/([0-9a-f]{64})"),
    (Handler.resolve, f"/{NAME}/resolve/([^/]+)/(.+)"),
]
