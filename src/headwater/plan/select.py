"""Which streams and properties of a catalog are extracted. Catalogs are plain JSON here: nothing of one is lost.

The order of the rules is Meltano's: schema, select, metadata, filter. Within `select` all includes come first,
then all excludes, wherever they stand: an exclude wins. A pattern is `[!]stream[.property[.property…]]` with the
globs `*`, `?`, `[…]` in either part; `\\.` is a dot within a name; `stream` alone means `stream.*`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

from msgspec import Struct, field

from headwater.base.errors import InputError
from headwater.base.text import did_you_mean, listed
from headwater.model.catalog import SelectedProperty, Selection

Json = dict[str, Any]

_METHODS = ("FULL_TABLE", "INCREMENTAL", "LOG_BASED")


class Rules(Struct, frozen=True, kw_only=True):
    """What a plan says of a catalog. Empty `select` leaves the catalog's own selection (a custom catalog)."""

    select: tuple[str, ...] = ("*.*",)
    select_filter: tuple[str, ...] = ()
    metadata: Json = field(default_factory=dict)
    schema: Json = field(default_factory=dict)


class Pattern(Struct, frozen=True, kw_only=True):
    text: str
    stream: str
    path: tuple[str, ...]
    negated: bool

    def has_stream(self, stream: str) -> bool:
        return fnmatchcase(stream, self.stream)

    def has_path(self, path: Sequence[str]) -> bool:
        """A trailing `*` also stands for everything deeper."""
        return fnmatchcase(_joined(path), _joined(self.path))


def apply(catalog: Json, rules: Rules, *, plugin: str = "TAP", may_be_empty: bool = False) -> tuple[Json, list[str]]:
    """The catalog with the rules applied, and a warning for each literal name that matched nothing.

    Raises InputError (`nothing-selected`) when no stream is left to extract, unless it `may_be_empty`,
    (`unknown-replication-method`) for one that Singer does not know, and (`bad-catalog`) when it is no catalog.
    `plugin` is the name that hints speak of.
    """
    result: Json = _copied(catalog)
    streams = _streams(result)
    warnings: list[str] = []
    for stream in streams:
        stream.setdefault("metadata", [])
    _apply_schema(streams, rules.schema, warnings)
    if rules.select:
        _apply_select(streams, [parse(text) for text in rules.select], warnings)
    _apply_metadata(streams, rules.metadata, warnings)
    _apply_filter(streams, rules.select_filter, warnings)
    if not may_be_empty and not any(_is_wanted(stream) for stream in streams):
        names = [_name(stream) for stream in streams]
        raise InputError(
            "nothing-selected",
            "no stream is selected" if names else "the source offers no stream at all",
            why=f"the source has {listed(names)}" if names else "with its settings there is nothing that it may read",
            hint=f"headwater select {plugin} --list --all, then: headwater select {plugin} STREAM"
            if names
            else f"headwater config list {plugin}",
        )
    return result, warnings


def without_logs(catalog: Json) -> tuple[Json, list[str]]:
    """The catalog with streams in full that would be read from a database's log, and the names of those that are
    selected. For who only tries a source: who reads a log tells the server how far, and a pipeline whose state is
    behind that can't go on."""
    result: Json = _copied(catalog)
    found = []
    for stream in _streams(result):
        top = _entries(stream).get((), {})
        places = [(top, "replication-method"), (top, "forced-replication-method"), (stream, "replication_method")]
        logged = [(part, key) for part, key in places if part.get(key) == "LOG_BASED"]
        if logged and _is_wanted(stream):
            found.append(_name(stream))
        for part, key in logged:
            part[key] = "FULL_TABLE"
    return result, found


def listing(catalog: Json) -> list[SelectedProperty]:
    """All properties with their selection, in the catalog's order, nested ones dotted."""
    found = []
    for stream in _streams(catalog):
        wanted = _is_wanted(stream)
        entries = _entries(stream)
        for path, _ in _properties(stream):
            selection = _selection(entries.get(path, {}))
            if not wanted and selection is not Selection.UNSUPPORTED:
                selection = Selection.EXCLUDED
            found.append(SelectedProperty(stream=_name(stream), property=".".join(path), selection=selection))
    return found


def unmatched(catalog: Json, patterns: Sequence[str]) -> list[str]:
    """The patterns that match no stream, or no property of one, in order. `*.*` is none of them, nor is `!…`, which
    only takes away."""
    streams = _streams(catalog)
    found = []
    for pattern in map(parse, patterns):
        here = [stream for stream in streams if pattern.has_stream(_name(stream))]
        paths = (path for stream in here for path, _ in _properties(stream))
        is_met = bool(here) and (pattern.path == ("*",) or any(pattern.has_path(path) for path in paths))
        if not is_met and not pattern.negated and (pattern.stream, pattern.path) != ("*", ("*",)):
            found.append(pattern.text)
    return found


