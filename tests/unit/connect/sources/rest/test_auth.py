"""Who a call says it is from."""

from __future__ import annotations

import datetime as dt
from urllib.parse import parse_qs

import pytest

from headwater.base.errors import HeadwaterError
from headwater.connect.sources.rest import aws

STREAMS = "streams: {orders: {path: /orders, columns: {id: integer}, pagination: {type: page}}}\n"
AWS_KEYS = aws.Keys(access="AKIDEXAMPLE", secret="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")


def pages(asked):
    return [{"id": 1}] if asked.query["page"] == "1" else []


@pytest.mark.parametrize(
    ("auth", "header"),
    [
        ("{type: basic, username: me, password: '{{ config.key }}'}", ("authorization", "Basic bWU6aHVzaA==")),
        ("{type: bearer, token: '{{ config.key }}'}", ("authorization", "Bearer hush")),
        ("{type: api_key, value: '{{ config.key }}'}", ("x-api-key", "hush")),
    ],
)
def test_credentials_go_with_every_call(source, auth, header):
    source.write(f"auth: {auth}\n{STREAMS}")
    source.given, source.api.answer = {"key": "hush"}, pages
    source.read()
    name, value = header
    assert [one.headers[name] for one in source.api.asked] == [value, value]


def test_credentials_that_are_not_set_are_asked_for(source):
    source.write("auth: {type: bearer, token: '{{ config.key }}'}\n" + STREAMS)
    with pytest.raises(HeadwaterError) as caught:
        source.read()
    assert caught.value.reference == "credentials-missing"


def oauth(source, **more):
    extra = "".join(f", {name}: {value}" for name, value in more.items())
    source.write(
        f"auth: {{type: oauth2, token_url: {source.api.url}/token, client_id: me, client_secret: hush{extra}}}\n"
        + STREAMS
    )
    given = []

    def answer(asked):
        if asked.path == "/token":
            given.append(parse_qs(asked.body.decode()) | {"as": asked.headers.get("authorization")})
            return {"access_token": f"token-{len(given)}", "expires_in": 3600, "refresh_token": f"again-{len(given)}"}
        return pages(asked)

    source.api.answer = answer
    return given


def test_a_token_is_fetched_once_and_used_for_all_calls(source):
    given = oauth(source)
    source.read()
    calls = [one for one in source.api.asked if one.path == "/orders"]
    assert {one.headers["authorization"] for one in calls} == {"Bearer token-1"}
    assert given == [{"grant_type": ["client_credentials"], "client_id": ["me"], "client_secret": ["hush"], "as": None}]


def test_a_refresh_token_is_exchanged_and_the_client_may_be_in_the_header(source):
    given = oauth(source, refresh_token="first", client_in="header")
    source.read()
    assert given == [{"grant_type": ["refresh_token"], "refresh_token": ["first"], "as": "Basic bWU6aHVzaA=="}]


def test_a_token_that_is_refused_is_renewed(source):
    given = oauth(source)
    inner = source.api.answer
    source.api.answer = lambda asked: (
        source.api.reply({"error": "expired"}, 401)
        if asked.headers.get("authorization") == "Bearer token-1"
        else inner(asked)
    )
    rows, _ = source.read()
    assert (rows, [one.get("refresh_token") for one in given]) == ([{"id": 1}], [None, ["again-1"]])


def test_a_server_that_gives_no_token_says_why(source):
    oauth(source)
    source.api.answer = lambda asked: source.api.reply({"error_description": "unknown client"}, 400)
    with pytest.raises(HeadwaterError) as caught:
        source.read()
    assert (caught.value.reference, caught.value.why) == ("no-token", "unknown client")


def test_a_signature_is_the_one_of_awss_own_example():
    """`get-vanilla-query-order-key-case` of the published test suite."""
    found = aws.signed(
        AWS_KEYS,
        region="us-east-1",
        service="service",
        method="GET",
        url="https://example.amazonaws.com/?Param2=value2&Param1=value1",
        headers={},
        body=b"",
        at=dt.datetime(2015, 8, 30, 12, 36, tzinfo=dt.UTC),
    )
    assert found["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        "SignedHeaders=host;x-amz-date, Signature=b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"
    )


@pytest.mark.parametrize(
    ("service", "method", "url", "body", "token"),
    [
        ("execute-api", "GET", "https://x.execute-api.eu-west-1.amazonaws.com/a%20b/c?z=1&a=x%2Fy&a=b", b"", None),
        ("execute-api", "POST", "https://x.execute-api.eu-west-1.amazonaws.com/items", b'{"a":1}', "session"),
        ("s3", "GET", "https://bucket.s3.amazonaws.com/a%20b%2Bc?list-type=2&prefix=", b"", None),
    ],
)
def test_signatures_are_those_of_the_official_library(service, method, url, body, token):
    auth, awsrequest = pytest.importorskip("botocore.auth"), pytest.importorskip("botocore.awsrequest")
    from botocore.credentials import Credentials

    at = dt.datetime(2024, 5, 6, 7, 8, 9, tzinfo=dt.UTC)
    request = awsrequest.AWSRequest(method=method, url=url, data=body)
    request.context["timestamp"] = at.strftime("%Y%m%dT%H%M%SZ")
    kind = auth.S3SigV4Auth if service == "s3" else auth.SigV4Auth
    signer = kind(Credentials("AKIDEXAMPLE", AWS_KEYS.secret, token), service, "eu-west-1")
    request.headers["X-Amz-Date"] = request.context["timestamp"]
    if token:
        request.headers["X-Amz-Security-Token"] = token
    if service == "s3":
        request.headers["X-Amz-Content-SHA256"] = signer.payload(request)
    text = signer.string_to_sign(request, signer.canonical_request(request))
    keys = aws.Keys(access="AKIDEXAMPLE", secret=AWS_KEYS.secret, session_token=token)
    found = aws.signed(keys, region="eu-west-1", service=service, method=method, url=url, headers={}, body=body, at=at)
    assert found["authorization"].endswith(f"Signature={signer.signature(text, request)}")


def test_calls_to_aws_are_signed(source):
    source.write(f"auth: {{type: aws, access_key: AK, secret_key: SK, region: eu, service: execute-api}}\n{STREAMS}")
    source.api.answer = pages
    source.read()
    assert source.api.asked[0].headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AK/")


def test_keys_do_not_show_themselves():
    assert repr(AWS_KEYS) == "Keys(…)"
