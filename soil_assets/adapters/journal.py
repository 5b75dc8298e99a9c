"""A model's history in MLflow: one entry is one version of the registered model ``<name>.journal``.

Belongs here: appending entries and reading them. Does not belong here: what an entry means (``delivery.lifecycle``).

MLflow's registry has no compare-and-set and tags can be overwritten, but it gives version numbers that are unique and
only grow, in the same transaction that stores the tags; that is what makes a history linear under several writers, on
SQLite, PostgreSQL and a server alike. Each entry's source is the version that it is about.
"""

from __future__ import annotations

from typing import Any

from soil_assets.adapters.mlflow import ABSENT, JOURNAL_SUFFIX, Registry, paged, plain, quiet, reached
from soil_assets.delivery.lifecycle import Anchor, Entry, History, fold

_TAG = "soil.entry"
#: On the registered model itself: the last entry of its history, so that the end cannot go unnoticed.
_HEAD_TAG = "soil.history_head"


def read(registry: Registry, name: str) -> History:
    """Return the history of a model, compared with the head that its tag names; empty when it has none."""
    if registry.empty:
        return History()
    with quiet(), reached(registry.tracking_uri):
        # The head first: an entry that is appended meanwhile is newer than it, never missing.
        head = _head(registry.reader(), name)
        versions = paged(registry.reader().search_model_versions, f"name = '{plain(name)}{JOURNAL_SUFFIX}'")
    history = fold(Entry.from_json(v.tags[_TAG], int(v.version)) for v in versions if _TAG in v.tags)
    return history.against([Anchor.parse("the registered model's tag", head)] if head else [])


def anchor(registry: Registry, name: str, history: History) -> None:
    """Write the end of a history into the registered model's tag."""
    with quiet(), reached(registry.tracking_uri):
        client = registry.reader()
        if history.anchor and _head(client, name) != history.anchor:
            client.set_registered_model_tag(name, _HEAD_TAG, history.anchor)


def _head(client: Any, name: str) -> str:
    from mlflow.exceptions import MlflowException

    try:
        return str(client.get_registered_model(name).tags.get(_HEAD_TAG, ""))
    except MlflowException as error:
        if error.error_code in ABSENT:
            return ""
        raise


def append(registry: Registry, name: str, entry: Entry, end: Entry | None) -> int:
    """Append ``entry`` after ``end``, the entry its writer saw last; return the number it got.

    Whether it counts is for :func:`read` to say: another writer may have come first.
    """
    from dataclasses import replace

    sealed = replace(entry, after=end.number if end else 0).sealed(end)
    with quiet(), reached(registry.tracking_uri):
        client = registry.reader()
        ensure_model(client, name + JOURNAL_SUFFIX, {"soil.journal_of": name})
        made = client.create_model_version(
            name + JOURNAL_SUFFIX,
            source=f"models:/{name}/{entry.version}",
            tags={_TAG: sealed.to_json()},
            description=f"{entry.action} version {entry.version} by {entry.who}: {entry.why}",
        )
    return int(made.version)


def ensure_model(client: Any, name: str, tags: dict[str, str] | None = None) -> None:
    """Create a registered model unless it is there."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name, tags=tags)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
