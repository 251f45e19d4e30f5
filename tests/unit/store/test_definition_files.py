"""Definitions from files and addresses."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from headwater.base.errors import HeadwaterError
from headwater.model.plugin import PluginKind
from headwater.store import definition_files

TEXT = "name: tap-x\nnamespace: tap_x\nvariant: me\npip_url: tap-x==1\nsettings:\n- name: url\n"


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "x.yml").write_text(TEXT)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def refusal(place: str) -> str:
    with pytest.raises(HeadwaterError) as caught:
        definition_files.read(place, kind=PluginKind.EXTRACTOR)
    return caught.value.reference


def test_a_file_and_an_address_hold_the_same(address: str, tmp_path: Path) -> None:
    from_file = definition_files.read(str(tmp_path / "x.yml"), kind=PluginKind.EXTRACTOR)
    assert (from_file.name, from_file.variant, from_file.settings[0].name) == ("tap-x", "me", "url")
    assert definition_files.read(f"{address}/x.yml", kind=PluginKind.EXTRACTOR) == from_file


def test_what_can_not_be_read_is_refused(address: str, tmp_path: Path) -> None:
    (tmp_path / "other.yml").write_text("variant: me\n")
    assert refusal(str(tmp_path / "other.yml")) == "not-a-definition"
    assert refusal(str(tmp_path / "absent.yml")) == "file-not-found"
    assert refusal(f"{address}/absent.yml") == "cannot-download"
