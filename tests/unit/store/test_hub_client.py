"""Asking a hub: what it says, what is kept of it, and what stands in when it says nothing."""

from __future__ import annotations

import json
import threading
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from headwater.base.errors import HeadwaterError
from headwater.model.plugin import PluginKind
from headwater.store.hub_client import HOUR, Hub, Site

TAP = PluginKind.EXTRACTOR
INDEX = "/api/plugins/extractors/index"
PAGE = "/api/plugins/extractors/tap-x--mine"
DEFINITION = {
    "name": "tap-x",
    "namespace": "tap_x",
    "variant": "mine",
    "pip_url": "tap-x",
    "keywords": ["a"],
    "usage": "long text",
    "native": "duckdb",
    "settings": [{"name": "token", "kind": "string", "sensitive": True}],
}


class Server:
    """A hub with one tap; `pages` may be changed, `asked` has (path, status, Authorization)."""

    def __init__(self):
        self.asked = []
        self.status = None
        self.pages = {
            INDEX: {"tap-x": {"default_variant": "mine", "logo_url": "", "variants": {"mine": {"ref": "tap-x--mine"}}}},
            PAGE: DEFINITION,
        }
        self.refer(f"/{PAGE[1:]}")

    def refer(self, ref, name="tap-x", variant="mine"):
        self.pages[INDEX][name] = {"default_variant": variant, "logo_url": "", "variants": {variant: {"ref": ref}}}


@pytest.fixture
def server():
    made = Server()

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self):
            page = made.pages.get(self.path)
            body = page if isinstance(page, bytes) else json.dumps(page).encode()
            etag = f'"{hash(body)}"'
            status = made.status or (404 if page is None else 200)
            if status == 200 and self.headers.get("If-None-Match") == etag:
                status, body = 304, b""
            made.asked.append((self.path, status, self.headers.get("Authorization")))
            self.send_response(status)
            self.send_header("ETag", etag)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as web:
        threading.Thread(target=web.serve_forever, args=(0.01,), daemon=True).start()
        made.url = f"http://127.0.0.1:{web.server_port}/api"
        yield made
        web.shutdown()


@pytest.fixture
def hub(server, tmp_path):
    """A hub client for a new command; `.notes` has what it told."""

    def make(**options):
        notes = []
        site = Site(**{"root": server.url, "cache": tmp_path / "cache", **options})
        made = Hub(site, note=notes.append)
        made.notes = notes
        return made

    return make


def test_a_definition_is_fetched_and_what_is_for_pages_only_left_out(hub, server):
    found = hub().definition(TAP, "tap-x")
    assert (found.name, found.variant, found.pip_url) == ("tap-x", "mine", "tap-x")
    assert found.settings[0].is_secret
    assert found.extras == {}
    assert found.native is None
    assert [path for path, *_ in server.asked] == [INDEX, PAGE]


@pytest.mark.parametrize("variant", [None, "default", "original", "mine"])
def test_the_default_variant_has_many_names(hub, variant):
    assert hub().definition(TAP, "tap-x", variant).variant == "mine"


def test_what_a_hub_does_not_have_is_none(hub):
    asking = hub()
    assert asking.definition(TAP, "tap-y") is None
    assert asking.definition(TAP, "tap-x", "yours") is None
    assert asking.index(PluginKind.MAPPER) == {}
    assert asking.notes == []


def test_a_kept_page_is_asked_for_by_its_tag(hub, server):
    hub().definition(TAP, "tap-x")
    assert hub().definition(TAP, "tap-x").pip_url == "tap-x"
    assert [status for _, status, _ in server.asked] == [200, 200, 304, 304]


def test_a_young_index_is_not_asked_for_again(hub, server, tmp_path):
    hub().index(TAP)
    hub().index(TAP, max_age=HOUR)
    assert len(server.asked) == 1
    (file,) = (tmp_path / "cache").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    kept = json.loads(file.read_text())
    for moved in (timedelta(hours=-2), timedelta(hours=2)):  # too old, and from a clock that was set back
        moment = datetime.fromisoformat(kept["fetched"]) + moved
        file.write_text(json.dumps({**kept, "fetched": moment.isoformat()}))
        hub().index(TAP, max_age=HOUR)
    assert len(server.asked) == 3


def test_a_broken_cache_is_no_cache(hub, server, tmp_path):
    hub().index(TAP)
    (file,) = (tmp_path / "cache").iterdir()
    file.write_bytes(b'{"url": ')
    assert "tap-x" in hub(offline=False).index(TAP)
    file.write_bytes(b"\x00")
    assert hub(offline=True).index(TAP) is None


