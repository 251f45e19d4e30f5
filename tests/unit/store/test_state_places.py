"""How object stores for states are found, without asking them."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import urlsplit

import pytest

from headwater.base.errors import InputError
from headwater.store import state_places

KEY = "c2VjcmV0LWNhbmFyeQ=="


def s3(uri="s3://lake/states", settings=None, **environ):
    return state_places.s3(urlsplit(uri), {"endpoint_url": "http://127.0.0.1:1"} | (settings or {}), environ)


def config(found):
    return {name: value for name, value in found.store.config.items() if name != "endpoint"}


def test_keys_in_settings_go_before_those_in_the_address():
    found = s3("s3://me:se%2Fcret@lake/x", {"aws_access_key_id": "other", "aws_secret_access_key": "word"})
    assert config(found)["access_key_id"] == "other"
    assert found.secrets == ("word",)
    assert config(s3("s3://me:se%2Fcret@lake/x"))["secret_access_key"] == "se/cret"


def test_one_key_alone_is_refused():
    with pytest.raises(InputError, match=r"`state_backend.s3.aws_secret_access_key` is missing"):
        s3(settings={"aws_access_key_id": "me"})


def test_the_chosen_profile_gives_keys_and_region(tmp_path):
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text("[profile work]\nregion = eu-west-1\n")
    (tmp_path / ".aws" / "credentials").write_text("[work]\naws_access_key_id = w\naws_secret_access_key = word\n")
    found = config(s3(HOME=str(tmp_path), AWS_PROFILE="work"))
    assert (found["access_key_id"], found["region"]) == ("w", "eu-west-1")


def test_a_profile_without_keys_of_its_own_names_the_way_out(tmp_path):
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text("[default]\nsso_session = us\n")
    with pytest.raises(InputError) as error:
        s3(HOME=str(tmp_path))
    assert error.value.hint == 'eval "$(aws configure export-credentials --profile default --format env)"'


@pytest.mark.parametrize(
    ("text", "given"),
    [
        (
            f"DefaultEndpointsProtocol=https;AccountName=a;AccountKey={KEY};EndpointSuffix=core.windows.net",
            {"account_name": "a", "account_key": KEY, "endpoint": "https://a.blob.core.windows.net"},
        ),
        (
            "BlobEndpoint=https://a.blob.core.windows.net/;SharedAccessSignature=?sv=1&sig=x%3D",
            {"account_name": "a", "sas_key": "sv=1&sig=x%3D", "endpoint": "https://a.blob.core.windows.net"},
        ),
    ],
)
def test_connection_strings(text, given):
    assert state_places.connection(text) == given


@pytest.mark.parametrize("text", ["", "AccountName=a", "nonsense"])
def test_a_connection_string_that_says_too_little_is_refused(text):
    with pytest.raises(InputError, match="connection string"):
        state_places.connection(text)


@pytest.mark.parametrize("text", ["{", "[]", '{"type": "authorized_user"}'])
def test_what_is_no_service_account_is_refused(text):
    with pytest.raises(InputError, match="no service account"):
        state_places.gcs(urlsplit("gs://lake"), {"application_credentials_json": text}, {})


def test_an_address_without_a_bucket_is_refused():
    for find, uri in ((state_places.s3, "s3:///x"), (state_places.gcs, "gs:///x"), (state_places.azure, "azure:///x")):
        with pytest.raises(InputError, match="names no bucket"):
            find(urlsplit(uri), {}, {})


def test_a_bucket_tells_its_region_to_those_who_may_not_read_it():
    class Refuses(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(403)
            self.send_header("x-amz-bucket-region", "ap-south-1")
            self.end_headers()

        def log_message(self, *words):
            """Quiet."""

    with HTTPServer(("127.0.0.1", 0), Refuses) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert state_places.bucket_region("lake", at=f"http://127.0.0.1:{server.server_port}") == "ap-south-1"
        server.shutdown()
    assert state_places.bucket_region("lake", at="http://127.0.0.1:1") is None
