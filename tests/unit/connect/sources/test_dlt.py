"""A dlt source where dlt is not installed, and when its catalog is asked for again."""

from __future__ import annotations

import os

import msgspec
import pytest

from headwater.base.errors import InputError, RunFailedError
from headwater.connect.contract import ReadRequest
from headwater.connect.sources import dlt
from headwater.model.catalog import Catalog, CatalogStream, Metadata


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources/shop.py").write_text("import dlt\n")
    return dlt.Settings(source="dlt:shop.shop", root=str(tmp_path), given={"upto": 3}, env=dict(os.environ))


def test_a_missing_package_is_named(settings):
    with pytest.raises(RunFailedError) as caught:
        dlt.discover(settings)
    assert caught.value.what == "the code of `dlt:shop.shop` needs the package `dlt`, which it does not have"


def test_a_catalog_is_good_until_settings_or_modules_change(settings, tmp_path):
    before = dlt.signature(settings)
    assert dlt.signature(settings) == before
    assert dlt.signature(msgspec.structs.replace(settings, given={"upto": 4})) != before
    (tmp_path / "sources/shop.py").write_text("import dlt  # changed\n")
    assert dlt.signature(settings) != before


@pytest.mark.parametrize(
    ("marks", "error", "said"),
    [
        ({"dlt-merge-keys": ["shop"]}, InputError, "merges by `merge_key` alone"),
        ({"dlt-missing-keys": ["nope"]}, RunFailedError, "have no `nope`, which is to be their key"),
    ],
)
def test_rows_without_a_key_are_not_merged(settings, tmp_path, marks, error, said):
    top = {"selected": True, "dlt-write-disposition": "merge", **marks}
    stream = CatalogStream(tap_stream_id="orders", stream="orders", metadata=[Metadata(breadcrumb=[], metadata=top)])
    request = ReadRequest(catalog=Catalog(streams=[stream]), state=None, folder=tmp_path)
    with pytest.raises(error, match=said):
        list(dlt.read(settings, request))
