"""What the HTTP client of the connectors refuses, with real servers on this machine."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from headwater.connect.http import Client, NoAnswerError, is_public


class Answers(BaseHTTPRequestHandler):
    to = ""
    seen: list[dict[str, str]] = []  # noqa: RUF012 - one list for all requests

    def do_GET(self) -> None:
        self.seen.append({name.lower(): value for name, value in self.headers.items()})
        if self.path == "/away":
            self.send_response(302)
            self.send_header("Location", self.to)
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"here")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Answers.seen.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


def body(url: str, **more: dict[str, str]) -> bytes:
    with Client() as client, client.stream("GET", url, **more) as response:
        return response.read()


def test_a_private_address_may_be_named(server: str) -> None:
    assert body(f"{server}/x") == b"here"
    assert body(server.replace("127.0.0.1", "localhost")) == b"here"
    assert Answers.seen[-1]["host"].startswith("localhost:")


def test_a_public_server_does_not_lead_to_a_private_one(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Our server under a public address; the way it sends us to is a private one.
    real = socket.getaddrinfo
    public = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", 80))]
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *a, **k: public if "public" in host else real(host, *a, **k)
    )
    monkeypatch.setattr("headwater.connect.http._reachable", lambda _addresses, _place: "127.0.0.1")
    Answers.to = f"{server}/secret"
    with pytest.raises(NoAnswerError, match=r"a public server sends on to `127\.0\.0\.1`, which is a private address"):
        body(f"http://public.example:{server.rpartition(':')[2]}/away")


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]"])
def test_a_link_local_address_is_never_asked(host: str) -> None:
    with pytest.raises(NoAnswerError, match="link-local"):
        body(f"http://{host}/latest/meta-data")


def test_credentials_stay_with_their_origin(server: str) -> None:
    Answers.to = server.replace("127.0.0.1", "localhost")
    assert body(f"{server}/away", credentials={"Authorization": "Bearer s3cret"}) == b"here"
    assert [seen.get("authorization") for seen in Answers.seen] == ["Bearer s3cret", None]


def test_other_schemes_and_endless_ways_are_refused(server: str) -> None:
    for to, why in (("file:///etc/passwd", "neither http nor https"), (f"{server}/away", "more than 5 times")):
        Answers.to = to
        with pytest.raises(NoAnswerError, match=why):
            body(f"{server}/away")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("8.8.8.8", True),
        ("10.0.0.1", False),
        ("192.168.1.1", False),
        ("127.0.0.1", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),  # noqa: S104 - an address to judge
        ("::1", False),
        ("fd00::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("2606:4700:4700::1111", True),
    ],
)
def test_which_addresses_are_public(address: str, expected: bool) -> None:
    assert is_public(address) is expected
