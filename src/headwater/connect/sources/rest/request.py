"""The calls of a stream: what its texts come to with the names of the moment, and one step of its pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import msgspec

from headwater.base.errors import InputError
from headwater.connect.http_calls import origin_of
from headwater.connect.sources.rest import spec
from headwater.connect.sources.rest.call import Call
from headwater.connect.sources.rest.expressions import ExpressionError, filled, filled_path, within, written
from headwater.connect.sources.rest.paginate import Step, placed


def call(
    source: spec.Spec,
    name: str,
    step: Step,
    *,
    base_url: str,
    names: Mapping[str, Any],
    credentials: Mapping[str, str],
) -> Call:
    """The call for one page of stream `name`. `credentials` are parameters that go with every call. Raises InputError
    (`bad-source`) where a value is missing."""
    stream = source.streams[name]
    try:
        headers = filled({**source.headers, **stream.headers}, names)
        parameters = filled({**source.parameters, **stream.parameters}, names)
        path = filled_path(stream.path, names)
        body = filled(stream.body, names)
        if stream.graphql is not None:
            variables = filled(stream.graphql.variables, names)
            # Braces belong to the language of queries: nothing is filled into them, values are variables.
            body = {"query": stream.graphql.query, "variables": variables}
    except ExpressionError as error:
        raise InputError(
            "bad-source",
            f"the call of stream `{name}` is not complete: {error}",
            hint="headwater config list EXTRACTOR",
        ) from error
    parameters, body = placed(step, parameters, body)
    content = b"" if body is None else body.encode() if isinstance(body, str) else msgspec.json.encode(body)
    common = {"accept": "application/json", "user-agent": "headwater"}
    if content and not isinstance(body, str):
        common["content-type"] = "application/json"
    given = {str(key).lower(): written(value) for key, value in headers.items()}
    if step.url is not None:
        # The address of the next page is the server's own: all that it needs is in it.
        url, parameters = _as_safe(step.url, base_url), {}
    elif path.startswith(("https://", "http://")):
        url = path
    else:
        url = base_url + (path if not path or path.startswith(("/", "?")) else f"/{path}")
    if origin_of(url) == origin_of(base_url):
        parameters = {**parameters, **credentials}
    url = with_parameters(url, parameters)
    method = stream.method or ("POST" if content else "GET")
    return Call(method=method, url=url, headers=common | given, body=content)


def _as_safe(url: str, base_url: str) -> str:
    """Servers behind a proxy often do not know that they are asked over TLS."""
    home, given = urlsplit(base_url), urlsplit(url)
    if (home.scheme, given.scheme, given.hostname, given.port) == ("https", "http", home.hostname, None):
        return urlunsplit(given._replace(scheme="https", netloc=home.netloc))
    return url


def with_parameters(url: str, parameters: Mapping[str, Any]) -> str:
    """The address with these parameters, in place of those that it has by these names. A list is the same name several
    times."""
    if not parameters:
        return url
    parts = urlsplit(url)
    kept = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name not in parameters]
    added = [
        (name, written(value))
        for name, values in parameters.items()
        for value in (values if isinstance(values, list) else [values])
    ]
    return urlunsplit(parts._replace(query=urlencode([*kept, *added], quote_via=quote, safe=",:")))


def uses(source: spec.Spec, name: str, word: str) -> bool:
    """Whether the calls of the stream hold an expression with that name."""
    stream = source.streams[name]
    variables = stream.graphql.variables if stream.graphql else None
    texts = [source.parameters, source.headers, stream.path, stream.parameters, stream.headers, stream.body, variables]
    return any((item.name or "").partition(".")[0] == word for item in within(texts))
