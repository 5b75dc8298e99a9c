"""The manifest repository: a git repository of its own, changed by small signed-off commits and nothing else.

Belongs here: cloning, committing, pushing, and saying in words why the other side refused. Does not belong here: what
is changed (``adapters.gitops``).

Each try starts from the newest commit and makes its change again on what it finds there, so that of two releases at
once the second sees the first and is checked against it; nothing is merged line by line.
"""

from __future__ import annotations

import base64
import os
import random
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from soil_assets.errors import BadInput

TRIES = 10
_PATIENCE = 120
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_OUTRUN = re.compile(
    r"\[rejected\]|non-fast-forward|fetch first|cannot lock ref|failed to update ref|incorrect old value",
    re.IGNORECASE,
)
_PROTECTED = re.compile(r"pre-receive hook declined|protected branch|GH006|remote rejected", re.IGNORECASE)
_REFUSED = re.compile(
    r"Authentication failed|could not read Username|error: 40[13]|Permission denied|HTTP Basic: Access denied",
    re.IGNORECASE,
)
_AWAY = re.compile(
    r"not found|does not exist|does not appear to be a git repository|redirect|error: 30\d", re.IGNORECASE
)


@dataclass(frozen=True)
class Author:
    """Who signs a commit off."""

    name: str
    email: str

    @classmethod
    def parse(cls, text: str) -> Author:
        """Read ``Ada Lovelace <ada@example.org>``; without an address one is made that reaches nobody."""
        flat = " ".join(text.split())
        match = re.fullmatch(r"(.*?)\s*<([^<>\s@]+@[^<>\s@]+)>", flat)
        name = re.sub(r"[<>]", " ", match[1] if match else flat).strip() or "unknown"
        email = match[2] if match else re.sub(r"[^a-z0-9]+", ".", name.lower()).strip(".") + "@localhost"
        return cls(name, email)


@dataclass(frozen=True)
class Landed:
    """What became of a change: the commit it is in, or '' when there was nothing to change; how many tries."""

    commit: str
    tries: int
    head: str


