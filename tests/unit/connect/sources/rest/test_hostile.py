"""What servers do to those who ask them."""

from __future__ import annotations

import datetime as dt
import gzip
import ipaddress
import ssl
import threading

import pytest

from headwater.base.errors import HeadwaterError, RunFailedError
from headwater.connect import http_calls
from headwater.connect.sources import rest
from headwater.connect.sources.rest import request

ORDERS = "streams: {orders: {path: /orders, records: data, columns: {id: integer}}}\n"


def failure(source, state=None):
    with pytest.raises(HeadwaterError) as caught:
        source.messages(state)
    return caught.value


def after(failures, good):
    """Answers one after the other, then the good one."""
    left = list(failures)
    return lambda asked: left.pop(0) if left else good


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_what_passes_by_itself_is_asked_again(source, status):
    source.write(ORDERS)
    source.api.answer = after([source.api.reply(b"busy", status)] * 2, {"data": [{"id": 1}]})
    rows, _ = source.read()
    assert rows == [{"id": 1}]
    assert len(source.lines) == 2
    assert f"status {status}; asked again in" in source.lines[0]


def test_an_answer_that_is_cut_off_is_asked_for_again(source):
    source.write(ORDERS)
    source.api.answer = after([source.api.reply({"data": [{"id": 1}, {"id": 2}]}, cut=9)], {"data": [{"id": 1}]})
    assert source.read()[0] == [{"id": 1}]


def test_json_that_is_cut_off_is_asked_for_again(source):
    source.write(ORDERS)
    source.api.answer = after([source.api.reply(b'{"data": [{"id": 1}, {"i')], {"data": [{"id": 1}]})
    assert source.read()[0] == [{"id": 1}]


def test_packed_answers_are_unpacked_and_cut_ones_asked_for_again(source):
    source.write(ORDERS)
    packed = gzip.compress(b'{"data": [{"id": 1}]}')
    headers = {"content-encoding": "gzip"}
    source.api.answer = after(
        [source.api.reply(packed[:-9], headers=headers)], source.api.reply(packed, headers=headers)
    )
    assert source.read()[0] == [{"id": 1}]


def test_a_small_answer_that_unpacks_to_too_much_is_refused(source):
    source.write(f"limits: {{max_answer_bytes: 1000}}\n{ORDERS}")
    bomb = gzip.compress(b"[" + b" " * 50_000_000 + b"]")
    source.api.answer = lambda asked: source.api.reply(bomb, headers={"content-encoding": "gzip"})
    assert "has more than 1,000 bytes" in failure(source).what
    assert len(source.api.asked) == 1


def test_a_server_that_stays_broken_is_given_up_after_some_tries(source):
    source.write(f"limits: {{tries: 3}}\n{ORDERS}")
    source.api.answer = lambda asked: source.api.reply({"error": {"message": "database is down"}}, 500)
    found = failure(source)
    assert (found.reference, found.why, len(source.api.asked)) == ("http-status", "database is down", 3)
    assert found.what == f"`GET {source.api.url}/orders` was answered with status 500"


def test_a_refusal_is_not_asked_again(source):
    source.write(ORDERS)
    source.api.answer = lambda asked: source.api.reply({"message": "no such thing"}, 404)
    found = failure(source)
    assert (found.reference, len(source.api.asked)) == ("http-status", 1)
    assert "empty_statuses" in found.hint


def test_a_web_page_in_place_of_json_is_named(source):
    source.write(f"limits: {{tries: 2}}\n{ORDERS}")
    source.api.answer = lambda asked: source.api.reply(b"<html>log in</html>", headers={"content-type": "text/html"})
    assert "is not JSON, it says it is `text/html`" in failure(source).what


def test_the_wait_that_a_server_asks_for_is_kept(source):
    source.write(ORDERS)
    source.api.answer = after(
        [source.api.reply(b"", 429, {"retry-after": "0.3"}), source.api.reply(b"", 503, {"retry-after": "0"})],
        {"data": []},
    )
    source.read()
    assert [line.rpartition("; ")[2] for line in source.lines] == ["asked again in 0.3 s", "asked again in 0.0 s"]


