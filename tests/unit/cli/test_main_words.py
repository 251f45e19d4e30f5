"""`--database-uri`, which every command takes."""

from __future__ import annotations

import pytest

from headwater.cli.main import database_uri_first


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("config print --database-uri x tap", "--database-uri x config print tap"),
        ("lock --database_uri=x", "--database_uri=x lock"),
        ("invoke tap --database-uri x", "invoke tap --database-uri x"),
        ("config set tap a -- --database-uri", "config set tap a -- --database-uri"),
        ("run a b", "run a b"),
    ],
)
def test_it_is_brought_before_the_command(given: str, meant: str) -> None:
    assert database_uri_first(given.split()) == meant.split()
