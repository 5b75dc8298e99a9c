"""GitHub's REST API: what the comment on a pull request needs of it, with patience for its limits.

Belongs here: requests, retries, pages, and the few calls by name. Does not belong here: what a comment says.
The base address comes from ``GITHUB_API_URL``, so that GitHub Enterprise and a test on loopback work alike.
"""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from soil_assets.errors import BadInput

_TRIES = 6
_TIMEOUT = 30
#: A job waits this long for a rate limit at most; longer than that, the next run posts.
_LONGEST_WAIT = 120.0
_PER_PAGE = 100
#: GitHub lists no more of a pull request's files, and does not say that there are more.
_MOST_FILES = 3000


class Refused(BadInput):
    """GitHub said no, and asking again would not help."""

    def __init__(self, status: int, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.status = status


@dataclass
class GitHub:
    """One repository through the API.

    Parameters
    ----------
    api : str
        Base address, ``https://api.github.com`` or another.
    repository : str
        ``owner/name``.
    token : str
        Never shown; sent only to ``api``.
    sleep, clock : callable
        Of the waiting between tries.
    """

    api: str
    repository: str
    token: str = field(repr=False)
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        owner, _, name = self.repository.partition("/")
        if not owner or not name or "/" in name or ".." in self.repository:
            raise BadInput("not a repository", found=self.repository[:100], expected="owner/name")
        if urlsplit(self.api).scheme not in ("https", "http"):
            raise BadInput("not the address of an API", found=self.api[:100], expected="https://...")
        self.api = self.api.rstrip("/")

    def pull_request(self, number: int) -> dict[str, Any]:
        """Return a pull request."""
        found: dict[str, Any] = self.call("GET", f"pulls/{number}")
        return found

    def files(self, number: int) -> list[dict[str, Any]]:
        """Return every changed file of a pull request: ``filename``, ``previous_filename``, ``status``.

        Raises
        ------
        BadInput
            For a change of so many files that GitHub lists a part of them only.
        """
        files = list(self._pages(f"pulls/{number}/files"))
        if len(files) >= _MOST_FILES:
            raise BadInput(
                "this pull request changes more files than GitHub lists",
                found=f"{len(files)} files listed",
                expected=f"fewer than {_MOST_FILES}",
                mend="split it, or put its data under DVC: soil batch add NAME --push",
            )
        return files

    def content(self, path: str, ref: str) -> bytes | None:
        """Return a file's bytes at a commit, branch or tag; None where there is no such file (or it is a folder)."""
        try:
            reply = self._request(
                "GET",
                f"contents/{quote(path)}?ref={quote(ref, safe='')}",
                accept="application/vnd.github.raw+json",
            )
        except Refused as error:
            if error.status == 404:
                return None
            raise
        # A folder is answered with its listing, as JSON, whatever was asked for.
        is_listing = str(reply.headers.get("content-type", "")).startswith("application/json")
        return None if is_listing else bytes(reply.content)

    def compare(self, base: str, head: str) -> dict[str, Any]:
        """Return how ``head`` lies to ``base``: ``merge_base_commit``, ``status``, ``ahead_by``, ``behind_by``."""
        ends = f"{quote(base, safe='')}...{quote(head, safe='')}"
        comparison: dict[str, Any] = self.call("GET", f"compare/{ends}?per_page=1")
        return comparison

    def comments(self, number: int) -> Iterator[dict[str, Any]]:
        """Return all comments of a pull request, page by page."""
        yield from self._pages(f"issues/{number}/comments")

    def create_comment(self, number: int, body: str) -> dict[str, Any]:
        """Write a comment."""
        made: dict[str, Any] = self.call("POST", f"issues/{number}/comments", {"body": body})
        return made

    def update_comment(self, comment: int, body: str) -> dict[str, Any]:
        """Replace a comment's text."""
        made: dict[str, Any] = self.call("PATCH", f"issues/comments/{comment}", {"body": body})
        return made

    def delete_comment(self, comment: int) -> None:
        """Remove a comment."""
        self.call("DELETE", f"issues/comments/{comment}")

    def statuses(self, sha: str) -> Iterator[dict[str, Any]]:
        """Yield the status checks of a commit, the newest first; nothing is asked before the first is wanted."""
        yield from self._pages(f"commits/{sha}/statuses")

    def set_status(self, sha: str, state: str, context: str, words: str, url: str = "") -> None:
        """Set a status check on a commit; GitHub takes 140 characters of description."""
        facts = {"state": state, "context": context, "description": words[:140]}
        self.call("POST", f"statuses/{sha}", facts | ({"target_url": url} if url else {}))

    def publish(self, branch: str, files: Mapping[str, bytes], message: str, base: str | None = None) -> str:
        """Put files on a branch, made when it is not there; return the commit.

        A new branch starts from the commit ``base``, or from nothing: apart from the code. Earlier files stay, so that
        an address with a commit in it stays good. Two jobs that write at once both land.
        """
        blobs = {}
        for path, content in files.items():
            encoded = {"content": base64.b64encode(content).decode("ascii"), "encoding": "base64"}
            blobs[path] = self.call("POST", "git/blobs", encoded)["sha"]
        entries = [{"path": p, "mode": "100644", "type": "blob", "sha": sha} for p, sha in blobs.items()]
        for attempt in range(8):
            head = self.head(branch)
            parent = head or base
            tree: dict[str, Any] = {"tree": entries}
            if parent is not None:
                tree["base_tree"] = self.call("GET", f"git/commits/{parent}")["tree"]["sha"]
            made = self.call("POST", "git/trees", tree)["sha"]
            parents = [] if parent is None else [parent]
            commit = str(
                self.call("POST", "git/commits", {"message": message, "tree": made, "parents": parents})[
                    "sha"
                ]
            )
            try:
                if head is None:
                    self.call("POST", "git/refs", {"ref": f"refs/heads/{branch}", "sha": commit})
                else:
                    self.call("PATCH", f"git/refs/heads/{quote(branch)}", {"sha": commit, "force": False})
            except Refused as error:  # another job was first
                if error.status != 422 or attempt == 7:
                    raise
                self.sleep(random.uniform(0.1, 1.0))
            else:
                return commit
        raise AssertionError("the loop returns or raises")

    def prune(self, branch: str, dropped: Collection[str], head: str, message: str) -> str:
        """Rewrite a branch as one commit without these entries of its top folder; return the new commit.

        Parameters
        ----------
        head : str
            The commit that ``dropped`` was chosen from: a branch that moved meanwhile is not rewritten.

        Raises
        ------
        BadInput
            When another job wrote to the branch meanwhile.
        """
        kept = [entry for entry in self.top_entries(head) if entry["path"] not in dropped]
        entries = [{key: entry[key] for key in ("path", "mode", "type", "sha")} for entry in kept]
        readme = {"path": "README.md", "mode": "100644", "type": "blob", "content": f"{message}\n"}
        entries = [*(entry for entry in entries if entry["path"] != "README.md"), readme]
        tree = self.call("POST", "git/trees", {"tree": entries})["sha"]
        commit = self.call("POST", "git/commits", {"message": message, "tree": tree, "parents": []})["sha"]
        # GitHub moves no branch on a condition; the moment between this look and the move is all that is left.
        if self.head(branch) != head:
            raise BadInput(
                "another job wrote to the branch while it was pruned",
                found=branch,
                mend="nothing was changed: run it again",
            )
        self.call("PATCH", f"git/refs/heads/{quote(branch)}", {"sha": commit, "force": True})
        return str(commit)

    def top_entries(self, commit: str) -> list[dict[str, Any]]:
        """Return the entries of a commit's top folder: ``path``, ``mode``, ``type``, ``sha``."""
        tree = self.call("GET", f"git/commits/{commit}")["tree"]["sha"]
        listing = self.call("GET", f"git/trees/{tree}")
        if listing.get("truncated"):
            raise BadInput(
                "GitHub cut the listing of a folder", found=commit, mend="prune it by hand with git"
            )
        return list(listing["tree"])

    def head(self, branch: str) -> str | None:
        """Return the commit of a branch, or None when there is none of this name."""
        try:
            return str(self.call("GET", f"git/ref/heads/{quote(branch)}")["object"]["sha"])
        except Refused as error:
            if error.status == 404:
                return None
            raise

    def branch_exists(self, branch: str) -> bool:
        """Whether the repository has a branch of this name."""
        return self.head(branch) is not None

    def open_pull_request(self, title: str, head: str, base: str, body: str) -> dict[str, Any]:
        """Open a pull request."""
        facts = {"title": title, "head": head, "base": base, "body": body, "maintainer_can_modify": True}
        made: dict[str, Any] = self.call("POST", "pulls", facts)
        return made

    def pull_requests_of(self, branch: str) -> list[dict[str, Any]]:
        """Return the pull requests of a branch of this repository, open or closed, the newest first."""
        owner = self.repository.partition("/")[0]
        listing = self._pages(f"pulls?head={quote(f'{owner}:{branch}', safe='')}&state=all")
        # A filter that GitHub does not understand is none: it would list every pull request.
        return [
            request
            for request in listing
            if request["head"]["ref"] == branch
            and ((request["head"].get("repo") or {}).get("full_name") or "").lower()
            == self.repository.lower()
        ]

    def was_started(self, file: str, branch: str) -> bool:
        """Whether a workflow ever ran on a branch."""
        runs = self.call(
            "GET", f"actions/workflows/{quote(file)}/runs?branch={quote(branch, safe='')}&per_page=1"
        )
        return int(runs["total_count"]) > 0

    def start_workflow(self, file: str, ref: str, inputs: Mapping[str, str]) -> None:
        """Start a workflow by hand: what a job's own token opens or pushes starts none."""
        self.call("POST", f"actions/workflows/{quote(file)}/dispatches", {"ref": ref, "inputs": dict(inputs)})

    def _pages(self, path: str) -> Iterator[dict[str, Any]]:
        page = 1
        while True:
            found = self.call("GET", f"{path}{'&' if '?' in path else '?'}per_page={_PER_PAGE}&page={page}")
            yield from found
            if len(found) < _PER_PAGE:
                return
            page += 1

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call the API of this repository and return its JSON.

        Server errors, lost connections and rate limits are tried again; for a rate limit GitHub says how long to wait.

        Raises
        ------
        Refused
            With the status, GitHub's own words and what to do about it.
        """
        reply = self._request(method, path, body)
        return reply.json() if reply.content else None

    def _request(
        self, method: str, path: str, body: Any = None, accept: str = "application/vnd.github+json"
    ) -> Any:
        import requests

        address = f"{self.api}/repos/{self.repository}/{path}"
        headers = {
            "Accept": accept,
            "Authorization": f"Bearer {self.token}",
            "X-GitHub-Api-Version": "2022-11-28",
        }
        for attempt in range(1, _TRIES + 1):
            try:
                # A redirect could lead the token elsewhere; GitHub needs none for these calls.
                reply = requests.request(
                    method, address, json=body, headers=headers, timeout=_TIMEOUT, allow_redirects=False
                )
            except requests.RequestException as error:
                if attempt == _TRIES:
                    raise Refused(
                        0,
                        "GitHub's API cannot be reached",
                        found=f"{type(error).__name__} at {self.api}",
                        mend="run the job again",
                    ) from None
                self.sleep(_backoff(attempt))
                continue
            if reply.ok and not reply.is_redirect:
                return reply
            wait = self._wait(reply, attempt)
            if wait is None or attempt == _TRIES:
                raise _refusal(reply, method, path)
            self.sleep(wait)
        raise AssertionError("the loop returns or raises")

    def _wait(self, reply: Any, attempt: int) -> float | None:
        """Return how long to wait before the next try, or None when another try would not help."""
        if reply.status_code >= 500:
            return _backoff(attempt)
        if reply.status_code not in (403, 429):
            return None
        after, reset = reply.headers.get("retry-after"), reply.headers.get("x-ratelimit-reset")
        wait = None
        if after is not None and after.isdigit():
            wait = float(after)
        elif reply.headers.get("x-ratelimit-remaining") == "0" and (reset or "").isdigit():
            wait = max(float(reset) - self.clock(), 0.0) + 1.0
        elif reply.status_code == 429 or "rate limit" in _said(reply).lower():
            wait = min(15.0 * attempt, 60.0)
        return wait if wait is not None and wait <= _LONGEST_WAIT else None


def _backoff(attempt: int) -> float:
    return float(min(2.0 ** (attempt - 1), 20.0) * random.uniform(0.5, 1.0))


def _said(reply: Any) -> str:
    try:
        found = reply.json()
    except ValueError:
        return str(reply.text)[:200]
    if not isinstance(found, dict):
        return str(found)[:200]
    errors = found.get("errors")
    return f"{found.get('message', '')}{f' {errors}' if errors else ''}"[:300]


def _refusal(reply: Any, method: str, path: str) -> Refused:
    status, said = reply.status_code, _said(reply)
    mend = {
        401: "the token is not valid: give GITHUB_TOKEN",
        403: "give the job the permission it lacks (pull-requests: write, statuses: write, contents: write)",
        404: "check the repository and the number, and that the token may see them",
        422: "GitHub does not take this content",
    }.get(status, "run the job again")
    if "rate limit" in said.lower() or status == 429:
        mend = "the rate limit is used up for longer than a job waits: run it again later"
    return Refused(
        status, f"GitHub refused {method} {path.split('?')[0]}", found=f"{status} {said}".strip(), mend=mend
    )
