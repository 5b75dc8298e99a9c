"""API keys: who may ask, until when.

Belongs here: the file of keys, making one, checking one. Only hashes are stored: a key is 256 random bits, so a
plain SHA-256 of it cannot be turned back. Does not belong here: HTTP headers (``serving.app``).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soil_assets.errors import BadInput
from soil_assets.serving.refusals import Refused
from soil_assets.storage import safe_key

#: The file is looked at again after this many seconds, so that a key can be withdrawn without a restart.
_LOOK_AGAIN = 2.0
_PREFIX = "soil_"
_CHALLENGE = {"WWW-Authenticate": "Bearer"}


@dataclass(frozen=True)
class Key:
    """One key.

    Parameters
    ----------
    name : str
        Whose it is; what logs say.
    sha256 : str
    expires : date or None
        First day on which it is no longer taken, in UTC.
    """

    name: str
    sha256: str
    expires: dt.date | None = None


class Keys:
    """The keys of a file; without a file everyone may ask.

    While the file is away or cannot be understood no key is taken: what was withdrawn in it is not known.

    Parameters
    ----------
    file : Path or None
    tell : callable
        Gets the event's name and facts, for logs.

    Raises
    ------
    BadInput
        When the file is there and cannot be understood, or is named and not there.
    """

    def __init__(
        self,
        file: Path | None,
        tell: Callable[[str, dict[str, object]], None] = lambda event, facts: None,
    ) -> None:
        self.file = file
        self._tell = tell
        self._keys: tuple[Key, ...] = ()
        self._stamp: tuple[int, ...] | None = None
        self._looked = float("-inf")
        #: Why no key is taken; empty while the file is as it should be.
        self.reason = ""
        self._refresh()
        if self.reason:
            raise BadInput("the file of API keys cannot be read", file=str(file), found=self.reason)

    @property
    def wanted(self) -> bool:
        """Whether a request needs a key."""
        return self.file is not None

    def name_of(self, offered: str | None, today: dt.date | None = None) -> str:
        """Return whose key was offered; empty where none is wanted.

        Raises
        ------
        Refused
            401 without a key, or for one that is unknown or expired.
        """
        if not self.wanted:
            return ""
        if not offered:
            raise Refused(
                401, "an API key is needed", expected="header Authorization: Bearer <key>", headers=_CHALLENGE
            )
        self._refresh()
        if self.reason:
            raise Refused(
                503,
                "API keys cannot be checked now",
                mend="send it again later; whoever runs the service finds the reason in its log",
                headers={"Retry-After": "10"},
            )
        digest = hashlib.sha256(offered.encode("utf-8", "surrogateescape")).hexdigest()
        # Every key is compared, each in constant time: how long it takes tells nothing.
        found = [k for k in self._keys if hmac.compare_digest(k.sha256, digest)]
        if not found:
            raise Refused(401, "this API key is not known", headers=_CHALLENGE)
        today = today or dt.datetime.now(dt.UTC).date()
        if found[0].expires is not None and today >= found[0].expires:
            raise Refused(
                401,
                "this API key has expired",
                found=f"expired on {found[0].expires}",
                mend="ask for a new one",
                headers=_CHALLENGE,
            )
        return found[0].name

    def _refresh(self) -> None:
        now = time.monotonic()
        if self.file is None or now - self._looked < _LOOK_AGAIN:
            return
        self._looked = now
        reason = ""
        try:
            about = self.file.stat()
            stamp = (about.st_mtime_ns, about.st_ctime_ns, about.st_size, about.st_ino)
            if stamp == self._stamp:
                return
            self._keys = read_keys(self.file)
            self._stamp = stamp
        except (OSError, BadInput) as error:
            reason = str(error)
            self._keys, self._stamp = (), None
        if reason != self.reason:
            self._tell("keys", {"usable": not reason, "reason": reason} if reason else {"usable": True})
        self.reason = reason


def read_keys(file: Path) -> tuple[Key, ...]:
    """Read a file of keys: a list of name, sha256 and, where there is an end, expires.

    Raises
    ------
    BadInput
    """
    import yaml

    try:
        raw = yaml.safe_load(file.read_text(encoding="utf-8")) or []
    except (yaml.YAMLError, UnicodeDecodeError):
        raise BadInput("the file of API keys is not valid YAML", file=str(file)) from None
    if not isinstance(raw, list):
        raise BadInput(
            "the file of API keys is not a list", file=str(file), expected="entries of name and sha256"
        )
    return tuple(_key(entry, i, file) for i, entry in enumerate(raw))


def _key(entry: Any, i: int, file: Path) -> Key:
    name, digest = (entry.get("name"), entry.get("sha256")) if isinstance(entry, dict) else (None, None)
    expires = entry.get("expires") if isinstance(entry, dict) else None
    fine = (
        isinstance(name, str)
        and isinstance(digest, str)
        and len(digest) == 64
        and set(digest) <= set("0123456789abcdef")
        and (expires is None or type(expires) is dt.date)
        and set(entry) <= {"name", "sha256", "expires"}
    )
    if not fine:  # the entry itself is not shown: someone may have written the key where its hash belongs
        raise BadInput(
            "not an entry of an API key",
            file=str(file),
            row=i + 1,
            expected="name, sha256 (64 hexadecimal digits) and expires (a day, such as 2027-01-31)",
            mend="make keys with: soil api-key NAME",
        )
    return Key(str(name), str(digest), expires)


def add_key(file: Path, name: str, expires: dt.date | None) -> str:
    """Make a key, add its hash to the file, and return the key: it is shown once and stored nowhere.

    Who makes keys at the same time waits, so that none is lost.

    Raises
    ------
    BadInput
        When the name is taken.
    """
    import yaml

    safe_key(name)
    file = file.resolve()  # a link stays a link
    file.parent.mkdir(parents=True, exist_ok=True)
    with _alone(file):
        there = read_keys(file) if file.exists() else ()
        if any(k.name == name for k in there):
            raise BadInput(
                "there is a key of this name already",
                found=name,
                mend="take another name, or remove it first",
            )
        key = _PREFIX + secrets.token_urlsafe(32)
        added = Key(name, hashlib.sha256(key.encode()).hexdigest(), expires)
        entries = [{k: v for k, v in vars(e).items() if v is not None} for e in (*there, added)]
        waiting = file.with_name(f".{file.name}.{os.getpid()}")
        waiting.touch(mode=0o600)
        waiting.write_text(yaml.safe_dump(entries, sort_keys=False), encoding="utf-8")
        waiting.replace(file)
    return key


@contextlib.contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Hold the lock beside a file of keys: the file itself is replaced, and a lock on it would go with it."""
    import fcntl

    with open(file.with_name(f".{file.name}.lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
