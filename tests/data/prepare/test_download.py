"""Downloads through a server on this machine that dies midway, changes its file, or has none."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cluit.core.errors import UserError
from cluit.data.prepare import download as module
from cluit.data.prepare.download import download, file_name

CONTENT = bytes(i * i % 251 for i in range(300_000))
ELSEWHERE = "https://example.org/where"


class Server(ThreadingHTTPServer):
    """Serves ``content`` at every path; what it is like is set by the test."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.tag = CONTENT, '"one"'
        self.ranges, self.told_length = True, True
        self.kind, self.status = "application/zip", 200
        self.dies_after: list[int] = []  # bytes, for one answer after another; then none dies
        self.asked: list[str | None] = []  # the Range of each request

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/sets/a%20set.zip?dl=1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers["Range"]
        server.asked.append(wanted)
        if server.status != 200:
            self.send_error(server.status)
            return
        start, total = 0, len(server.content)
        if wanted and server.ranges and self.headers["If-Range"] in (None, server.tag):
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start and start >= total:
            self.send_response(416)
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Type", server.kind)
        self.send_header("ETag", server.tag)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        if server.told_length:
            self.send_header("Content-Length", str(total - start))
        self.end_headers()
        end = start + server.dies_after.pop(0) if server.dies_after else total
        self.wfile.write(server.content[start:end])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(module, "PAUSE", 0.0)
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def fetch(server: Server, target: Path) -> list[tuple[int, int | None]]:
    told = list[tuple[int, int | None]]()
    download(server.url, target, ELSEWHERE, lambda have, total: told.append((have, total)))
    assert hashlib.sha256(target.read_bytes()).digest() == hashlib.sha256(server.content).digest()
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    return told


def test_a_file_comes_whole_and_tells_how_far_it_is(server: Server, tmp_path: Path) -> None:
    told = fetch(server, tmp_path / "a.zip")
    assert told[0] == (0, len(CONTENT))
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert file_name(server.url) == "a set.zip"


def test_broken_connections_are_gone_on_from(server: Server, tmp_path: Path) -> None:
    server.dies_after = [100_000, 50_000]
    fetch(server, tmp_path / "a.zip")
    assert server.asked == [None, "bytes=100000-", "bytes=150000-"]


def test_a_later_command_goes_on_from_what_is_there(server: Server, tmp_path: Path) -> None:
    server.dies_after = [100_000, *[0] * module.TRIES]
    with pytest.raises(
        UserError, match=r"100,000 bytes are kept, the same command goes on.*example.org/where"
    ):
        fetch(server, tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()
    server.dies_after, server.asked = [], []
    fetch(server, tmp_path / "a.zip")
    assert server.asked == ["bytes=100000-"]


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("shorter", [True, False])
def test_nothing_is_pieced_together_of_two_files(
    server: Server, tmp_path: Path, ranges: bool, shorter: bool
) -> None:
    server.dies_after = [100_000, *[0] * module.TRIES]
    with pytest.raises(UserError):
        fetch(server, tmp_path / "a.zip")
    server.dies_after, server.ranges = [], ranges
    server.content, server.tag = CONTENT[::-1][: 50_000 if shorter else None], '"two"'
    fetch(server, tmp_path / "a.zip")


def test_servers_that_tell_little_are_put_up_with(server: Server, tmp_path: Path) -> None:
    server.told_length = False
    assert fetch(server, tmp_path / "a.zip")[-1] == (len(CONTENT), None)
    (tmp_path / "a.zip").unlink()
    server.told_length, server.tag = True, ""
    server.dies_after = [100_000]
    fetch(server, tmp_path / "a.zip")
    (tmp_path / "a.zip").unlink()
    server.dies_after = [100_000, *[0] * module.TRIES]
    with pytest.raises(UserError):
        fetch(server, tmp_path / "a.zip")
    server.dies_after, server.content = [], CONTENT[:90_000]  # no tag tells; the length does
    fetch(server, tmp_path / "a.zip")


@pytest.mark.parametrize(("status", "tries"), [(404, 1), (403, 1), (503, module.TRIES)])
def test_a_dead_link_says_where_else_to_look(server: Server, tmp_path: Path, status: int, tries: int) -> None:
    server.status = status
    with pytest.raises(UserError, match=rf"{status} .* look for .* at {ELSEWHERE}"):
        fetch(server, tmp_path / "a.zip")
    assert len(server.asked) == tries
    assert not list(tmp_path.iterdir())


def test_a_web_page_is_no_archive(server: Server, tmp_path: Path) -> None:
    server.kind = "text/html; charset=utf-8"
    with pytest.raises(UserError, match="leads to a web page"):
        fetch(server, tmp_path / "a.zip")
    assert not list(tmp_path.iterdir())


def test_a_server_that_is_not_there_is_one_sentence(server: Server, tmp_path: Path) -> None:
    with Server() as closed:
        pass
    with pytest.raises(UserError, match=r"cannot download .*refused.* try again later"):
        fetch(closed, tmp_path / "a.zip")