class ManifestRepository:
    """One branch of a manifest repository.

    Parameters
    ----------
    url : str
        ``https://``, ``ssh://``, ``git@host:path``, or a folder; ``http://`` on this machine only.
    branch : str
    token : str
        Sent as the password of basic authentication, in a header that stands in no argument, file or message.
    """

    def __init__(self, url: str, branch: str = "main", token: str = "") -> None:
        parts = urlsplit(url) if "://" in url else None
        if not url or url.startswith("-") or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/-]*", branch):
            raise BadInput(
                "no manifest repository", found=repr(url) + (f", branch {branch!r}" if url else ""),
                expected="https://git.example.org/soil/manifests.git",
                mend="set release.repository in soil.yaml, or SOIL_MANIFESTS",
            )  # fmt: skip
        if parts and parts.password:
            raise BadInput(
                "a password stands in the manifest repository's address",
                file=f"{parts.scheme}://{parts.hostname}{parts.path}",
                mend="take it out and set SOIL_MANIFESTS_TOKEN",
            )
        if parts and parts.scheme not in ("https", "http", "ssh", "file"):
            raise BadInput("not an address of a git repository", found=url, expected="https, ssh or a folder")
        if parts and parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise BadInput("a token would travel in the open", found=url, expected="https://")
        self.url = url
        self.branch = branch
        self._token = token

    def __repr__(self) -> str:
        return f"ManifestRepository({self.url!r}, {self.branch!r})"

    @contextmanager
    def checkout(self) -> Iterator[Path]:
        """Give a temporary work tree of the branch's newest commit.

        Raises
        ------
        BadInput
            When the repository cannot be reached or read, with the reason and the mend.
        """
        with tempfile.TemporaryDirectory(prefix="soil-manifests-") as folder:
            self._talk(
                Path(folder), "clone", "--quiet", "--depth", "1", "--single-branch", "--branch", self.branch,
                "--no-tags", "--", self.url, "tree",
            )  # fmt: skip
            yield Path(folder) / "tree"

    def change(self, edit: Callable[[Path], str | None], author: Author, *, tries: int = TRIES) -> Landed:
        """Make a change and push it, on the newest commit, until it lands.

        Parameters
        ----------
        edit : callable
            Changes files of the work tree it is given and returns the commit message, or None when there is nothing
            to change. Called again on newer commits; it may raise to refuse what it finds there.

        Raises
        ------
        BadInput
            When the repository refuses, or others were faster ``tries`` times.
        """
        with self.checkout() as tree:
            for attempt in range(1, tries + 1):
                if attempt > 1:
                    time.sleep(random.uniform(0.05, 0.25) * 2 ** min(attempt - 2, 4))
                    self._talk(tree, "fetch", "--quiet", "--depth", "1", "origin", self.branch)
                    self._run(tree, "reset", "--quiet", "--hard", "FETCH_HEAD")
                head = self._run(tree, "rev-parse", "HEAD").strip()
                message = edit(tree)
                if message is None or not self._run(tree, "status", "--porcelain").strip():
                    return Landed("", attempt, head)
                self._run(tree, "add", "--update")
                self._run(
                    tree, "-c", f"user.name={author.name}", "-c", f"user.email={author.email}",
                    "commit", "--quiet", "--signoff", "--cleanup=verbatim", "--message", message,
                )  # fmt: skip
                commit = self._run(tree, "rev-parse", "HEAD").strip()
                if self._pushed(tree):
                    return Landed(commit, attempt, commit)
                self._run(tree, "reset", "--quiet", "--hard", head)
        raise BadInput(
            "others kept changing the manifest repository",
            file=self.url,
            found=f"{tries} tries",
            mend="run the same command again",
        )

    def log(self, limit: int = 20) -> list[tuple[str, str]]:
        """Return the newest commits, newest first: (commit, message)."""
        with tempfile.TemporaryDirectory(prefix="soil-manifests-") as folder:
            self._talk(
                Path(folder), "clone", "--quiet", "--bare", "--depth", str(limit), "--single-branch",
                "--branch", self.branch, "--", self.url, "bare",
            )  # fmt: skip
            told = self._run(
                Path(folder) / "bare", "log", f"--max-count={limit}", "--format=%H%x09%B%x00", self.branch
            )
        return [(c, s) for c, _, s in (part.strip("\n").partition("\t") for part in told.split("\0")) if c]

    def _pushed(self, tree: Path) -> bool:
        """Push; False when somebody else was faster."""
        try:
            self._talk(tree, "push", "--quiet", "origin", f"HEAD:refs/heads/{self.branch}")
        except _Outrun:
            return False
        return True

    def _talk(self, folder: Path, *arguments: str) -> str:
        """Run a command that talks to the other side; tell in words what it says no to."""
        for last in (False, False, True):
            done = self._git(folder, *arguments)
            if done.returncode == 0:
                return done.stdout
            said = self._clean(done.stderr)
            known = self._known(said)
            if known is not None:
                raise known
            if last or "timed out" in said:
                break
            time.sleep(random.uniform(0.2, 0.6))
        raise BadInput(
            "the manifest repository does not answer as it should",
            file=self.url,
            found=said[-300:] or f"git ended with {done.returncode}",
            mend="look at it with: git ls-remote " + self.url,
        )

    def _known(self, said: str) -> Exception | None:
        if _REFUSED.search(said):
            return BadInput(
                "the manifest repository does not let this user in",
                file=self.url,
                found=_last(said),
                mend="set SOIL_MANIFESTS_TOKEN to a token that may write to it",
            )
        if _PROTECTED.search(said) and not re.search(r"cannot lock ref|failed to update ref", said):
            return BadInput(
                "the branch is protected against this push",
                file=self.url,
                column=self.branch,
                found=_last(said),
                mend="let the release user push to it, or release by a branch that it may push to: release.branch",
            )
        if _OUTRUN.search(said):
            return _Outrun(said)
        if re.search(r"Remote branch .* not found", said):
            return BadInput(
                "there is no such branch", file=self.url, column=self.branch, mend="set release.branch"
            )
        if _AWAY.search(said):
            return BadInput(
                "there is no manifest repository at this address; it may have moved",
                file=self.url,
                found=_last(said),
                mend="set release.repository (or SOIL_MANIFESTS) to its present address",
            )
        return None

    def _run(self, folder: Path, *arguments: str) -> str:
        done = self._git(folder, *arguments)
        if done.returncode:
            raise BadInput(
                f"git {next((a for a in arguments if a.isalpha()), '')} failed in the manifest repository",
                file=self.url,
                found=self._clean(done.stderr)[-300:],
            )
        return done.stdout

    def _git(self, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                ["git", *arguments], cwd=folder, env=self._environment(), capture_output=True, text=True,
                errors="replace", check=False, timeout=_PATIENCE, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except FileNotFoundError:
            raise BadInput("git is not installed", mend="install git") from None
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(arguments, 124, "", f"timed out after {_PATIENCE} s")

    def _environment(self) -> dict[str, str]:
        """Return git's environment: no prompts, no hooks, no redirects; the token in a header for this address."""
        settings = {
            "core.hooksPath": os.devnull,
            "http.followRedirects": "false",
            "commit.gpgSign": os.environ.get("SOIL_MANIFESTS_SIGN", "false"),
            "advice.detachedHead": "false",
        }
        if self._token and self.url.startswith(("http://", "https://")):
            basic = base64.b64encode(f"x-access-token:{self._token}".encode()).decode()
            settings[f"http.{self.url}.extraHeader"] = f"Authorization: Basic {basic}"
        kept = {k: v for k, v in os.environ.items() if not k.startswith("GIT_") or k == "GIT_SSH_COMMAND"}
        numbered: Mapping[str, str] = {
            name: text
            for i, (key, value) in enumerate(settings.items())
            for name, text in ((f"GIT_CONFIG_KEY_{i}", key), (f"GIT_CONFIG_VALUE_{i}", value))
        }
        return {
            **kept,
            **numbered,
            "GIT_CONFIG_COUNT": str(len(settings)),
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "true",
            "GIT_ALLOW_PROTOCOL": "https:http:ssh:file",
            "LC_ALL": "C",
        }

    def _clean(self, said: str) -> str:
        """Return what git said without the token, however it may have got there."""
        text = re.sub(r"//[^/@\s]*@", "//", said).strip()
        return text.replace(self._token, "***") if self._token else text


class _Outrun(Exception):
    """Somebody else pushed first."""


def _last(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"fatal|rejected|remote:|error", line)]
    return (telling or lines or [""])[0][:300]
