"""Programs of a job that are recorded instead of run, where a test is about which of them run, and with what."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from soil_assets_tests.workflows.act import commit, git

#: ``soil`` and ``dvc`` as a job calls them. A call that starts with $FAILS fails; ``soil change`` answers $KIND.
_COMMAND = """#!/bin/sh
name=$(basename "$0")
echo "$name $*|${{AWS_ACCESS_KEY_ID:-}}" >> "{log}"
case "$name $1 $2" in
  "soil change "*) mkdir -p report; echo '{{}}' > report/pull_request.json
    [ -z "$KIND" ] || echo "$KIND" >> "$GITHUB_OUTPUT";;
  "soil --repository report") mkdir -p report; echo '{{}}' > report/report.json;;
esac
if [ -n "$FAILS" ]; then case "$name $*" in "$FAILS"*) exit 2;; esac; fi
"""

#: ``gh api`` for a POST with fields, to whatever $GITHUB_API_URL names; other calls print the next of $ANSWERS.
_GH = """#!{python}
import json, os, sys, urllib.request
call = sys.argv[1:]
open({log!r}, "a").write("gh " + " ".join(call) + "\\n")
if os.environ.get("GITHUB_API_URL", "").startswith("http://127.0.0.1") and call[1:3] == ["--method", "POST"]:
    fields = dict(f.split("=", 1) for f in call[call.index("-f") :] if f != "-f")
    request = urllib.request.Request(
        os.environ["GITHUB_API_URL"] + "/" + call[3], json.dumps(fields).encode(), method="POST",
        headers={{"Authorization": "Bearer " + os.environ["GH_TOKEN"], "Content-Type": "application/json"}},
    )
    urllib.request.urlopen(request).read()
elif "/git/trees/" in call[1]:
    print(os.environ["TREE_OF_MAIN" if os.environ["GITHUB_SHA"] in call[1] else "TREE_OF_FORK"])
"""


def gh(folder: Path) -> Path:
    """Write ``gh`` into a folder of tools; return that folder, for a job's PATH."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    program = tools / "gh"
    program.write_text(_GH.format(python=sys.executable, log=str(folder / "called.txt")), encoding="utf-8")
    program.chmod(0o755)
    return tools


class Recorded:
    """A checkout whose ``soil``, ``dvc`` and ``gh`` are recorded."""

    def __init__(self, repo: Path) -> None:
        self.repo = repo
        self.log = repo.parent / "called.txt"
        self.tools = gh(repo.parent)
        programs = (repo / ".venv").resolve() / "bin"
        for name in ("soil", "dvc"):
            (programs / name).write_text(_COMMAND.format(log=self.log), encoding="utf-8")

    def calls(self) -> list[tuple[str, str]]:
        """Return what was called since the last time: the command, and the key that it could see."""
        lines = self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return [(line.partition("|")[0], line.partition("|")[2]) for line in lines]

    def replace(self, workflow: str, pattern: str, text: str) -> None:
        """Change a workflow of the checkout, as somebody's commit might."""
        file = self.repo / ".github" / "workflows" / workflow
        changed, count = re.subn(pattern, text, file.read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert count, pattern
        file.write_text(changed, encoding="utf-8")
        commit(self.repo, "another workflow")

    def merge(self, number: int) -> tuple[str, str]:
        """Make a change on a branch and GitHub's merge of it; return the branch's commit and the merge."""
        git(self.repo, "checkout", "-q", "-b", f"topic-{number}")
        (self.repo / "README.md").write_text(f"change {number}\n", encoding="utf-8")
        head = commit(self.repo, "a change")
        git(self.repo, "checkout", "-q", "-b", f"merge-{number}", "main")
        who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        git(self.repo, *who, "merge", "-q", "--no-ff", "-m", "merge", head)
        merged = git(self.repo, "rev-parse", "HEAD").strip()
        git(self.repo, "update-ref", f"refs/pull/{number}/merge", merged)
        git(self.repo, "checkout", "-q", f"topic-{number}")
        return head, merged
