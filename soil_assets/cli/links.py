"""Links to what a command runs in: the pull request, the commit and the run, as GitHub Actions names them."""

from __future__ import annotations

import os
from collections.abc import Mapping


def links_here(env: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the links that the environment tells; empty outside CI."""
    env = os.environ if env is None else env
    server, repository = env.get("GITHUB_SERVER_URL", ""), env.get("GITHUB_REPOSITORY", "")
    if not server or not repository:
        return {}
    links = {}
    if env.get("GITHUB_SHA"):
        links["commit"] = f"{server}/{repository}/commit/{env['GITHUB_SHA']}"
    if env.get("GITHUB_RUN_ID"):
        links["run"] = f"{server}/{repository}/actions/runs/{env['GITHUB_RUN_ID']}"
    return links
