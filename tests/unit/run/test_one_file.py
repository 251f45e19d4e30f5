from __future__ import annotations

from pathlib import Path

import pytest

from headwater.base.errors import InputError
from headwater.model.plan import Block
from headwater.model.plugin import PluginKind
from headwater.run.native import refuse_one_file


def block(kind, name, **config):
    return Block(kind=kind, name=name, namespace="x", variant=None, native="duckdb", argv=(), env={}, config=config)


def refuse(root, path, filepath):
    extractor = block(PluginKind.EXTRACTOR, "tap-duckdb", path=path)
    refuse_one_file(extractor, block(PluginKind.LOADER, "target-duckdb", filepath=filepath), root=root)


def test_a_file_is_not_read_and_loaded_by_one_pipeline(tmp_path):
    (tmp_path / "link.duckdb").symlink_to(tmp_path / "lake.duckdb")
    for path in ("lake.duckdb", "x/../lake.duckdb", str(tmp_path / "lake.duckdb"), "link.duckdb"):
        with pytest.raises(InputError, match="`tap-duckdb` reads the file that `target-duckdb` loads into"):
            refuse(tmp_path, path, "lake.duckdb")


def test_two_files_are_two(tmp_path):
    refuse(tmp_path, "shop.duckdb", str(Path("lake.duckdb")))
