"""The server of `headwater hub serve`, asked by our own client and by hand."""

from __future__ import annotations

import http.client
import json
import threading

import pytest

from headwater.base.errors import HeadwaterError
from headwater.model.plugin import PluginKind
from headwater.ops import hub_server
from headwater.store.hub_client import Hub, Site

INDEX = "/meltano/api/v1/plugins/extractors/index"


@pytest.fixture
def served(tmp_path):
    """A served folder with one tap: `.ask` sends a request to it."""
    folder = tmp_path / "definitions"
    folder.mkdir()
    (folder / "a.yml").write_text("name: tap-x\nvariant: mine\npip_url: tap-x\n")
    notes = []
    with hub_server.server(hub_server.Definitions([folder], notes.append), host="127.0.0.1", port=0) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        server.folder, server.notes = folder, notes

        def ask(path, method="GET", **headers):
            connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=5)
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()

        server.ask = ask
        yield server
        server.shutdown()


def test_the_client_finds_what_is_served(served):
    site = Site(root=f"http://127.0.0.1:{served.server_port}/meltano/api/v1", own=True)
    hub = Hub(site, note=pytest.fail)
    hub.ping()
    assert hub.definition(PluginKind.EXTRACTOR, "tap-x").pip_url == "tap-x"


def test_addresses_are_those_the_asker_uses(served):
    _, _, body = served.ask(INDEX, Host="hub.example.com:80")
    ref = json.loads(body)["tap-x"]["variants"]["mine"]["ref"]
    assert ref == "http://hub.example.com:80/meltano/api/v1/plugins/extractors/tap-x--mine"
    _, _, body = served.ask(INDEX, Host="x/evil?")
    assert json.loads(body)["tap-x"]["variants"]["mine"]["ref"].startswith(f"http://127.0.0.1:{served.server_port}/")


def test_a_page_has_a_tag(served):
    status, headers, body = served.ask(INDEX)
    assert (status, headers["Content-Type"], bool(body)) == (200, "application/json", True)
    host = f"127.0.0.1:{served.server_port}"
    assert served.ask(INDEX, Host=host, **{"If-None-Match": headers["ETag"]})[0::2] == (304, b"")
    assert served.ask(INDEX, "HEAD")[0::2] == (200, b"")


@pytest.mark.parametrize(
    "path", ["/", "/index", "/x/meltano/api/v1/plugins/index", "/meltano/api/v1/plugins/../../a.yml"]
)
def test_nothing_else_is_served(served, path):
    assert served.ask(path)[0] == 404


def test_nothing_can_be_changed(served):
    assert served.ask(INDEX, "POST")[0] == 501
    assert served.ask(INDEX, "DELETE")[0] == 501


def test_a_change_is_seen_and_a_broken_one_told(served):
    (served.folder / "b.yml").write_text("name: tap-y\nvariant: mine\n")
    assert set(json.loads(served.ask(INDEX)[2])) == {"tap-x", "tap-y"}
    (served.folder / "b.yml").write_text("- nothing\n")
    assert set(json.loads(served.ask(INDEX)[2])) == {"tap-x", "tap-y"}
    assert served.notes == [
        f"{served.folder / 'b.yml'}: this is no definition of a plugin: serving what stood there before"
    ]


def test_a_port_that_is_taken_is_named(served):
    with pytest.raises(HeadwaterError) as error:
        hub_server.server(hub_server.Definitions([served.folder], print), host="127.0.0.1", port=served.server_port)
    assert (error.value.reference, error.value.what) == (
        "cannot-listen",
        f"cannot listen on `127.0.0.1:{served.server_port}`: address already in use",
    )
