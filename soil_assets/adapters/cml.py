"""CML: its own poster as a back end, fed the same Markdown and pictures.

Belongs here: calling ``cml``. Does not belong here: what is posted. CML's update looks at the first page of comments
only, so a busy pull request collects doubles, and an older run may replace a newer one: the default is our own poster.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from soil_assets.errors import BadInput

WATERMARK = "soil decision report"
#: CML's reader of file types fetches a path where it sees Node's own ``fetch`` (Node 18 and later), and crashes. Node's
#: option against it (``--no-experimental-fetch``) ends with version 22; an import that removes it works in every one.
_WITHOUT_FETCH = "--import=data:text/javascript,delete/**/globalThis.fetch"
_PATIENCE = 300.0
_ERROR = re.compile(r"\w*Error\b.*:")
_PREFIX = re.compile(r"^(unhandledRejection|uncaughtException): ")


def comment(
    folder: Path, number: int, *, sha: str, repository_url: str, token: str, publish_url: str | None = None
) -> str:
    """Write or replace the comment with ``report.md`` of a folder; return what CML says of it.

    Parameters
    ----------
    folder : Path
        Holds ``report.md``, and pictures beside it where CML is to upload them.
    number : int
        Of the pull request.
    sha : str
        Commit of the report: CML finds its comment again by a watermark with a commit in it.
    repository_url : str
        ``https://host/owner/name``; CML talks to ``https://host/api/v3`` for every host but github.com.
    publish_url : str or None
        An image server of CML's kind for local pictures; None: nothing is uploaded. (CML's own default is a third
        party's server.)

    Raises
    ------
    BadInput
        When CML is not installed, cannot be run, does not end, or fails: with CML's own message.
    """
    program = os.environ.get("SOIL_CML") or shutil.which("cml")
    if program is None:
        raise BadInput(
            "CML is not installed",
            mend="install cml (iterative.ai), name it in SOIL_CML, or use --backend own",
        )
    publish = ["--publish=false"] if publish_url is None else ["--publish", f"--publish-url={publish_url}"]
    # By the environment, so that no process list shows the token; CML must not tell anyone that it ran.
    environment = {**os.environ, "REPO_TOKEN": token, "ITERATIVE_DO_NOT_TRACK": "1", "GITHUB_SHA": sha}
    if publish_url is not None:
        environment["NODE_OPTIONS"] = f"{os.environ.get('NODE_OPTIONS', '')} {_WITHOUT_FETCH}".strip()
    try:
        done = subprocess.run(
            [
                program,
                "comment",
                "update",
                "--driver=github",
                f"--repo={repository_url}",
                f"--target=pr/{number}",
                f"--watermark-title={WATERMARK}",
                *publish,
                "report.md",
            ],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_PATIENCE,
        )
    except subprocess.TimeoutExpired:
        raise BadInput(
            "CML did not end",
            found=f"stopped after {_PATIENCE:.0f} s",
            mend="check that the API and the image server answer, or use --backend own",
        ) from None
    except OSError as error:
        raise BadInput(
            "CML cannot be run",
            file=program,
            found=error.strerror,
            mend="install it, or name another in SOIL_CML",
        ) from None
    if done.returncode:
        words = _words(done.stderr) or _words(done.stdout) or f"exit code {done.returncode}, and no message"
        raise BadInput(
            "CML could not post the comment",
            found=(words.replace(token, "***") if token else words)[:1000],
            mend="look at its message, or use --backend own",
        )
    return done.stdout.strip()


def _words(output: str) -> str:
    """Return the errors of CML's log (JSON, a line each), else of Node, else the last line; each once."""
    errors: list[str] = []
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("level") == "error" and entry.get("message"):
            # Beside the message an entry holds the whole request, and a stack that says no more.
            errors.append(str(entry["message"]).splitlines()[0])
    errors = errors or [line for line in lines if _ERROR.match(line)]
    errors = errors or [line for line in lines[-1:] if not line.startswith("Node.js v")]
    plain = [_PREFIX.sub("", line)[:300] for line in errors]
    return "; ".join(dict.fromkeys(plain))
