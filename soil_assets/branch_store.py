"""The storage of a branch deployment: its own folder, and production's behind it, read-only.

Belongs here: reading through, key by key. Does not belong here: what an asset partition is (``defs.io``); since every
partition has its own pointer, falling back by key is falling back by partition.
"""

from __future__ import annotations

from collections.abc import Iterator

from soil_assets.storage import Store


class BranchStore(Store):
    """Writes go to ``url``; what is not there is read from ``main_url``, which is never written.

    Dagster's own ``BranchingIOManager`` reads *all* partitions of an input from the parent as soon as one is missing in
    the branch: an asset over all batches would then overlook what the branch changed.
    """

    def __init__(self, url: str, main_url: str) -> None:
        super().__init__(url)
        self.main = Store(main_url)

    def exists(self, key: str) -> bool:
        """Whether ``key`` is there, here or on main."""
        return super().exists(key) or self.main.exists(key)

    def read(self, key: str) -> bytes:
        """Return the bytes of ``key``, the branch's own first.

        Raises
        ------
        FileNotFoundError
            When neither has it.
        """
        try:
            return super().read(key)
        except FileNotFoundError:
            return self.main.read(key)

    def _entries(self, key: str) -> Iterator[tuple[str, bool]]:
        own = dict(super()._entries(key))
        yield from own.items()
        for name, is_folder in self.main._entries(key):
            # The branches lie below main's folder; seen from one of them they are not there.
            if name not in own and (key or name != BRANCHES):
                yield name, is_folder


#: Below main's folder: one folder a branch.
BRANCHES = "branches"


def store_of(url: str, main_url: str = "") -> Store:
    """Return the store at ``url``, with production's behind it when this is a branch."""
    return BranchStore(url, main_url) if main_url and main_url.rstrip("/") != url.rstrip("/") else Store(url)