def test_a_hub_that_does_not_answer_is_said_once_and_asked_once(hub, server):
    hub().definition(TAP, "tap-x")
    server.status = 418
    later = hub()
    assert later.definition(TAP, "tap-x").pip_url == "tap-x"
    assert later.definition(TAP, "tap-y") is None
    assert [status for _, status, _ in server.asked] == [200, 200, 418]
    assert len(later.notes) == 1
    assert later.notes[0].startswith(f"the hub at {server.url} does not answer (status 418): using what it said 0.")


def test_nothing_kept_means_the_bundled_index(hub):
    nobody = hub(root="http://127.0.0.1:9")
    assert nobody.index(TAP) is None
    assert nobody.notes == [
        (
            "the hub at http://127.0.0.1:9 does not answer (connection refused): "
            "using the index that comes with this program"
        )
    ]


def test_offline_asks_nobody_and_says_nothing(hub, server):
    hub().definition(TAP, "tap-x")
    asked = len(server.asked)
    away = hub(offline=True)
    assert away.definition(TAP, "tap-x").variant == "mine"
    assert away.index(PluginKind.LOADER) is None
    assert (len(server.asked), away.notes) == (asked, [])


@pytest.mark.parametrize("page", [b"<html>log in to this network</html>", {"tap-x": {"default_variant": 3}}])
def test_something_else_that_answers_is_no_hub(hub, server, page):
    server.pages[INDEX] = page
    asking = hub()
    assert asking.index(TAP) is None
    assert "(its answer is no plugin index)" in asking.notes[0]


def test_the_hub_someone_chose_may_refuse(hub, server):
    server.status = 401
    with pytest.raises(HeadwaterError) as error:
        hub(own=True).index(TAP)
    assert (error.value.reference, error.value.exit_code) == ("hub-refused", 3)
    assert "hub_url_auth" in error.value.hint
    public = hub()
    assert public.index(TAP) is None
    assert "(status 401)" in public.notes[0]


def test_the_login_goes_to_the_hub_and_to_no_other_host(hub, server):
    server.refer(server.url.replace("127.0.0.1", "localhost") + "/plugins/extractors/tap-x--mine")
    assert hub(auth="Bearer hush").definition(TAP, "tap-x").variant == "mine"
    assert server.asked == [(INDEX, 200, "Bearer hush"), (PAGE, 200, None)]


def test_another_login_does_not_see_what_this_one_saw(hub, server):
    hub(auth="Bearer hush").index(TAP)
    assert hub(auth="Bearer other", offline=True).index(TAP) is None


@pytest.mark.parametrize("name", ["../../x", "tap/x", "", "-rf", "tap x"])
def test_names_that_are_paths_are_not_in_the_index(hub, server, name):
    server.refer("x", name=name)
    server.refer("x", name="tap-z", variant=name)
    assert set(hub().index(TAP)) == {"tap-x", "tap-z"}
    assert hub().index(TAP)["tap-z"].variants == {}


def test_a_definition_cannot_call_itself_something_else(hub, server):
    server.pages[PAGE] = {**DEFINITION, "name": "../../tap-y", "variant": "x/y", "plugin_type": "loaders"}
    found = hub().definition(TAP, "tap-x")
    assert (found.name, found.variant, found.plugin_type) == ("tap-x", "mine", TAP)


def test_a_definition_that_cannot_be_used_says_why(hub, server):
    server.pages[PAGE] = {**DEFINITION, "settings": 3}
    with pytest.raises(HeadwaterError) as error:
        hub().definition(TAP, "tap-x")
    assert (error.value.reference, error.value.what) == (
        "bad-definition",
        "the definition of `tap-x` variant `mine` cannot be used",
    )


def test_ping_goes_past_the_cache(hub, server):
    server.pages["/api/plugins/orchestrators/index"] = {}
    hub().ping()
    hub().ping()
    assert len(server.asked) == 2
    server.pages.clear()
    with pytest.raises(HeadwaterError) as error:
        hub().ping()
    assert (error.value.reference, error.value.why) == (
        "hub-unreachable",
        "there is no plugin index at that address (404)",
    )


def test_an_address_with_a_password_is_not_shown(hub):
    with pytest.raises(HeadwaterError) as error:
        hub(root="http://me:hush@127.0.0.1:9").ping()
    assert error.value.what == "the hub at `http://(redacted)@127.0.0.1:9` does not answer"