def test_a_wait_that_is_too_long_ends_the_run(source):
    source.write(ORDERS)
    source.api.answer = lambda asked: source.api.reply(b"", 429, {"retry-after": "86400"})
    assert failure(source).what == f"`GET {source.api.url}/orders` may be asked again in 24 h 0 min only"


def test_a_used_up_allowance_is_no_refusal(source):
    source.write(ORDERS)
    headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1"}
    source.api.answer = after([source.api.reply(b"", 403, headers)], {"data": [{"id": 1}]})
    assert source.read()[0] == [{"id": 1}]


@pytest.mark.parametrize(
    ("pagination", "body"),
    [
        ("{type: page}", {"data": [{"id": 1}]}),
        ("{type: offset, size: 1}", {"data": [{"id": 1}]}),
        ("{type: cursor, parameter: after, path: next}", {"data": [{"id": 1}], "next": "same"}),
        ("{type: next_url, path: next}", {"data": [{"id": 1}], "next": "/orders?page=2"}),
    ],
)
def test_pages_without_an_end_are_noticed(source, pagination, body):
    source.write(f"pagination: {pagination}\n{ORDERS}")
    source.api.answer = lambda asked: body
    found = failure(source)
    assert found.reference == "endless-pages"
    assert len(source.api.asked) <= 3


def test_pages_have_a_number_that_they_do_not_exceed(source):
    source.write(f"pagination: {{type: page}}\nlimits: {{max_pages: 5}}\n{ORDERS}")
    source.api.answer = lambda asked: {"data": [{"id": asked.query["page"]}]}
    assert "there are more than 5 pages" in failure(source).what


def test_a_redirect_within_the_host_is_followed_with_credentials(source):
    source.write(f"auth: {{type: bearer, token: hush-hush}}\n{ORDERS}")
    moved = {"location": "/v2/orders"}
    source.api.answer = lambda asked: (
        source.api.reply(b"", 301, moved) if asked.path == "/orders" else {"data": [{"id": 1}]}
    )
    assert source.read()[0] == [{"id": 1}]
    assert {one.headers["authorization"] for one in source.api.asked} == {"Bearer hush-hush"}


@pytest.mark.parametrize("target", ["http://localhost:1/x", "http://169.254.169.254/latest", "file:///etc/passwd"])
def test_a_redirect_to_another_place_is_refused(source, target):
    source.write(ORDERS)
    source.api.answer = lambda asked: source.api.reply(b"", 302, {"location": target})
    found = failure(source)
    assert found.reference == "http-unreachable"
    assert "sends on to another host" in found.what or "neither http nor https" in found.what
    assert len(source.api.asked) == 1


def test_a_redirect_without_end_is_refused(source):
    source.write(ORDERS)
    source.api.answer = lambda asked: source.api.reply(b"", 302, {"location": "/orders"})
    assert "sends on more than 5 times" in failure(source).what


def test_the_next_page_is_not_fetched_from_another_host(source):
    source.write(f"auth: {{type: bearer, token: hush-hush}}\npagination: {{type: next_url, path: next}}\n{ORDERS}")
    source.api.answer = lambda asked: {"data": [{"id": 1}], "next": "http://evil.example/orders"}
    assert "it sends on to another host, `evil.example`" in failure(source).what


def test_a_trusted_host_gets_no_credentials(source):
    """The same server under another name, as an API's files may be with a store."""
    source.write(f"auth: {{type: bearer, token: hush-hush}}\nhosts: [localhost]\n{ORDERS}")
    port = source.api.url.rpartition(":")[2]
    there = {"location": f"http://localhost:{port}/files"}
    source.api.answer = lambda asked: source.api.reply(b"", 302, there) if asked.path == "/orders" else {"data": []}
    source.read()
    assert [one.headers.get("authorization") for one in source.api.asked] == ["Bearer hush-hush", None]


def test_a_public_host_leads_to_no_private_address():
    guard = http_calls._Guard("api.example")
    guard._is_public = True
    for host in ("127.0.0.1", "10.0.0.8", "::1", "::ffff:192.168.0.1"):
        with pytest.raises(http_calls._PrivateError, match="has a private address now"):
            guard.connect_tcp(host, 80)


