from __future__ import annotations

from headwater.store.catalogs import Catalogs

BIG = {"streams": [{"tap_stream_id": "a", "schema": {"maximum": 10**30}}]}


def test_a_catalog_comes_back_as_it_was(tmp_path):
    catalogs = Catalogs(tmp_path)
    catalogs.write("tap-x", "k1", BIG)
    found = catalogs.read("tap-x")
    assert (found.key, found.catalog) == ("k1", BIG)
    assert 0 <= found.age() < 60


def test_a_damaged_or_missing_catalog_is_no_catalog(tmp_path):
    catalogs = Catalogs(tmp_path)
    assert catalogs.read("tap-x") is None
    for damage in ("{", "[]", '{"key": "a", "catalog": {}}', '{"key": "a", "catalog": {}, "discovered_at": "x"}'):
        (tmp_path / "catalogs").mkdir(exist_ok=True)
        (tmp_path / "catalogs/tap-x.json").write_text(damage)
        assert catalogs.read("tap-x") is None


def test_a_catalog_is_forgotten(tmp_path):
    catalogs = Catalogs(tmp_path)
    catalogs.write("../x", "k", BIG)
    assert [path.parent.name for path in tmp_path.rglob("*.json")] == ["catalogs"]
    catalogs.forget("../x")
    catalogs.forget("../x")
    assert catalogs.read("../x") is None
