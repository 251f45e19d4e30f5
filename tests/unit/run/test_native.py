"""What the source of an extractor says is said of that extractor."""

from __future__ import annotations

import pytest

from headwater.base.errors import InputError
from headwater.connect.contract import ReadRequest
from headwater.model.catalog import Catalog
from headwater.model.plan import Block
from headwater.model.plugin import PluginKind
from headwater.run import native


def hint(tmp_path, source, **config):
    name = f"tap-{source}--second"
    block = Block(
        kind=PluginKind.EXTRACTOR,
        name=name,
        namespace="x",
        variant=None,
        native=source,
        argv=(),
        env={},
        config=config,
    )
    request = ReadRequest(catalog=Catalog(streams=[]), state=None, folder=tmp_path)
    with pytest.raises(InputError) as caught:
        list(native.read(block, root=tmp_path, request=request))
    return caught.value.hint


def test_a_hint_names_the_extractor_as_the_project_does(tmp_path):
    assert hint(tmp_path, "sqlite", database="none.db") == "headwater config set tap-sqlite--second database FILE"
    # What only looks like the name stays.
    assert hint(tmp_path, "files") == "headwater config set tap-files--second path 'data/*.csv'"
