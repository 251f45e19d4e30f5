"""YAML as people write it in project files: read fast, with the line of everything, and with limits.

Scalars are resolved as in YAML 1.2 (the core schema, plus `_` in numbers and merge keys): `on` and `yes` are text,
`012` is twelve. There are no dates: `2024-01-01` stays the text that was written.
`yaml_edit` changes such files.
"""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any, NoReturn

import yaml
from msgspec import Struct

from headwater.base.errors import EnvironmentProblemError, InputError, Where

MAX_BYTES = 4 * 1024 * 1024  # nobody writes that by hand; it keeps a wrong `include_paths` from eating the memory
MAX_DEPTH = 100
MAX_ALIASED = 100_000  # nodes that aliases and merge keys may add up to: far above real use, far below a bomb

# The parser of libyaml is some ten times faster; builds of PyYAML without it exist.
_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_WORDS: dict[str, Any] = {
    "": None,
    "~": None,
    **dict.fromkeys(("null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?(?:0b[01_]+|0o[0-7_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*)\Z")
_FLOAT = re.compile(
    r"(?:[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?|\.(?:inf|Inf|INF))"
    r"|\.(?:nan|NaN|NAN))\Z"
)
_COLLECTIONS = (dict, list)
_NUMBER_STARTS = frozenset("-+.0123456789")
_TAG = "tag:yaml.org,2002:"
_TAGGED: dict[str, tuple[type, ...]] = {
    f"{_TAG}int": (int,),
    f"{_TAG}float": (int, float),
    f"{_TAG}bool": (bool,),
    f"{_TAG}null": (type(None),),
}
_QUOTES = "check the indentation, and put quotes around a value that holds `: `"
_HINTS = {
    "found character that cannot start any token": "put quotes around a value that starts with `@`, `%` or a backtick",
    "mapping values are not allowed in this context": _QUOTES,
    "mapping values are not allowed here": _QUOTES,
    "did not find expected key": "check the indentation of this line and for a quote left open above it",
    "could not find expected ':'": "a key needs a `:` behind it; check for a quote left open above",
    "what opens here is not closed": "close the bracket or quote",
}


class Entry(Struct):
    """One `key: value` of a mapping; `start` and `end` are those of the key."""

    start: Any  # a mark of PyYAML: `index` in characters, `line` and `column` from 0
    end: Any
    node: Node


class Node(Struct):
    """A value with its place. For a block collection `end` is meaningless: it ends where its last value ends.

    `entries` holds what stands in the mapping itself, `merged` what merge keys (`<<`) bring in.
    """

    value: Any
    start: Any
    end: Any
    entries: dict[Any, Entry] | None = None
    merged: dict[Any, Node] | None = None
    items: list[Node] | None = None
    is_flow: bool = False
    is_alias: bool = False
    size: int = 1
    merge_end: int = 0  # where the last `<<` of the mapping ends


class Document(Struct, frozen=True):
    """`data` is plain Python: dict, list, str, int, float, bool, None. `file` is the name used in errors."""

    file: str
    data: Any
    root: Node
    source: str

    def line(self, path: tuple[Any, ...]) -> int:
        """The line, from 1, of the key or list item at `path`; of its nearest parent where there is no such place."""
        node, line = self.root, self.root.start.line
        for part in path:
            if node.items is not None and isinstance(part, int) and part < len(node.items):
                node = node.items[part]
                line = node.start.line
            elif node.entries is not None and part in node.entries:
                entry = node.entries[part]
                node, line = entry.node, entry.start.line
            elif node.merged is not None and part in node.merged:
                node = node.merged[part]
                line = node.start.line
            else:
                break
        return int(line) + 1

    def where(self, *path: Any) -> Where:
        return Where(self.file, self.line(path))

    def text(self, path: tuple[Any, ...]) -> str | None:
        """The scalar at `path` as it is written (`3.10`, not 3.1), without quotes; None for null and collections.

        Exists because `python: 3.10` and `PORT: 0123` mean what they say.
        """
        node: Node | None = self.root
        for part in path:
            if node is None:
                return None
            if node.items is not None:
                node = node.items[part]
            elif node.entries is not None and part in node.entries:
                node = node.entries[part].node
            else:
                node = (node.merged or {}).get(part)
        if node is None or node.value is None or isinstance(node.value, dict | list):
            return None
        if isinstance(node.value, str):
            return node.value
        if node.is_alias:
            return str(node.value)
        return re.sub(r"\A(?:[&!]\S*\s+)*", "", self.source[node.start.index : node.end.index]).strip("'\"")


def read(path: Path, *, shown: str | None = None) -> Document:
    """Read a file; `shown` is its name in errors. The data of an empty file is None.

    Raises InputError (`broken-yaml`, `duplicate-key`, `yaml-too-large`, `file-not-found`) with file and line, and
    EnvironmentProblemError (`cannot-read`).
    """
    name = shown or str(path)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise InputError("file-not-found", f"there is no file `{name}`", where=Where(name)) from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise EnvironmentProblemError(
            "cannot-read", f"cannot read `{name}`: {reason}", where=Where(name), hint=f"check it: ls -l {path}"
        ) from error
    if len(content) > MAX_BYTES:
        raise InputError(
            "yaml-too-large",
            f"`{name}` is larger than {MAX_BYTES // 1024 // 1024} MB",
            where=Where(name),
            hint="split it: list more files under `include_paths`",
        )
    return parse(decode(content, name), name)


def decode(content: bytes, shown: str) -> str:
    """The text of a file, without a byte order mark."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            "broken-yaml",
            "the file is not UTF-8",
            where=Where(shown, line),
            why=f"byte 0x{content[error.start]:02x} in line {line}",
            hint="save it as UTF-8 in your editor",
        ) from error


def parse(source: str, shown: str) -> Document:
    """`read` for text that is already here."""
    composer = _Composer(source, shown)
    try:
        root = composer.document()
    except yaml.MarkedYAMLError as error:
        _refuse_broken(error, source, shown)
    except yaml.reader.ReaderError as error:
        # The position counts bytes of UTF-8 in libyaml and characters in the Python reader.
        before = source.encode()[: error.position].decode(errors="ignore")
        raise InputError(
            "broken-yaml",
            f"the YAML is broken: {error.reason}",
            where=Where(shown, before.count("\n") + 1),
            hint="remove the control character",
        ) from error
    return Document(shown, root.value, root, source)


def plain(text: str) -> Any:
    """What an unquoted scalar means."""
    first = text[:1]
    if first in _NUMBER_STARTS and text:
        if _INTEGER.match(text):
            return _integer(text)
        if _FLOAT.match(text):
            digits = text.replace("_", "").lower()
            return float(digits.replace(".inf", "inf").replace(".nan", "nan"))
        return text
    return _WORDS.get(text, text)


def _integer(text: str) -> Any:
    digits = text.replace("_", "").lower()
    sign, digits = (digits[0], digits[1:]) if digits[0] in "+-" else ("", digits)
    base = {"0b": 2, "0o": 8, "0x": 16}.get(digits[:2], 10)
    try:
        return int(sign + (digits if base == 10 else digits[2:]), base)
    except ValueError:  # `0x_`, or more digits than Python reads: text it is
        return text


class _Composer:
    """Builds nodes from the parser's events. Not PyYAML's own nodes: those hide where an alias stands, and follow
    nesting and aliases without a limit."""

    def __init__(self, source: str, shown: str) -> None:
        self._shown = shown
        self._loader = _Loader(source)
        self._next = self._loader.get_event
        self._anchors: dict[str, Node] = {}
        self._aliased = 0

    def document(self) -> Node:
        try:
            self._next()  # the stream starts
            event = self._next()
            if type(event) is yaml.StreamEndEvent:
                return Node(None, event.start_mark, event.end_mark)
            root = self._node(self._next(), 0)
            self._next()  # the document ends
            event = self._next()
            if type(event) is not yaml.StreamEndEvent:
                raise InputError(
                    "broken-yaml",
                    "a second YAML document starts here, a file holds one",
                    where=Where(self._shown, event.start_mark.line + 1),
                    hint="move it into a file of its own, or remove the `---`",
                )
            return root
        finally:
            self._loader.dispose()

    def _node(self, event: Any, depth: int) -> Node:
        kind = type(event)
        if kind is yaml.AliasEvent:
            return self._alias(event)
        if kind is yaml.ScalarEvent:
            value = plain(event.value) if event.implicit[0] else event.value
            if event.tag is not None and event.tag != "!":
                value = self._tagged(event)
            node = Node(value, event.start_mark, event.end_mark)
        elif depth >= MAX_DEPTH:
            self._refuse(event.start_mark, f"nested more than {MAX_DEPTH} levels deep")
        elif kind is yaml.MappingStartEvent:
            node = self._mapping(event, depth)
        else:
            node = self._sequence(event, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _mapping(self, start: Any, depth: int) -> Node:
        self._check_tag(start, "map")
        value: dict[Any, Any] = {}
        entries: dict[Any, Entry] = {}
        merged: dict[Any, Node] = {}
        size, merge_end = 1, 0
        while type(event := self._next()) is not yaml.MappingEndEvent:
            key_node = self._node(event, depth + 1)
            key = key_node.value
            node = self._node(self._next(), depth + 1)
            size += node.size
            if isinstance(key, _COLLECTIONS):
                self._refuse(event.start_mark, "a list or mapping cannot be a key")
            if key == "<<" and type(event) is yaml.ScalarEvent and event.implicit[0]:
                merged = self._merge(node) | merged
                merge_end = node.end.index
                continue
            if key in entries:
                first = entries[key].start.line + 1
                raise InputError(
                    "duplicate-key",
                    f"`{key}` is written twice in one mapping",
                    where=Where(self._shown, event.start_mark.line + 1),
                    why=f"first in line {first}, again in line {event.start_mark.line + 1}",
                    hint="keep one of the two",
                )
            entries[key] = Entry(event.start_mark, event.end_mark, node)
            value[key] = node.value
        if merged:
            size += self._count(sum(node.size for node in merged.values()), start.start_mark)
            value = {key: copy.deepcopy(node.value) for key, node in merged.items() if key not in entries} | value
        return Node(
            value,
            start.start_mark,
            event.end_mark,
            entries,
            merged or None,
            is_flow=bool(start.flow_style),
            size=size,
            merge_end=merge_end,
        )

    def _merge(self, node: Node) -> dict[Any, Node]:
        """What `<<: *base` or `<<: [*first, *second]` brings in; the first one named wins."""
        if node.entries is None and node.items is None:
            self._refuse(node.start, "`<<` takes a mapping or a list of mappings")
        found: dict[Any, Node] = {}
        for source in [node] if node.items is None else node.items:
            if source.entries is None:
                self._refuse(source.start, "`<<` takes a mapping or a list of mappings")
            own = {key: entry.node for key, entry in source.entries.items()}
            found = (source.merged or {}) | own | found
        return found

    def _sequence(self, start: Any, depth: int) -> Node:
        self._check_tag(start, "seq")
        items: list[Node] = []
        while type(event := self._next()) is not yaml.SequenceEndEvent:
            items.append(self._node(event, depth + 1))
        return Node(
            [item.value for item in items],
            start.start_mark,
            event.end_mark,
            items=items,
            is_flow=bool(start.flow_style),
            size=1 + sum(item.size for item in items),
        )

    def _alias(self, event: Any) -> Node:
        target = self._anchors.get(event.anchor)
        if target is None:
            self._refuse(event.start_mark, f"`*{event.anchor}` stands before its anchor `&{event.anchor}` is complete")
        self._count(target.size, event.start_mark)
        return Node(
            copy.deepcopy(target.value),
            event.start_mark,
            event.end_mark,
            target.entries,
            target.merged,
            target.items,
            is_alias=True,
            size=target.size,
        )

    def _count(self, size: int, mark: Any) -> int:
        self._aliased += size
        if self._aliased > MAX_ALIASED:
            self._refuse(mark, f"aliases add up to more than {MAX_ALIASED} values")
        return size

    def _tagged(self, event: Any) -> Any:
        if event.tag == f"{_TAG}str":
            return event.value
        value = plain(event.value)
        wanted = _TAGGED.get(event.tag)
        if wanted is None:
            self._refuse(event.start_mark, f"the tag `{event.tag.replace(_TAG, '!!')}` has no meaning here")
        if not isinstance(value, wanted):
            self._refuse(event.start_mark, f"`{event.value}` is no {event.tag.removeprefix(_TAG)}")
        return value

    def _check_tag(self, event: Any, kind: str) -> None:
        if event.tag not in (None, "!", f"{_TAG}{kind}"):
            self._refuse(event.start_mark, f"the tag `{event.tag.replace(_TAG, '!!')}` has no meaning here")

    def _refuse(self, mark: Any, problem: str) -> NoReturn:
        raise InputError("broken-yaml", problem, where=Where(self._shown, mark.line + 1))


def _refuse_broken(error: yaml.MarkedYAMLError, source: str, shown: str) -> NoReturn:
    mark, opened = error.problem_mark or error.context_mark, error.context_mark
    problem = error.problem or "it cannot be parsed"
    if mark and opened and opened.line != mark.line and re.search("flow|quoted", error.context or ""):
        mark, problem = opened, "what opens here is not closed"
    line, column = (mark.line, mark.column) if mark else (0, 0)
    text = (source.splitlines() or [""])[line : line + 1]
    hint = _HINTS.get(problem, "correct this line or the one above it")
    if text and text[0][column : column + 1] == "\t":
        hint = "indent with spaces, not tabs"
    raise InputError(
        "broken-yaml",
        f"the YAML is broken: {problem}",
        where=Where(shown, line + 1),
        why=f"{text[0].expandtabs(1)}\n{' ' * column}^" if text else None,
        hint=hint,
    ) from error
