"""Against servers of this machine: what an answer may be, and where credentials go."""

from __future__ import annotations

import contextlib
import datetime as dt
import gzip
import ipaddress
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from headwater.base import http


@contextlib.contextmanager
def serving(pages):
    """`pages` maps a path to (status, headers, body) or to a function that takes the request; `.asked` has requests."""
    asked = []

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, dict(self.headers)))
            page = pages[self.path]
            status, headers, body = page(self) if callable(page) else page
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        server.asked = asked
        server.url = f"http://127.0.0.1:{server.server_port}"
        yield server
        server.shutdown()


def get(url, *, limit=1000, seconds=30.0, **credentials):
    with http.Client(seconds=seconds) as client:
        return client.get(url, limit=limit, headers={"X-Any": "1"}, credentials=credentials)


def refusal(url, **options):
    with pytest.raises(http.NoAnswerError) as error:
        get(url, **options)
    return str(error.value)


def test_an_answer_is_decoded():
    packed = gzip.compress(b"hello")
    with serving({"/a": (200, {"ETag": '"1"', "Content-Encoding": "gzip"}, packed)}) as server:
        assert get(f"{server.url}/a") == http.Answer(url=f"{server.url}/a", status=200, etag='"1"', body=b"hello")


def test_credentials_stay_at_the_origin_they_were_given_for():
    with serving({"/b": (200, {}, b"{}"), "/c": (302, {"Location": "/b"}, b"")}) as other:
        pages = {"/same": (302, {"Location": "/x"}, b""), "/x": (302, {"Location": f"{other.url}/c"}, b"")}
        with serving(pages) as server:
            get(f"{server.url}/same", Authorization="Bearer hush")
            assert [headers.get("Authorization") for _, headers in server.asked] == ["Bearer hush"] * 2
    assert [headers.get("Authorization") for _, headers in other.asked] == [None, None]
    assert [headers["X-Any"] for _, headers in other.asked] == ["1", "1"]


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://x/y", "gopher://x"])
def test_redirects_go_to_the_web_only(target):
    with serving({"/a": (302, {"Location": target}, b"")}) as server:
        assert refusal(f"{server.url}/a") == f"`{target.partition(':')[0]}` is neither http nor https"


def test_a_circle_of_redirects_ends():
    with serving({"/a": (302, {"Location": "/a"}, b"")}) as server:
        assert refusal(f"{server.url}/a") == "it sends on more than 5 times"
        assert len(server.asked) == 6


def test_an_answer_has_a_size():
    bomb = gzip.compress(b"0" * 10_000_000)
    with serving({"/a": (200, {"Content-Encoding": "gzip"}, bomb)}) as server:
        assert refusal(f"{server.url}/a", limit=5_000_000) == "its answer has more than 5,000,000 bytes"


def test_an_answer_has_a_time():
    def slow(request):
        request.send_response(200)
        request.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(100):
                request.wfile.write(b"0" * 65_536)
                request.wfile.flush()
                time.sleep(0.02)
        return 200, {}, b""

    with serving({"/a": slow}) as server:
        assert refusal(f"{server.url}/a", limit=10_000_000, seconds=0.2) == "its answer takes too long"


def test_a_busy_server_is_asked_three_times():
    answers = iter([(503, {}, b""), (429, {}, b""), (200, {}, b"there")])
    with serving({"/a": lambda _: next(answers)}) as server:
        assert get(f"{server.url}/a").body == b"there"
    with serving({"/a": (500, {}, b"no")}) as server:
        answer = get(f"{server.url}/a")
        assert (answer.status, answer.body, len(server.asked)) == (500, b"", 3)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://127.0.0.1:9/", "connection refused"),
        ("ftp://127.0.0.1/", "`ftp` is neither http nor https"),
        ("nonsense", "`no scheme` is neither http nor https"),
    ],
)
def test_why_there_is_no_answer(url, why):
    assert refusal(url) == why


@pytest.fixture
def certificate(tmp_path):
    """A certificate for 127.0.0.1 that nobody trusts, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hub")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "hub.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + secret)
    return file


def test_a_certificate_must_be_trusted_and_https_is_not_left(certificate):
    with serving({"/a": (200, {}, b"safe"), "/down": (302, {"Location": "http://127.0.0.1:9/"}, b"")}) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        url = server.url.replace("http:", "https:")
        assert refusal(f"{url}/a").startswith("its certificate is not trusted: self")
        with http.Client(ca_file=certificate) as client:
            assert client.get(f"{url}/a", limit=10, headers={}).body == b"safe"
            with pytest.raises(http.NoAnswerError, match="it sends on from https to http"):
                client.get(f"{url}/down", limit=10, headers={})
