"""Where the deployments of pull requests are: the keys under ``branches`` in ``soil.yaml``.

Belongs here: the address's template and its check. Does not belong here: who is told it (``pull_request``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict

#: The status check whose address is a deployment that only its platform can name, as Dagster+ does.
DEPLOYMENT_CONTEXT = "soil / branch deployment"
_FIELDS = {"number", "sha", "status"}


def _template(text: str) -> str:
    if not text:
        return text
    if not re.match(r"https?://[^\s{}/]*[^\s/]", text) or re.search(r"[\s<>\"'`()\[\]]", text):
        raise ValueError("an address such as https://pr-{number}.soil.example.org, or nothing")
    if set(re.findall(r"\{(.*?)\}", text)) - _FIELDS or text.count("{") != text.count("}"):
        raise ValueError("an address with no other fields than {number}, {sha} and {status}")
    if "{status}" in text and not text.endswith("/{status}"):
        raise ValueError("an address that ends in /{status}, or one without it")
    return text


class BranchDeployments(BaseModel):
    """Which pull requests have a deployment of their own, and at which address."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: ``{number}`` and ``{sha}`` are the pull request's; ``.../{status}`` takes the address of the status check
    #: ``soil / branch deployment`` where it starts so. Empty: there are none.
    url: Annotated[str, AfterValidator(_template)] = ""
    #: The label that makes a deployment; empty: every pull request has one.
    label: str = "preview"

    def address(self, pull_request: Mapping[str, Any], statuses: Iterable[Mapping[str, Any]]) -> str:
        """Return the address of a pull request's deployment, or nothing where it has none.

        Parameters
        ----------
        pull_request : mapping
            As GitHub tells it; of it only the number, the head's commit and the names of labels are looked at.
        statuses : iterable of mappings
            Of the head's commit, the newest first; read only where the template asks for it.
        """
        labels = {str(label.get("name")) for label in pull_request.get("labels") or ()}
        if not self.url or (self.label and self.label not in labels):
            return ""
        if self.url.endswith("{status}"):
            start = self.url.removesuffix("{status}")
            told = next((s for s in statuses if s.get("context") == DEPLOYMENT_CONTEXT), {})
            url = str(told.get("target_url") or "")
            return url if url.startswith(start) and re.fullmatch(r"[\w.~:/?#@!$&*+,;=%-]+", url) else ""
        head = str((pull_request.get("head") or {}).get("sha") or "")
        return self.url.replace("{number}", str(int(pull_request["number"]))).replace("{sha}", head)