def test_link_local_addresses_are_never_asked():
    guard = http_calls._Guard("169.254.169.254")
    with pytest.raises(http_calls._PrivateError, match="never asked"):
        guard.connect_tcp("169.254.169.254", 80)


def test_secrets_are_in_no_error_and_no_line(source):
    source.given, source.secrets = {"key": "s3cr3t-key"}, ("s3cr3t-key",)
    source.write(
        'auth: {type: api_key, name: key, value: "{{ config.key }}", in: query}\nlimits: {tries: 2}\n'
        'streams: {orders: {path: "/{{ config.key }}/orders", columns: {id: integer}}}\n'
    )
    source.api.answer = lambda asked: source.api.reply({"message": "bad key s3cr3t-key"}, 500)
    found = failure(source)
    assert source.api.asked[0].query == {"key": "s3cr3t-key"}
    assert "s3cr3t" not in f"{found.what} {found.why} {source.lines}"
    assert found.why == "bad key (redacted)"


def test_records_that_are_somewhere_else_are_named(source):
    source.write(ORDERS)
    source.api.answer = lambda asked: {"result": [{"id": 1}], "count": 1}
    found = failure(source)
    assert found.what.endswith("has no `data`, where `data` leads: there is `result`, `count`")
    assert found.reference == "records-missing"


def test_records_that_are_no_objects_are_named(source):
    source.write(ORDERS)
    source.api.answer = lambda asked: {"data": [1, 2]}
    assert failure(source).what == "a record of stream `orders` is no object"


def test_a_record_without_its_key_is_set_aside(source):
    source.write("streams: {orders: {path: /orders, keys: id, columns: {id: integer}}}\n")
    source.api.answer = lambda asked: [{"id": 1}, {"id": None}, {"id": 3}]
    found = source.messages()
    assert [m.record for m in found if hasattr(m, "reason")] == [b'{"id": null}']
    assert [row["id"] for m in found if hasattr(m, "batch") for row in m.batch.to_pylist()] == [1, 3]


def test_a_schema_that_changes_widens_the_columns(source):
    source.write("pagination: {type: page}\nstreams: {orders: {path: /orders}}\n")
    pages = [
        [{"id": 1, "a": 1, "at": "2024-01-01", "n": None}],
        [{"id": 2, "a": 1.5, "at": "2024-01-01T10:00:00Z", "n": {"b": True}}],
        [{"id": "x3", "a": "one", "at": "later", "new": [1]}],
        [],
    ]
    source.api.answer = lambda asked: pages[int(asked.query["page"]) - 1]
    rows, _ = source.read()
    # Each as its batch came; the destination makes one of them.
    assert rows[0]["id"] == 1
    assert (rows[1]["a"], rows[1]["n__b"]) == (1.5, True)
    assert rows[2] == {"id": "x3", "a": "one", "at": "later", "n__b": None, "new": "[1]"}


def test_a_run_that_dies_keeps_the_pages_before(source):
    source.write(
        "pagination: {type: page}\nstreams: {orders: {path: /orders, keys: id, parameters: {after: '{{ start }}'},"
        " incremental: {cursor: id, ordered: true, start: 0}}}\n"
    )
    source.api.answer = lambda asked: (
        source.api.reply(b"", 400) if asked.query["page"] == "3" else [{"id": int(asked.query["page"])}]
    )
    catalog, seen = source.discovered(), []
    asked = rest.ReadRequest(catalog=catalog, state=None, folder=source.folder)
    with pytest.raises(RunFailedError):
        seen.extend(m for m in rest.read(source.settings, asked) if not seen.append(m))
    states = [m.state for m in seen if hasattr(m, "state")]
    assert source.bookmark(states[-1]) == 2


def test_a_header_that_can_not_be_sent_is_not_shown(source):
    source.given = {"key": "s3cr3t\nx"}
    source.write(f"auth: {{type: bearer, token: '{{{{ config.key }}}}'}}\n{ORDERS}")
    found = failure(source)
    assert found.what.endswith(
        "gave no answer that can be used: its address or a header holds what HTTP does not allow"
    )
    assert "s3cr3t" not in f"{found.what}{found.why}"


