"""The branch with the plots of comments, so that it does not grow for ever.

Belongs here: which pull requests' plots are worth keeping, and the addresses in their comments. Does not belong here:
requests (``adapters.github``), drawing a plot.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass

from soil_assets.adapters.github import GitHub, Refused

_FOLDER = re.compile(r"pull-(\d+)")
MESSAGE = "Plots of the reports of pull requests that are open or were closed lately"


@dataclass(frozen=True)
class Pruned:
    """What became of the branch: its commit, the folders that went, and the comments whose addresses were renewed."""

    commit: str = ""
    dropped: tuple[str, ...] = ()
    renewed: tuple[str, ...] = ()


def prune(
    github: GitHub, branch: str, days: int, now: datetime.datetime, author: str, *, dry_run: bool
) -> Pruned:
    """Drop the plots of pull requests that were closed more than ``days`` ago, and the branch's history.

    The addresses in comments name a commit of the branch; those of the pull requests whose plots stay are renewed,
    because GitHub forgets a commit that no branch leads to.

    Parameters
    ----------
    author : str
        Whose comments are ours.
    """
    head = github.head(branch)
    if head is None:
        return Pruned()
    numbers = {}
    for entry in github.top_entries(head):
        folder = _FOLDER.fullmatch(entry["path"])
        if folder and entry["type"] == "tree":
            numbers[entry["path"]] = int(folder[1])
    oldest = now - datetime.timedelta(days=days)
    dropped = tuple(name for name, number in numbers.items() if _closed_before(github, number, oldest))
    if not dropped or dry_run:
        return Pruned(head, dropped)
    commit = github.prune(branch, dropped, head, MESSAGE)
    renewed = [
        url
        for name, number in numbers.items()
        if name not in dropped
        for url in _renew_addresses(github, number, name, commit, author)
    ]
    return Pruned(commit, dropped, tuple(renewed))


def _closed_before(github: GitHub, number: int, oldest: datetime.datetime) -> bool:
    """Whether a pull request was closed before; one that GitHub does not show (a token may lack the right) was not."""
    try:
        request = github.pull_request(number)
    except Refused as error:
        if error.status == 404:
            return False
        raise
    closed = request.get("closed_at")
    if request["state"] != "closed" or not closed:
        return False
    return datetime.datetime.fromisoformat(str(closed)) < oldest


def _renew_addresses(github: GitHub, number: int, folder: str, commit: str, author: str) -> list[str]:
    address = re.compile(rf"(/blob/)[0-9a-f]{{40}}(/{folder}/)")
    renewed = []
    for comment in list(github.comments(number)):
        body = str(comment.get("body") or "")
        text = address.sub(rf"\g<1>{commit}\g<2>", body)
        if text != body and (comment.get("user") or {}).get("login") == author:
            github.update_comment(int(comment["id"]), text)
            renewed.append(str(comment.get("html_url") or comment["id"]))
    return renewed
