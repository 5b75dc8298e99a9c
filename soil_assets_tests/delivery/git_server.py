"""A git host on loopback: bare repositories behind git's own HTTP backend, with tokens, rules and moves."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
TOKEN, READ_ONLY = "a-token-that-may-write", "a-token-that-may-read"


@dataclass
class GitHost:
    """What a test sees of the host.

    Parameters
    ----------
    moved : dict
        Repositories that answer with a redirect, by path.
    asked : list
        (method, path, authorisation) of every request.
    """

    folder: Path
    address: str = ""
    moved: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.address}/soil/manifests.git"

    @property
    def bare(self) -> Path:
        return self.folder / "soil" / "manifests.git"

    def git(self, *arguments: str) -> str:
        """Run git in the bare repository."""
        return git(self.bare, *arguments)

    def log(self) -> list[str]:
        """Return the subjects of main's commits, newest first."""
        return self.git("log", "--format=%s", "main").splitlines()

    def message(self, commit: str = "main") -> str:
        return self.git("log", "-1", "--format=%an <%ae>%n%B", commit)

    def file(self, path: str) -> str:
        return self.git("show", f"main:{path}")

    def protect(self, line: str = "protected branch: only pull requests may change main") -> None:
        """Refuse every push, as a protected branch does."""
        self._hook(f"echo '{line}' >&2; exit 1")

    def unprotect(self) -> None:
        (self.bare / "hooks" / "pre-receive").unlink(missing_ok=True)

    def commit(self, path: str, text: str, message: str = "by hand") -> None:
        """Change a file as somebody else would."""
        scratch = self.folder / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        git(self.folder, "clone", "--quiet", str(self.bare), str(scratch))
        (scratch / path).parent.mkdir(parents=True, exist_ok=True)
        (scratch / path).write_text(text, encoding="utf-8")
        git(scratch, "add", "--all")
        git(scratch, "commit", "--quiet", "-m", message)
        git(scratch, "push", "--quiet", "origin", "HEAD:main")

    def _hook(self, script: str) -> None:
        hook = self.bare / "hooks" / "pre-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\n{script}\n")
        hook.chmod(0o755)


def git(folder: Path, *arguments: str) -> str:
    who = {
        "GIT_AUTHOR_NAME": "Grace Hopper", "GIT_AUTHOR_EMAIL": "grace@example.org",
        "GIT_COMMITTER_NAME": "Grace Hopper", "GIT_COMMITTER_EMAIL": "grace@example.org",
    }  # fmt: skip
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env={**os.environ, **who},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def git_host(folder: Path) -> Iterator[GitHost]:
    """Serve a manifest repository that holds deploy/kubernetes; reading and writing need a token."""
    program = Path(
        subprocess.run(["git", "--exec-path"], capture_output=True, text=True, check=True).stdout.strip()
    )
    backend = program / "git-http-backend"
    if not backend.exists():
        pytest.skip("git has no HTTP backend here")
    host = GitHost(folder)
    start = folder / "start"
    shutil.copytree(ROOT / "deploy" / "kubernetes", start)
    git(start, "init", "--quiet", "--initial-branch", "main")
    git(start, "add", "--all")
    git(start, "commit", "--quiet", "-m", "Manifests of the prediction service")
    host.bare.parent.mkdir()
    git(folder, "clone", "--quiet", "--bare", "--template=", str(start), str(host.bare))
    git(host.bare, "config", "http.receivepack", "true")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def log_message(self, *_: object) -> None:
            pass

        def _answer(self) -> None:
            path, _, query = self.path.partition("?")
            given = self.headers.get("Authorization", "")
            host.asked.append((self.command, self.path, given))
            body = self._body()
            repository = path.split(".git", 1)[0] + ".git"
            if repository in host.moved:
                target = host.moved[repository] + self.path.removeprefix(repository)
                self._send(301, {"Location": target}, b"")
                return
            token = base64.b64decode(given.removeprefix("Basic ") or "").decode().partition(":")[2]
            if token not in (TOKEN, READ_ONLY):
                self._send(401, {"WWW-Authenticate": 'Basic realm="git"'}, b"")
                return
            if token == READ_ONLY and "git-receive-pack" in self.path:
                self._send(403, {}, b"this token may not write\n")
                return
            self._run(path, query, body)

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                parts = []
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def _run(self, path: str, query: str, body: bytes) -> None:
            env = {
                "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(folder), "GIT_HTTP_EXPORT_ALL": "1",
                "REQUEST_METHOD": self.command, "PATH_INFO": path, "QUERY_STRING": query, "REMOTE_USER": "release",
                "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            }  # fmt: skip
            done = subprocess.run([str(backend)], input=body, env=env, capture_output=True, check=False)
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
            status = int(headers.pop("Status", "200").split()[0])
            self._send(status, headers, content)

        def _send(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    host.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
