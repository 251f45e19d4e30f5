"""The file of a REST source, read and checked: its errors say the line. Light: read when the plugin is looked up."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar, get_args, get_origin

import msgspec
from msgspec import Struct

from headwater.base import yaml
from headwater.base.errors import InputError, Where
from headwater.base.text import did_you_mean, listed
from headwater.connect.sources.rest import expressions
from headwater.connect.sources.rest.spec import (
    ApiKey,
    Aws,
    Basic,
    Bearer,
    Cursor,
    GraphQL,
    Incremental,
    Limits,
    Link,
    NextUrl,
    Numbered,
    OAuth2,
    Offset,
    Parent,
    Relay,
    Spec,
    Stream,
    decimal_of,
)

_Form = TypeVar("_Form", bound=Struct)

# Names that expressions may use, by place.
EVERYWHERE = frozenset({"config", "now", "today"})
_OF_STREAM = EVERYWHERE | {"start", "end", "parent"}
_COLUMN_TYPES = ("integer", "number", "boolean", "string", "date", "time", "timestamp", "json")
_AT = re.compile(r" - at `(?:key in )?\$(.*)`$")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")


def read(path: Path, shown: str) -> Spec:
    """The source in that file. Raises InputError (`bad-source`, and those of `yaml.read`) with file and line."""
    document = yaml.read(path, shown=shown)
    return checked(document)


def checked(document: yaml.Document) -> Spec:
    data = document.data
    if not isinstance(data, dict):
        raise _bad("the file describes no source", document, (), hint="headwater tap new rest NAME")
    streams = data.get("streams")
    if not isinstance(streams, dict) or not streams:
        hint = "streams: {items: {path: /items, records: data}}"
        raise _bad("`streams` names each stream of the source", document, ("streams",), hint=hint)
    spec = _converted({key: value for key, value in data.items() if key != "streams"}, Spec, document, ())
    found = {}
    for name, given in streams.items():
        at = ("streams", name)
        if not isinstance(name, str) or not isinstance(given, dict):
            raise _bad(f"stream `{name}` needs at least a `path`", document, at, hint="path: /items")
        found[name] = _converted(given, Stream, document, at)
    spec = msgspec.structs.replace(spec, streams=found)
    _check_source(spec, document)
    for name, stream in found.items():
        _check_stream(name, stream, spec, document)
    return spec


def _converted(given: dict[Any, Any], form: type[_Form], document: yaml.Document, at: tuple[Any, ...]) -> _Form:
    try:
        return msgspec.convert(given, form)
    except msgspec.ValidationError as error:
        text = str(error)
        place = _AT.search(text)
        steps = [name or number for name, number in _STEP.findall(place[1])] if place else []
        within = tuple(int(step) if step.isdigit() else step for step in steps if step != "...")
        what = text[: place.start()] if place else text
        unknown = re.search(r"unknown field `(.*)`", what)
        if unknown is not None:
            _refuse_unknown(unknown[1], given, form, document, (*at, *within))
        where = ".".join(map(str, (*at, *within))) or "the file"
        words = _words(form, within) if what.startswith("Invalid") else []
        hint = f"it is one of {listed(words)}" if words else None
        raise _bad(f"{what[:1].lower()}{what[1:]} in `{where}`", document, (*at, *within), hint=hint) from error


def _words(form: Any, steps: tuple[Any, ...]) -> list[str]:
    """What may stand there, where it is one of a few words."""
    kinds = [form]
    for step in steps:
        structs = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Struct)]
        if tags := [str(kind.__struct_config__.tag) for kind in structs if kind.__struct_config__.tag_field == step]:
            return tags
        found = [item.type for kind in structs for item in msgspec.structs.fields(kind) if item.encode_name == step]
        kinds = [part for kind in found for part in (kind, *get_args(kind))]
    return [str(word) for kind in kinds if get_origin(kind) is Literal for word in get_args(kind)]


def _refuse_unknown(
    word: str, given: Any, form: type[Struct], document: yaml.Document, place: tuple[Any, ...]
) -> NoReturn:
    known = [item.encode_name for item in msgspec.structs.fields(form)] if word in given else _names_like(form)
    near = did_you_mean(word, known)
    raise _bad(
        f"there is nothing called `{word}` here",
        document,
        (*place, word),
        hint=f"did you mean `{near}`?" if near else "docs/guides/rest.md has all of them",
    )


def _names_like(form: type[Struct]) -> list[str]:
    inner = (Basic, Bearer, ApiKey, OAuth2, Aws, Numbered, Offset, Cursor, Link, NextUrl, Relay, Incremental, Parent)
    forms = (form, *inner, Limits, GraphQL)
    return sorted({item.encode_name for one in forms for item in msgspec.structs.fields(one)})


def _check_source(spec: Spec, document: yaml.Document) -> None:
    for key in ("base_url", "auth", "headers", "parameters"):
        _check_names(getattr(spec, key), EVERYWHERE, document, (key,))
    if not spec.base_url.startswith(("http://", "https://", "{{")):
        raise _bad("`base_url` begins with `https://` or `http://`", document, ("base_url",))
    for name in ("requests", "tries", "timeout", "max_answer_bytes", "max_pages"):
        if (value := getattr(spec.limits, name)) is not None and value < 1:
            raise _bad(f"`{name}` is at least 1", document, ("limits", name))
    if not 1 <= spec.concurrency <= 64:
        raise _bad("`concurrency` is a number from 1 to 64", document, ("concurrency",))


def _check_stream(name: str, stream: Stream, spec: Spec, document: yaml.Document) -> None:
    at = ("streams", name)
    for key in ("path", "parameters", "headers", "body", "graphql"):
        _check_names(
            getattr(stream, key), _OF_STREAM if stream.parent else _OF_STREAM - {"parent"}, document, (*at, key)
        )
    if stream.graphql is not None and stream.body is not None:
        raise _bad("a stream has `graphql` or a `body`, not both", document, (*at, "body"))
    for key, kind in stream.columns.items():
        if kind not in _COLUMN_TYPES and decimal_of(kind) is None:
            where = (*at, "columns", key)
            raise _bad(
                f"`{kind}` is no type", document, where, hint=f"types: {listed([*_COLUMN_TYPES, 'decimal(P,S)'])}"
            )
    if stream.parent is not None:
        _check_parent(name, stream.parent, spec, document)
    if stream.incremental is not None:
        _check_incremental(stream.incremental, document, (*at, "incremental"))
    given = stream.pagination
    if isinstance(given, Cursor) and (given.path is None) == (given.record is None):
        raise _bad(
            "the next cursor stands at a `path` of the answer or of its last `record`", document, (*at, "pagination")
        )


def _check_parent(name: str, parent: Parent, spec: Spec, document: yaml.Document) -> None:
    at = ("streams", name, "parent")
    _check_names(parent.fields, EVERYWHERE | {"parent"}, document, (*at, "fields"))
    seen = {name}
    above: Parent | None = parent
    while above is not None:
        if above.stream not in spec.streams:
            near = did_you_mean(above.stream, spec.streams)
            hint = f"did you mean `{near}`?" if near else f"streams: {listed(list(spec.streams))}"
            raise _bad(f"there is no stream `{above.stream}`", document, (*at, "stream"), hint=hint)
        if above.stream in seen:
            raise _bad(f"stream `{name}` is among its own parents", document, at)
        if spec.streams[name].incremental is not None and not spec.streams[above.stream].keys:
            what = (
                f"`{name}` has a bookmark for each record of `{above.stream}`, which has no `keys` to tell them apart"
            )
            raise _bad(what, document, at, hint=f"give stream `{above.stream}` its `keys`")
        seen.add(above.stream)
        above = spec.streams[above.stream].parent


def _check_incremental(given: Incremental, document: yaml.Document, at: tuple[Any, ...]) -> None:
    for key in ("start", "end"):
        _check_names(getattr(given, key), EVERYWHERE, document, (*at, key))
    if given.cursor is None and given.window is None:
        raise _bad("`incremental` needs a `cursor`, or a `window`", document, at)
    if given.window is not None and given.start is None:
        raise _bad("with a `window` there must be a `start`", document, at, hint='start: "2024-01-01"')
    if given.window is not None and isinstance(given.lookback, int):
        raise _bad("with a `window`, `lookback` is a span of time", document, (*at, "lookback"), hint="lookback: 2h")
    for key in ("window", "lookback"):
        value = getattr(given, key)
        if isinstance(value, str):
            try:
                length = expressions.span(value)
            except ValueError as error:
                raise _bad(str(error), document, (*at, key)) from error
            if not length:
                raise _bad(f"`{key}` is longer than nothing", document, (*at, key))


def _check_names(given: Any, roots: frozenset[str], document: yaml.Document, at: tuple[Any, ...]) -> None:
    try:
        expressions.check(given, roots)
    except expressions.ExpressionError as error:
        raise _bad(f"{error} (in `{'.'.join(map(str, at))}`)", document, _deepest(given, roots, at)) from error


def _deepest(given: Any, roots: frozenset[str], at: tuple[Any, ...]) -> tuple[Any, ...]:
    """The place of the text that is wrong."""
    if isinstance(given, Struct):
        given = {name: getattr(given, name) for name in given.__struct_fields__}
    for key, value in given.items() if isinstance(given, dict) else enumerate(given) if isinstance(given, list) else ():
        try:
            expressions.check(value, roots)
        except expressions.ExpressionError:
            return _deepest(value, roots, (*at, key))
    return at


def _bad(what: str, document: yaml.Document, at: tuple[Any, ...], *, hint: str | None = None) -> InputError:
    return InputError("bad-source", what, where=Where(document.file, document.line(at)), hint=hint)
