"""Sparse pull: of the batches that a change leaves as they are, main's results in place of their data.

Belongs here: which batches those are, and what becomes of each. Does not belong here: what a result is
(``defs.results``), transferring data (``adapters.dvc``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from soil_assets.adapters import dvc, git
from soil_assets.config import Settings
from soil_assets.errors import BadInput
from soil_assets.pull_request.batches import batches_at
from soil_assets.storage import Store

#: Names where main publishes its results, by URL; unset, every batch is pulled.
VARIABLE = "SOIL_RESULTS"


@dataclass(frozen=True)
class SparsePull:
    """What became of each batch under DVC.

    Parameters
    ----------
    source, note : str
        As of :class:`~soil_assets.adapters.dvc.Pulled`.
    pulled, restored : tuple of str
        Batches whose data were pulled, and of which main's results were restored.
    reasons : dict of str to str
        Why main's results of a batch that the change leaves as it is do not do.
    """

    source: str
    note: str = ""
    pulled: tuple[str, ...] = ()
    restored: tuple[str, ...] = ()
    reasons: dict[str, str] = field(default_factory=dict)


def pull(root: Path, folder: str, ref: str, settings: Settings, url: str) -> SparsePull:
    """Restore main's results of the batches that are the same at ``ref``, and pull all others.

    Parameters
    ----------
    root : Path
        The repository.
    folder : str
        Where it keeps its batches; the settings' landing zone.
    ref : str
        Names main.
    url : str
        Where main publishes its results; empty: every batch is pulled.

    Raises
    ------
    BadInput
        When the reference names no commit, the settings are not of the repository, or a batch cannot be had.
    """
    commit = git.commit_of(root, ref)
    if commit is None:
        raise BadInput(
            "the commit that batches are compared with does not exist here",
            column="--against",
            found=ref,
            expected="a commit, branch or tag of this clone",
            mend="check the name; in a shallow clone, fetch it first (git fetch --unshallow, or a fetch-depth of 2)",
        )
    pointers = dvc.pointers(root, folder)
    absent = {name: md5 for name, md5 in pointers.items() if not (root / folder / name).exists()}
    main = batches_at(root, commit, folder)
    unaltered = {name: md5 for name, md5 in absent.items() if main.get(name) == md5}
    reasons: dict[str, str] = {}
    if url and unaltered:
        if Path(settings.url("landing")) != (root / folder).absolute():
            raise BadInput(
                "main's results are restored into a repository's own instance",
                found=settings.url("landing"),
                expected=str((root / folder).absolute()),
                mend="soil --repository batch pull --against REF",
            )
        reasons = _restore(settings, url, unaltered)
    spared = set(unaltered) - set(reasons) if url else set()
    names = [name for name in pointers if name not in spared]
    if not names and pointers:
        pulled = dvc.Pulled("none")
    else:
        pulled = dvc.pull(root, folder, names)
    return SparsePull(
        pulled.source,
        pulled.note,
        tuple(names),
        tuple(sorted(spared)),
        reasons,
    )


def publish(settings: Settings, url: str) -> list[str]:
    """Publish the results of this instance's batches; return those that the store did not have yet."""
    from soil_assets.defs.build import build_definitions
    from soil_assets.defs.resources import Soil
    from soil_assets.defs.results import publish as publish_results
    from soil_assets.defs.run import open_instance

    graph = build_definitions(settings).resolve_asset_graph()
    with open_instance() as instance:
        return publish_results(instance, graph, Soil.of(settings), Store(url))


def _restore(settings: Settings, url: str, contents: dict[str, str]) -> dict[str, str]:
    """Restore main's results and return why those of some batches do not do."""
    from soil_assets.defs.build import build_definitions
    from soil_assets.defs.resources import Soil
    from soil_assets.defs.results import materialize_shared, restore
    from soil_assets.defs.run import open_instance

    definitions = build_definitions(settings)
    graph = definitions.resolve_asset_graph()
    with open_instance() as instance:
        materialize_shared(definitions, instance)
        return restore(instance, graph, Soil.of(settings), Store(url), contents)
