"""A stand-in for Meltano's hub: the plugins of the bundled index, served as that hub serves them."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from headwater.model.plugin import PluginKind
from headwater.store import hub, lock_files

PREFIX = "/meltano/api/v1/plugins/"


def page(path: str, url: str) -> object | None:
    """What the hub answers to `/meltano/api/v1/plugins/<path>`; None for what it does not have."""
    section, _, rest = path.partition("/")
    kind = next((kind for kind in PluginKind if kind.section == section), None)
    if kind is None:
        return None
    if rest == "index":
        return {name: _entry(kind, name, url) for name in hub.names(kind)}
    name, _, variant = rest.partition("--")
    found = hub.find(kind, name, variant)
    if found is None:
        return None
    definition: dict[str, object] = json.loads(lock_files.encode(found))
    definition.pop("plugin_type")  # the address says it
    return definition


def _entry(kind: PluginKind, name: str, url: str) -> dict[str, object]:
    variants = hub.variants(kind, name)
    refs = {item: {"ref": f"{url}{PREFIX}{kind.section}/{name}--{item}"} for item in variants}
    return {"default_variant": variants[0], "logo_url": "", "variants": refs}


@contextlib.contextmanager
def served() -> Iterator[str]:
    """The address of the stand-in, as the setting `hub_url` takes it."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = page(self.path.removeprefix(PREFIX), f"http://{self.headers['Host']}")
            body = json.dumps(found).encode()
            self.send_response(404 if found is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