def test_a_filter_that_can_not_take_a_secret_does_not_show_it(source):
    source.given = {"key": "s3cr3t"}
    source.write("streams: {orders: {path: /, parameters: {at: '{{ config.key | date }}'}, columns: {id: integer}}}\n")
    assert failure(source).what == (
        "the call of stream `orders` is not complete: `date` can't take the value of `config.key`, of type `str`"
    )


def test_a_run_that_is_cancelled_does_not_wait_for_a_server_that_hangs(source):
    source.write(ORDERS)
    catalog, is_let_go, waited = source.discovered(), threading.Event(), []
    source.api.answer = lambda asked: waited.append(is_let_go.wait(30))
    asked = rest.ReadRequest(
        catalog=catalog, state=None, folder=source.folder, should_stop=lambda: bool(source.api.asked)
    )
    found = [message for message in rest.read(source.settings, asked) if not hasattr(message, "columns")]
    assert (found, waited) == ([], [])
    is_let_go.set()


def test_a_wait_before_the_next_try_ends_with_the_run(source, monkeypatch):
    monkeypatch.setattr("headwater.connect.sources.rest.calls._FIRST_PAUSE", 600)
    source.write(ORDERS)
    source.api.answer = lambda asked: source.api.reply(b"", 503)
    asked = rest.ReadRequest(
        catalog=source.discovered(), state=None, folder=source.folder, should_stop=lambda: bool(source.api.asked)
    )
    assert not [message for message in rest.read(source.settings, asked) if hasattr(message, "batch")]


def certificate(folder):
    """A certificate for 127.0.0.1 that no authority of the system signed."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "stand-in")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    form = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, *form))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    return context


def test_a_certificate_is_to_be_trusted(source, tmp_path):
    context = certificate(tmp_path)
    with source.api.over_tls(context) as api:
        api.answer = lambda asked: {"data": [{"id": 1}]}
        source.api = api
        source.write(ORDERS)
        assert "its certificate is not trusted: self-signed certificate" in failure(source).what
        source.write(f"ca_file: ca.pem\n{ORDERS}")
        assert source.read()[0] == [{"id": 1}]


def test_a_trusted_host_gets_neither_keys_in_the_address_nor_headers(source):
    source.write(
        "auth: {type: api_key, name: key, value: hush-hush, in: query}\n"
        "headers: {X-Tenant: hush-hush}\nhosts: [localhost]\n"
        f"pagination: {{type: next_url, path: next}}\n{ORDERS}"
    )
    port = source.api.url.rpartition(":")[2]
    source.api.answer = lambda asked: (
        {"data": [{"id": 2}]}
        if asked.path == "/more"
        else {"data": [{"id": 1}], "next": f"http://localhost:{port}/more"}
    )
    source.read()
    first, second = source.api.asked
    assert (first.query, first.headers["x-tenant"]) == ({"key": "hush-hush"}, "hush-hush")
    assert "hush" not in f"{second.query}{second.headers}"


def test_next_pages_of_a_server_that_does_not_know_its_tls_are_asked_over_tls():
    assert request._as_safe("http://api.example/o?p=2", "https://api.example/v1") == "https://api.example/o?p=2"
    assert request._as_safe("http://other.example/o", "https://api.example/v1") == "http://other.example/o"
    caller = http_calls.Caller("https://api.example")
    with pytest.raises(http_calls.CallFailedError, match="from https to http"):
        caller.call("GET", "http://api.example:8080/o", headers={})


def test_a_stream_that_the_file_does_not_have_is_refused(source):
    source.write(ORDERS)
    catalog = source.discovered()
    source.write(ORDERS.replace("orders:", "order:"))
    with pytest.raises(HeadwaterError) as caught:
        list(rest.read(source.settings, rest.ReadRequest(catalog=catalog, state=None, folder=source.folder)))
    assert (caught.value.reference, caught.value.hint) == ("unknown-stream", "did you mean `order`?")
