"""A code version changes with code and settings, and not with comments."""

from __future__ import annotations

from soil_assets.config import ModelPolicy
from soil_assets.defs.code_versions import _without_comments, code_version
from soil_assets_tests.conftest import Platform


def test_comments_and_layout_do_not_count() -> None:
    assert _without_comments(b"x = 1\n") == _without_comments(b"# why\n\n  # more\nx = 1  \n")
    text = b'page = """\n# a heading, not a comment\n"""\n'
    assert b"a heading" in _without_comments(text)
    assert _without_comments(b"x = 1") != _without_comments(b"x = 2")


def test_settings_count() -> None:
    strict = ModelPolicy(margin=0.05)
    assert code_version("errors.py", settings=strict) != code_version("errors.py", settings=ModelPolicy())
    assert code_version("errors.py", settings=strict) == code_version(
        "errors.py", settings=ModelPolicy(margin=0.05)
    )


def test_every_asset_has_one(platform: Platform) -> None:
    graph = platform.definitions.resolve_asset_graph()
    assert all(graph.get(key).code_version for key in graph.materializable_asset_keys)
