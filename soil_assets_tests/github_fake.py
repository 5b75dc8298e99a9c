"""GitHub's API as far as a pull request's comment needs it, on loopback, with everything that was asked kept in a log.

It answers as GitHub does: pages of comments, 422 for a reference that moved or a body over the cap, a token that may
read only. ``faults`` make it fail the way the real one fails.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

BOT = "github-actions[bot]"
CAP = 65_536
#: GitHub lists no more files of a pull request.
MOST_FILES = 3000


@dataclass
class Fault:
    """The next ``times`` requests whose method and path match are answered with this instead."""

    method: str
    path: str
    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1


@dataclass
class FakeGitHub:
    """One repository's state."""

    repository: str = "lab/soil"
    token: str = "t0ken"
    pulls: dict[int, dict[str, Any]] = field(default_factory=dict)
    files: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    contents: dict[tuple[str, str], bytes] = field(default_factory=dict)
    #: What GET compare/BASE...HEAD answers by (base, head); without an entry ``head`` is one commit ahead of ``base``.
    comparisons: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    comments: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    statuses: list[dict[str, Any]] = field(default_factory=list)
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    dispatched: list[dict[str, Any]] = field(default_factory=list)
    log: list[tuple[str, str, int]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    may_write: bool = True
    #: The repository's setting 'Allow GitHub Actions to create and approve pull requests'.
    may_open_pull_requests: bool = True
    url: str = ""
    _ids: int = 1000
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def pull(self, number: int, sha: str, ref: str = "topic", repo: str | None = None) -> None:
        head = {"sha": sha, "ref": ref, "repo": {"full_name": repo or self.repository}}
        self.pulls[number] = {"number": number, "head": head, "state": "open", "base": {"ref": "main"}}

    def change(self, number: int, path: str, status: str = "modified", previous: str | None = None) -> None:
        """Let a pull request change a file: added, modified, removed or renamed."""
        file = {"filename": path, "status": status}
        self.files.setdefault(number, []).append(file | ({"previous_filename": previous} if previous else {}))

    def talk(self, number: int, bodies: list[str], login: str = "someone") -> None:
        """Let people comment."""
        for body in bodies:
            self._comment(number, body, login)

    def ours(self, number: int) -> list[dict[str, Any]]:
        """Return the comments that the bot's token made."""
        return [c for c in self.comments.get(number, []) if c["user"]["login"] == BOT]

    def asked(self, method: str) -> list[str]:
        """Return the paths that were asked for with a method."""
        return [path for m, path, _ in self.log if m == method]

    def published(self, branch: str) -> dict[str, str]:
        """Return the files of a branch: path to blob."""
        commit = self.objects[self.refs[branch]]
        return dict(self.objects[commit["tree"]["sha"]]["files"])

    def _comment(self, number: int, body: str, login: str) -> dict[str, Any]:
        self._ids += 1
        made = {
            "id": self._ids,
            "body": body,
            "user": {"login": login, "type": "Bot" if login.endswith("[bot]") else "User"},
            "html_url": f"https://github.example/{self.repository}/pull/{number}#issuecomment-{self._ids}",
        }
        self.comments.setdefault(number, []).append(made)
        return made

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        """Return status and JSON of a request on this repository."""
        with self._lock:
            for pattern, handler in _ROUTES:
                found = re.fullmatch(pattern, f"{method} {path}")
                if found:
                    if method != "GET" and not self.may_write:
                        return 403, {"message": "Resource not accessible by integration"}
                    return handler(self, found, query, body)
            return 404, {"message": "Not Found"}

    def _list(self, items: list[Any], query: dict[str, list[str]]) -> tuple[int, Any]:
        page, size = int(query.get("page", ["1"])[0]), min(int(query.get("per_page", ["30"])[0]), 100)
        return 200, items[(page - 1) * size : page * size]

    def _store(self, kind: str, content: dict[str, Any]) -> tuple[int, Any]:
        text = json.dumps([kind, content], sort_keys=True)
        sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        self.objects[sha] = {**content, "sha": sha}
        return 201, self.objects[sha]


def _get_pull(self: FakeGitHub, m: re.Match[str], _: Any, __: Any) -> tuple[int, Any]:
    found = self.pulls.get(int(m[1]))
    return (404, {"message": "Not Found"}) if found is None else (200, found)


def _get_pulls(self: FakeGitHub, _: Any, query: Any, __: Any) -> tuple[int, Any]:
    owner, _colon, branch = query.get("head", [""])[0].partition(":")
    state = query.get("state", ["open"])[0]
    listing = [
        pull
        for _number, pull in sorted(self.pulls.items(), reverse=True)
        if state in ("all", pull["state"])
        and (not branch or _head_label(pull) == f"{owner}:{branch}")  # GitHub ignores what is no owner:branch
    ]
    return self._list(listing, query)


def _head_label(pull: dict[str, Any]) -> str:
    return f"{pull['head']['repo']['full_name'].partition('/')[0]}:{pull['head']['ref']}"


def _open_pull(self: FakeGitHub, _: Any, __: Any, body: Any) -> tuple[int, Any]:
    if not self.may_open_pull_requests:
        return 403, {"message": "GitHub Actions is not permitted to create or approve pull requests."}
    number = max([*self.pulls, 0]) + 1
    self.pull(number, self.refs[body["head"]], body["head"])
    self.pulls[number] |= {
        "title": body["title"],
        "body": body["body"],
        "html_url": f"https://github.example/pull/{number}",
    }
    return 201, self.pulls[number]


def _get_files(self: FakeGitHub, m: re.Match[str], query: Any, _: Any) -> tuple[int, Any]:
    return self._list(self.files.get(int(m[1]), [])[:MOST_FILES], query)


def _get_content(self: FakeGitHub, m: re.Match[str], query: Any, _: Any) -> tuple[int, Any]:
    path, ref = unquote(m[1]), query["ref"][0]
    if (ref, path) in self.contents:
        return 200, self.contents[ref, path]
    inside = [name for at, name in self.contents if at == ref and name.startswith(f"{path}/")]
    return (200, [{"path": name} for name in inside]) if inside else (404, {"message": "Not Found"})


def _compare(self: FakeGitHub, m: re.Match[str], _: Any, __: Any) -> tuple[int, Any]:
    base, head = unquote(m[1]), unquote(m[2])
    status, commits = ("identical", 0) if base == head else ("ahead", 1)
    ahead = {
        "merge_base_commit": {"sha": base},
        "status": status,
        "ahead_by": commits,
        "behind_by": 0,
    }
    return 200, self.comparisons.get((base, head), ahead)


def _get_comments(self: FakeGitHub, m: re.Match[str], query: Any, _: Any) -> tuple[int, Any]:
    return self._list(self.comments.get(int(m[1]), []), query)


def _add_comment(self: FakeGitHub, m: re.Match[str], _: Any, body: Any) -> tuple[int, Any]:
    if len(body["body"]) > CAP:
        return 422, {
            "message": "Validation Failed",
            "errors": ["body is too long (maximum is 65536 characters)"],
        }
    return 201, self._comment(int(m[1]), body["body"], BOT)


def _edit_comment(self: FakeGitHub, m: re.Match[str], _: Any, body: Any) -> tuple[int, Any]:
    for comment in (c for every in self.comments.values() for c in every):
        if comment["id"] == int(m[1]):
            if len(body["body"]) > CAP:
                return 422, {"message": "Validation Failed"}
            comment["body"] = body["body"]
            return 200, comment
    return 404, {"message": "Not Found"}


def _delete_comment(self: FakeGitHub, m: re.Match[str], _: Any, __: Any) -> tuple[int, Any]:
    for every in self.comments.values():
        for comment in every:
            if comment["id"] == int(m[1]):
                every.remove(comment)
                return 204, None
    return 404, {"message": "Not Found"}


def _set_status(self: FakeGitHub, m: re.Match[str], _: Any, body: Any) -> tuple[int, Any]:
    if len(body["description"]) > 140:
        return 422, {"message": "Validation Failed"}
    self.statuses.append({"sha": m[1], **body})
    return 201, body


def _tree(self: FakeGitHub, _: Any, __: Any, body: Any) -> tuple[int, Any]:
    files = dict(self.objects[body["base_tree"]]["files"]) if body.get("base_tree") else {}
    for entry in body["tree"]:
        if entry["type"] == "tree":
            inside = self.objects[entry["sha"]]["files"]
            files |= {f"{entry['path']}/{name}": sha for name, sha in inside.items()}
        elif "content" in entry:
            files[entry["path"]] = self._store("blob", {"content": entry["content"]})[1]["sha"]
        else:
            files[entry["path"]] = entry["sha"]
    return self._store("tree", {"files": files})


def _get_tree(self: FakeGitHub, m: re.Match[str], _: Any, __: Any) -> tuple[int, Any]:
    folders: dict[str, dict[str, str]] = {}
    entries = []
    for path, sha in self.objects[m[1]]["files"].items():
        top, slash, rest = path.partition("/")
        if slash:
            folders.setdefault(top, {})[rest] = sha
        else:
            entries.append({"path": path, "mode": "100644", "type": "blob", "sha": sha, "size": 1})
    for top, inside in folders.items():
        sha = self._store("tree", {"files": inside})[1]["sha"]
        entries.append({"path": top, "mode": "040000", "type": "tree", "sha": sha})
    return 200, {"sha": m[1], "tree": entries, "truncated": False}


def _commit(self: FakeGitHub, _: Any, __: Any, body: Any) -> tuple[int, Any]:
    return self._store(
        "commit", {"tree": {"sha": body["tree"]}, "parents": body["parents"], "message": body["message"]}
    )


def _get_commit(self: FakeGitHub, m: re.Match[str], _: Any, __: Any) -> tuple[int, Any]:
    found = self.objects.get(m[1])
    return (404, {"message": "Not Found"}) if found is None else (200, found)


def _get_ref(self: FakeGitHub, m: re.Match[str], _: Any, __: Any) -> tuple[int, Any]:
    sha = self.refs.get(unquote(m[1]))
    return (404, {"message": "Not Found"}) if sha is None else (200, {"object": {"sha": sha}})


def _add_ref(self: FakeGitHub, _: Any, __: Any, body: Any) -> tuple[int, Any]:
    name = body["ref"].removeprefix("refs/heads/")
    if name in self.refs:
        return 422, {"message": "Reference already exists"}
    self.refs[name] = body["sha"]
    return 201, {"object": {"sha": body["sha"]}}


def _move_ref(self: FakeGitHub, m: re.Match[str], _: Any, body: Any) -> tuple[int, Any]:
    name = unquote(m[1])
    if self.refs[name] not in self.objects[body["sha"]]["parents"] and not body.get("force"):
        return 422, {"message": "Update is not a fast forward"}
    self.refs[name] = body["sha"]
    return 200, {"object": {"sha": body["sha"]}}


def _dispatch(self: FakeGitHub, m: re.Match[str], _: Any, body: Any) -> tuple[int, Any]:
    self.dispatched.append({"workflow": m[1], **body})
    return 204, None


def _get_runs(self: FakeGitHub, m: re.Match[str], query: Any, _: Any) -> tuple[int, Any]:
    runs = [d for d in self.dispatched if (d["workflow"], d["ref"]) == (m[1], query["branch"][0])]
    return 200, {"total_count": len(runs), "workflow_runs": runs[:1]}


_ROUTES: tuple[tuple[str, Any], ...] = (
    (r"GET pulls/(\d+)", _get_pull),
    (r"GET pulls", _get_pulls),
    (r"POST pulls", _open_pull),
    (r"GET pulls/(\d+)/files", _get_files),
    (r"GET contents/(.+)", _get_content),
    (r"GET compare/(.+?)\.\.\.(.+)", _compare),
    (r"GET issues/(\d+)/comments", _get_comments),
    (r"POST issues/(\d+)/comments", _add_comment),
    (r"PATCH issues/comments/(\d+)", _edit_comment),
    (r"DELETE issues/comments/(\d+)", _delete_comment),
    (r"POST statuses/([0-9a-f]{40})", _set_status),
    (
        r"GET commits/([0-9a-f]{40})/statuses",
        lambda self, m, q, _: self._list([s for s in reversed(self.statuses) if s["sha"] == m[1]], q),
    ),
    (r"POST git/blobs", lambda self, _m, _q, body: self._store("blob", {"content": body["content"]})),
    (r"POST git/trees", _tree),
    (r"GET git/trees/([0-9a-f]{40})", _get_tree),
    (r"POST git/commits", _commit),
    (r"GET git/commits/([0-9a-f]{40})", _get_commit),
    (r"GET git/ref/heads/(.+)", _get_ref),
    (r"POST git/refs", _add_ref),
    (r"PATCH git/refs/heads/(.+)", _move_ref),
    (r"GET actions/workflows/([^/]+)/runs", _get_runs),
    (r"POST actions/workflows/([^/]+)/dispatches", _dispatch),
)


def _handler(state: FakeGitHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def _do(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            path = parts.path.removeprefix("/api/v3").removeprefix(f"/repos/{state.repository}/")
            for fault in state.faults:
                if fault.times and re.fullmatch(f"{fault.method} {fault.path}", f"{self.command} {path}"):
                    fault.times -= 1
                    return self._send(path, fault.status, fault.body, fault.headers)
            if state.token not in (self.headers.get("authorization") or ""):
                return self._send(path, 401, {"message": "Bad credentials"}, {})
            if path == parts.path.removeprefix("/api/v3"):  # of the account, or of another repository
                user = (
                    {"login": BOT, "id": 1, "type": "Bot"}
                    if path.startswith("/user")
                    else {"message": "Not Found"}
                )
                return self._send(path, 200 if path.startswith("/user") else 404, user, {})
            status, answer = state.answer(self.command, path, parse_qs(parts.query), body)
            if isinstance(answer, bytes) and "raw" not in (self.headers.get("accept") or ""):
                answer = {"content": base64.b64encode(answer).decode("ascii"), "encoding": "base64"}
            return self._send(path, status, answer, {})

        def _send(self, path: str, status: int, body: Any, headers: dict[str, str]) -> None:
            state.log.append((self.command, path, status))
            raw = isinstance(body, bytes)  # a file's content, where the raw media type was asked for
            content = body if raw else b"" if body is None else json.dumps(body).encode()
            media = "application/vnd.github.raw+json" if raw else "application/json"
            self.send_response(status)
            for name, value in {"content-type": media, **headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = _do  # names of http.server

    return Handler


@contextmanager
def serving(state: FakeGitHub, certificate: Path | None = None) -> Iterator[FakeGitHub]:
    """Answer on a free port of loopback; with a certificate (PEM, key in it) over TLS."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(state))
    scheme = "http"
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    state.url = f"{scheme}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