def parse(text: str) -> Pattern:
    body = text.removeprefix("!")
    stream, *path = _split(body)
    return Pattern(text=text, stream=stream, path=tuple(path) or ("*",), negated=body != text)


def _apply_schema(streams: list[Json], rules: Json, warnings: list[str]) -> None:
    for stream_pattern, properties in _two_levels(rules):
        matched = [stream for stream in streams if fnmatchcase(_name(stream), stream_pattern)]
        _warn_stream(stream_pattern, bool(matched), streams, warnings)
        for stream in matched:
            known = stream.setdefault("schema", {}).setdefault("properties", {})
            for name, schema in properties.items():
                targets = [name] if not _is_glob(name) else [key for key in known if fnmatchcase(key, name)]
                for target in targets:
                    known[target] = _copied(schema)


def _apply_select(streams: list[Json], patterns: list[Pattern], warnings: list[str]) -> None:
    includes = [pattern for pattern in patterns if not pattern.negated]
    excludes = [pattern for pattern in patterns if pattern.negated]
    for stream in streams:
        name = _name(stream)
        here = [pattern for pattern in includes if pattern.has_stream(name)]
        away = [pattern for pattern in excludes if pattern.has_stream(name)]
        wanted = bool(here) and not any(pattern.path == ("*",) for pattern in away)
        entries = _entries(stream)
        _made(stream, entries, ())["selected"] = wanted
        stream["selected"] = wanted
        for path, _ in _properties(stream):
            # Selecting `a.b.c` selects `a` and `a.b`, which it stands in.
            selected = any(
                pattern.has_path(path) or (len(pattern.path) > len(path) and _is_above(path, pattern.path))
                for pattern in here
            )
            _made(stream, entries, path)["selected"] = selected and not any(pattern.has_path(path) for pattern in away)
    for pattern in patterns:
        _warn_pattern(pattern, streams, warnings)


def _apply_metadata(streams: list[Json], rules: Json, warnings: list[str]) -> None:
    for tokens, value in _leaves(rules):
        if len(tokens) < 2:
            warnings.append(f"metadata `{tokens[0]}` names no stream and key")
            continue
        stream_pattern, *path, key = tokens
        if key == "replication-method" and isinstance(value, str) and value and value not in _METHODS:
            near = did_you_mean(value.upper(), _METHODS)
            raise InputError(
                "unknown-replication-method",
                f"there is no replication method `{value}`, which `metadata` wants for `{stream_pattern}`",
                hint=f"did you mean `{near}`?" if near else f"it is one of {listed(_METHODS)}",
            )
        if len(path) >= 2 and path[0] == "properties":
            path = [token for position, token in enumerate(path) if position % 2]
        matched = [stream for stream in streams if fnmatchcase(_name(stream), stream_pattern)]
        _warn_stream(stream_pattern, bool(matched), streams, warnings)
        for stream in matched:
            entries = _entries(stream)
            if not path:
                _made(stream, entries, ())[key] = value
                stream[key.replace("-", "_")] = value  # where taps of before the metadata look
                continue
            for found, _ in _properties(stream):
                if fnmatchcase(_joined(found), _joined(path)):
                    _made(stream, entries, found)[key] = value


def passes(stream: str, filters: Sequence[str]) -> bool:
    """Whether a run with these filters takes the stream."""
    includes = [_plain(text) for text in filters if not text.startswith("!")]
    excludes = [_plain(text[1:]) for text in filters if text.startswith("!")]
    kept = not includes or any(fnmatchcase(stream, pattern) for pattern in includes)
    return kept and not any(fnmatchcase(stream, pattern) for pattern in excludes)


def _apply_filter(streams: list[Json], filters: Sequence[str], warnings: list[str]) -> None:
    for stream in streams:
        if not passes(_name(stream), filters):
            _made(stream, _entries(stream), ())["selected"] = False
            stream["selected"] = False
    for pattern in _ordered(filters):
        _warn_stream(pattern, any(fnmatchcase(_name(stream), pattern) for stream in streams), streams, warnings)


def _ordered(filters: Sequence[str]) -> list[str]:
    """The patterns, those that take first."""
    return [_plain(text.removeprefix("!")) for text in sorted(filters, key=lambda text: text.startswith("!"))]


def _warn_pattern(pattern: Pattern, streams: list[Json], warnings: list[str]) -> None:
    matched = [stream for stream in streams if pattern.has_stream(_name(stream))]
    _warn_stream(pattern.stream, bool(matched), streams, warnings)
    if not matched or _is_glob(_joined(pattern.path)):
        return
    known = [path for stream in matched for path, _ in _properties(stream)]
    if pattern.path not in known:
        guess = did_you_mean(".".join(pattern.path), [".".join(path) for path in known])
        warnings.append(
            f"`{pattern.text}`: stream `{pattern.stream}` has no property `{'.'.join(pattern.path)}`"
            + (f"; did you mean `{guess}`?" if guess else "")
        )


