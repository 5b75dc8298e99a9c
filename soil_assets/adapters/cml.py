"""CML: its own poster as a back end, fed the same Markdown and pictures.

Belongs here: calling ``cml``. Does not belong here: what is posted. CML's update looks at the first page of comments
only, so a busy pull request collects doubles, and an older run may replace a newer one: the default is our own poster.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from soil_assets.errors import BadInput

WATERMARK = "soil decision report"


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
        When CML is not installed, or fails.
    """
    program = os.environ.get("SOIL_CML") or shutil.which("cml")
    if program is None:
        raise BadInput(
            "CML is not installed",
            mend="install cml (iterative.ai), name it in SOIL_CML, or use --backend own",
        )
    publish = ["--publish=false"] if publish_url is None else ["--publish", f"--publish-url={publish_url}"]
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
        # By the environment, so that no process list shows the token; CML must not tell anyone that it ran.
        env={**os.environ, "REPO_TOKEN": token, "ITERATIVE_DO_NOT_TRACK": "1", "GITHUB_SHA": sha},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise BadInput(
            "CML could not post the comment",
            found=(lines[-1] if lines else "no message").replace(token, "***")[:300],
            mend="look at its message, or use --backend own",
        )
    return done.stdout.strip()
