"""A hub of one repository on this machine: HEAD and GET of `REPO/resolve/REVISION/NAME`, as hubs answer."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

REPO = "someone/var"
COMMITS = {"main": "a" * 40, "old": "b" * 40}


class Asked(NamedTuple):
    """A request as it came."""

    method: str
    path: str
    range: str | None
    token: str | None
    host: str

    @property
    def about_a_file(self) -> bool:
        """The library also asks for affairs of its own."""
        return "/resolve/" in self.path


class Hub:
    """Files by name, a switch for every mishap, and what was asked so far.

    `cuts` are the numbers of bytes after which the next answers break off; `stall` is the number after which
    the next answer waits until `go_on` is set, and sets `stalled`; `etags` replaces the true hash; `status`
    answers everything with that code; without `about`, answers lack what only hubs send; with `elsewhere`,
    content lies on another host and this one redirects to it.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.old: dict[str, bytes] = {}
        self.commits = dict(COMMITS)
        self.asked: list[Asked] = []
        self.cuts: list[int] = []
        self.stall: int | None = None
        self.stalled, self.go_on = threading.Event(), threading.Event()
        self.etags: dict[str, str] = {}
        self.status = 200
        self.about = True
        self.elsewhere = False
        self.url = ""

    def downloads(self) -> list[str | None]:
        """The ranges that were downloaded."""
        return [one.range for one in self.asked if one.method == "GET" and one.about_a_file]


@contextmanager
def serving() -> Iterator[Hub]:
    """A running hub on a free port."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        content = self._answer()
        if content is None:
            return
        if self.hub.stall is not None:
            content = self._stalled(content)
        if self.hub.cuts:
            content = content[: self.hub.cuts.pop(0)]
            self.close_connection = True
        with suppress(ConnectionError):  # who asked may be gone by now
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Tests read `asked` instead."""

    def _stalled(self, content: bytes) -> bytes:
        """Send the beginning and wait; the rest is returned."""
        stall, self.hub.stall = self.hub.stall, None
        self.wfile.write(content[:stall])
        self.wfile.flush()
        self.hub.stalled.set()
        self.hub.go_on.wait()
        self.close_connection = True
        return content[stall:]

    def _answer(self) -> bytes | None:
        """Send the head of an answer; the content that belongs to it, if there is any."""
        hub, wanted = self.hub, self.headers.get("Range")
        token, host = self.headers.get("Authorization"), self.headers["Host"].partition(":")[0]
        hub.asked.append(Asked(self.command, self.path, wanted, token, host))
        if hub.status != 200:
            return self._refuse(hub.status)
        repo, _, rest = self.path.lstrip("/").partition("/resolve/")
        revision, _, name = rest.partition("/")
        commit = hub.commits.get(revision, revision)
        files = hub.old if commit == COMMITS["old"] else hub.files
        if repo != REPO:
            return self._refuse(401, "RepoNotFound")
        if commit not in COMMITS.values():
            return self._refuse(404, "RevisionNotFound")
        if name not in files:
            return self._refuse(404, "EntryNotFound")
        if hub.elsewhere and self.headers["Host"].startswith("127.0.0.1"):
            return self._redirect(commit, name, files[name])
        content = files[name]
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        if hub.about:
            self.send_header("X-Repo-Commit", commit)
            self.send_header("ETag", f'"{hub.etags.get(name) or hashlib.sha256(content).hexdigest()}"')
        self.end_headers()
        return content[start:]

    def _redirect(self, commit: str, name: str, content: bytes) -> None:
        self.send_response(302)
        self.send_header("Location", self.hub.url.replace("127.0.0.1", "localhost") + self.path)
        self.send_header("X-Repo-Commit", commit)
        self.send_header("X-Linked-Etag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Linked-Size", str(len(content)))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _refuse(self, status: int, code: str | None = None) -> None:
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()