def _warn_stream(pattern: str, matched: bool, streams: list[Json], warnings: list[str]) -> None:
    if matched or _is_glob(pattern):
        return
    guess = did_you_mean(pattern, [_name(stream) for stream in streams])
    text = f"stream `{pattern}` is not in the catalog" + (f"; did you mean `{guess}`?" if guess else "")
    if text not in warnings:
        warnings.append(text)


def _copied(value: Any) -> Any:
    """Plain JSON anew. `copy.deepcopy` takes ten times as long, which large catalogs feel."""
    if isinstance(value, dict):
        return {name: _copied(member) for name, member in value.items()}
    return [_copied(member) for member in value] if isinstance(value, list) else value


def _streams(catalog: Json) -> list[Json]:
    streams = catalog.get("streams")
    if not isinstance(streams, list) or not all(
        isinstance(stream, dict) and ("tap_stream_id" in stream or "stream" in stream) for stream in streams
    ):
        raise InputError("bad-catalog", "the catalog has no list `streams` with a `tap_stream_id` each")
    return streams


def _name(stream: Json) -> str:
    return str(stream.get("tap_stream_id") or stream["stream"])


def _properties(stream: Json) -> Iterator[tuple[tuple[str, ...], Json]]:
    """Every property with its path, parents first."""
    pending: list[tuple[tuple[str, ...], Any]] = [((), stream.get("schema"))]
    while pending:
        path, schema = pending.pop()
        if path:
            yield path, schema
        if isinstance(schema, dict) and isinstance(properties := schema.get("properties"), dict):
            pending += [((*path, name), below) for name, below in reversed(properties.items())]


def _entries(stream: Json) -> dict[tuple[str, ...], Json]:
    """The stream's metadata by path."""
    return {
        tuple(entry.get("breadcrumb", ())[1::2]): entry.setdefault("metadata", {})
        for entry in reversed(stream.get("metadata") or ())
        if isinstance(entry, dict)
    }


def _made(stream: Json, entries: dict[tuple[str, ...], Json], path: tuple[str, ...]) -> Json:
    """The metadata at a path, made when missing.

    A top-level property that the source says nothing of is automatic, as in Meltano. A stream is not: nobody could
    then leave it out.
    """
    if path not in entries:
        entries[path] = {"inclusion": "automatic" if len(path) == 1 else "available"}
        stream["metadata"].append({"breadcrumb": _breadcrumb(path), "metadata": entries[path]})
    return entries[path]


def _breadcrumb(path: Sequence[str]) -> list[str]:
    return [part for name in path for part in ("properties", name)]


def _is_wanted(stream: Json) -> bool:
    metadata = _entries(stream).get((), {})
    if metadata.get("inclusion") == "unsupported":
        return False
    return bool(metadata.get("selected", stream.get("selected", metadata.get("selected-by-default", False))))


def _selection(metadata: Json) -> Selection:
    inclusion = metadata.get("inclusion")
    if inclusion in ("automatic", "unsupported"):
        return Selection(inclusion)
    selected = metadata.get("selected", metadata.get("selected-by-default", False))
    return Selection.SELECTED if selected else Selection.EXCLUDED


def _is_above(path: Sequence[str], below: Sequence[str]) -> bool:
    return all(fnmatchcase(name, pattern) for name, pattern in zip(path, below, strict=False))


def _joined(path: Sequence[str]) -> str:
    return "\0".join(path)


def _is_glob(pattern: str) -> bool:
    return any(char in pattern for char in "*?[")


def _split(text: str) -> list[str]:
    r"""Cut at dots, but not at `\.`, which becomes a dot."""
    return [_plain(part) for part in re.split(r"(?<!\\)\.", text)]


def _plain(text: str) -> str:
    return text.replace("\\.", ".")


def _leaves(rules: Json, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """`{"a": {"b.c": 1}}` → `("a", "b", "c"), 1`."""
    for key, value in rules.items():
        tokens = (*above, *_split(key))
        if isinstance(value, dict):
            yield from _leaves(value, tokens)
        else:
            yield tokens, value


def _two_levels(rules: Json) -> Iterator[tuple[str, Json]]:
    """`{"a": {"b": schema}}` or `{"a.b": schema}` → `"a", {"b": schema}`."""
    for key, value in rules.items():
        stream, *path = _split(key)
        if isinstance(value, dict):
            yield (stream, {".".join(path): value}) if path else (stream, value)
