"""Change a YAML file and leave every other byte of it alone.

The change is made on plain data; what then differs is cut into the text at its place. A round trip through a YAML
library would rewrite quotes, widths and indentation everywhere, and it hangs a comment on the value above it: there,
removing one plugin removes the comment over the next.
"""

from __future__ import annotations

import copy
import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from headwater.base.errors import InputError, Where
from headwater.base.files import locked, write_atomic
from headwater.base.yaml import Document, Entry, Node, decode, parse, read
from headwater.base.yaml_write import Style, block_lines, value_lines

_COLON = re.compile(r"[ \t]*:")


class _Cut(NamedTuple):
    """Characters `start` to `end` become `text`."""

    start: int
    end: int
    text: str


class _Whole(Exception):  # noqa: N818 - a signal, not an error
    """The collection cannot be changed in place; its value is written anew."""


class _UnusualLayout(Exception):  # noqa: N818 - a signal, not an error
    """YAML that people do not write; it is refused, since writing it anew would cost the comments around it."""


def edit(path: Path, change: Callable[[dict[str, Any]], None], *, lock: Path, shown: str | None = None) -> None:
    """Apply `change` to the file's data and write it back, under `lock`, so that two writers at once both succeed.

    All that `change` does not touch stays byte for byte: comments, order, quotes, line ends. New keys go behind the
    last key of their mapping. A comment above a removed entry stays. The file's mode stays, a symbolic link stays a
    link. Nothing is written when the data is the same afterwards, or when `change` raises.

    Raises InputError (`cannot-edit-yaml`) when the change touches what a YAML anchor shares, and as `read` does.
    """
    with locked(lock):
        document = read(path, shown=shown)
        target = path.resolve()
        content = target.read_bytes()
        text = changed(document, decode(content, document.file), change)
        if text != document.source:
            mark = b"\xef\xbb\xbf" if content.startswith(b"\xef\xbb\xbf") else b""
            write_atomic(target, mark + text.encode(), mode=target.stat().st_mode & 0o777)


def changed(document: Document, source: str, change: Callable[[dict[str, Any]], None]) -> str:
    """`source`, the text that `document` was read from, with the change made."""
    if document.data is not None and not isinstance(document.data, dict):
        raise InputError("wrong-type", "the file must be a mapping", where=Where(document.file, 1))
    wanted: dict[str, Any] = copy.deepcopy(document.data or {})
    change(wanted)
    if _same(document.data or {}, wanted):
        return source
    newline = "\r\n" if "\r\n" in source else "\n"
    try:
        text = _Editor(document, newline).apply(wanted)
        result = parse(text, document.file).data or {}
    except (_UnusualLayout, InputError):
        text, result = source, None
    if not _same(result, wanted):
        raise InputError(
            "cannot-edit-yaml",
            f"cannot change `{document.file}` at this place: a YAML anchor or an unusual layout stands there",
            where=Where(document.file),
            hint="make the change in your editor",
        )
    return text


class _Editor:
    """Finds where old and wanted data differ and collects the cuts."""

    def __init__(self, document: Document, newline: str) -> None:
        self._source = document.source
        self._root = document.root
        self._newline = newline
        self._style = _style_of(document.root)
        self._cuts: list[_Cut] = []

    def apply(self, wanted: dict[str, Any]) -> str:
        if self._root.entries is None:
            return self._ended(self._source) + self._lines(block_lines(wanted, self._style), 0)
        try:
            self._mapping(self._root, wanted)
        except _Whole:
            end = self._end(self._root)
            text = self._lines(block_lines(wanted, self._style), 0) if wanted else f"{{}}{self._newline}"
            self._cuts = [_Cut(self._root.start.index, self._line_end(end), text)]
        parts, position = [], 0
        for cut in sorted(self._cuts, key=lambda cut: cut.start):  # stable: inner additions were collected first
            parts += [self._source[position : cut.start], cut.text]
            position = max(position, cut.end)
        return "".join([*parts, self._source[position:]])

    def _mapping(self, node: Node, wanted: dict[Any, Any]) -> None:
        entries = node.entries or {}
        kept = [key for key in entries if key in wanted]
        if node.is_flow or not kept:
            raise _Whole
        if any(key not in wanted for key in node.merged or {}):
            raise _Whole
        keys = list(entries)
        for position, key in enumerate(keys):
            entry = entries[key]
            if key in wanted:
                if not _same(entry.node.value, wanted[key]):
                    self._value(entry.node, wanted[key], self._colon(entry), node.start.column)
            else:
                following = entries[keys[position + 1]].start.index if position + 1 < len(keys) else None
                self._remove(entry.start.index, self._end(entry.node, entry.end.index), following)
        merged = node.merged or {}
        added = {
            key: value
            for key, value in wanted.items()
            if key not in entries and not (key in merged and _same(node.value[key], value))
        }
        if added:
            last = entries[keys[-1]]
            self._insert(
                max(self._end(last.node, last.end.index), node.merge_end),
                block_lines(added, self._style),
                node.start.column,
            )

    def _sequence(self, node: Node, wanted: list[Any]) -> None:
        items = node.items or []
        if node.is_flow or not items or not wanted:
            raise _Whole
        dashes = self._dashes(node)
        matcher = difflib.SequenceMatcher(
            None, [_identity(item.value) for item in items], [_identity(item) for item in wanted], autojunk=False
        )
        for verb, old_from, old_to, new_from, new_to in matcher.get_opcodes():
            if verb == "equal" or (verb == "replace" and old_to - old_from == new_to - new_from):
                for offset in range(old_to - old_from):
                    item = items[old_from + offset]
                    self._value(item, wanted[new_from + offset], None, item.start.column)
                continue
            for position in range(old_from, old_to):
                following = dashes[position + 1] if position + 1 < len(items) else None
                self._remove(dashes[position], self._end(items[position]), following)
            lines = block_lines(wanted[new_from:new_to], self._style)
            if not lines:
                continue
            if old_from:
                self._insert(self._end(items[old_from - 1]), lines, node.start.column)
            elif self._begins_line(dashes[0]):
                start = self._line_start(dashes[0])
                self._cuts.append(_Cut(start, start, self._lines(lines, node.start.column)))
            else:
                raise _Whole

    def _value(self, node: Node, wanted: Any, colon: int | None, column: int) -> None:
        """Turn a value into `wanted`. `colon` is where the `:` of its key ends, None for a list item; `column` is
        that of the mapping which holds it, or of the item itself."""
        if _same(node.value, wanted):
            return
        before = len(self._cuts)
        try:
            if node.entries is not None and isinstance(wanted, dict) and not node.is_alias:
                self._mapping(node, wanted)
            elif node.items is not None and isinstance(wanted, list) and not node.is_alias:
                self._sequence(node, wanted)
            else:
                self._replace(node, wanted, colon, column)
        except _Whole:
            del self._cuts[before:]
            self._replace(node, wanted, colon, column)

    def _replace(self, node: Node, wanted: Any, colon: int | None, column: int) -> None:
        start, end = node.start.index, self._end(node, colon)
        was_flow = node.is_flow and bool(node.value)
        head, body = value_lines(wanted, self._style, flow=was_flow)
        if colon is None:
            if not head:  # a block collection begins on the line of its dash
                head, body = body[0], body[1:]
            text = head if start > 0 and self._source[start - 1].isspace() else f" {head}"
        else:
            start, text = colon, f" {head}" if head else ""
        self._cuts.append(_Cut(start, end, text))
        if body:
            self._insert(end, body, column)

    def _remove(self, start: int, end: int, following: int | None) -> None:
        """Take out an entry that begins at `start`. One behind a dash gives its place to the one that follows."""
        if self._begins_line(start):
            self._cuts.append(_Cut(self._line_start(start), self._line_end(end), ""))
        elif following is None:
            raise _Whole
        else:
            self._cuts.append(_Cut(start, following, ""))

    def _insert(self, after: int, lines: list[str], column: int) -> None:
        place = self._line_end(after)
        text = self._lines(lines, column)
        if place and not self._source[:place].endswith("\n"):
            text = self._newline + text
        self._cuts.append(_Cut(place, place, text))

    def _lines(self, lines: list[str], column: int) -> str:
        return "".join(f"{' ' * column}{line}{self._newline}" if line else self._newline for line in lines)

    def _ended(self, text: str) -> str:
        return text if not text or text.endswith("\n") else text + self._newline

    def _end(self, node: Node, at_least: int | None = None) -> int:
        """Where the text of a value ends: without the blank lines and comments below it."""
        if node.is_alias or node.is_flow or (node.entries is None and node.items is None):
            start, end = int(node.start.index), int(node.end.index)
            if self._source[end - 1 : end] == "\n" and end > start:  # a block scalar runs up to the next token
                text = self._source[start:end]
                if "+" not in text.split("\n", 1)[0]:
                    end = start + len(text.rstrip())
                else:
                    end -= 1
            return max(end, at_least or 0)
        if node.items is not None:
            return max((self._end(item) for item in node.items), default=int(node.end.index))
        ends = [self._end(entry.node, int(entry.end.index)) for entry in (node.entries or {}).values()]
        # A `<<` line is no entry of its own, and the mapping may end with it.
        return max([*ends, node.merge_end])

    def _colon(self, entry: Entry) -> int:
        """Where the `:` of a key ends."""
        match = _COLON.match(self._source, entry.end.index)
        if match is None:  # a key in the long form, `? key`
            raise _UnusualLayout
        return match.end()

    def _dashes(self, node: Node) -> list[int]:
        """Where the `-` of each item stands; the parser tells it for the first one only."""
        found = [node.start.index]
        column = node.start.column
        for item in (node.items or [])[1:]:
            start = self._line_start(item.start.index)
            while self._source[start : start + column].strip(" ") or self._source[start + column] != "-":
                if start <= found[-1]:
                    raise _UnusualLayout
                start = self._line_start(start - 1)
            found.append(start + column)
        return found

    def _line_start(self, index: int) -> int:
        return self._source.rfind("\n", 0, index) + 1

    def _line_end(self, index: int) -> int:
        """The start of the next line."""
        found = self._source.find("\n", index)
        return len(self._source) if found < 0 else found + 1

    def _begins_line(self, index: int) -> bool:
        return not self._source[self._line_start(index) : index].strip(" ")


def _same(one: Any, other: Any) -> bool:
    """Equal, and of the same types: 1, 1.0 and true differ. The order of keys does not count."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other or one != one)  # noqa: PLR0124 - not a number is the same as itself here


def _identity(item: Any) -> str:
    """What makes a list item the same one before and after: its name, else its whole value."""
    if isinstance(item, dict) and isinstance(item.get("name"), str):
        return f"name {item['name']}"
    return repr(item)


def _style_of(root: Node) -> Style:
    """The indentation that most places of the file use."""
    mappings: Counter[int] = Counter()
    sequences: Counter[int] = Counter()
    for node in _blocks(root):
        for entry in (node.entries or {}).values():
            child = entry.node
            if child.is_flow or child.is_alias or child.start.line == entry.start.line:
                continue
            if child.entries:
                mappings[child.start.column - node.start.column] += 1
            elif child.items:
                sequences[child.start.column - node.start.column] += 1
    default = Style()
    return Style(
        max(1, mappings.most_common(1)[0][0]) if mappings else default.mapping,
        max(0, sequences.most_common(1)[0][0]) if sequences else default.sequence,
    )


def _blocks(node: Node) -> Iterator[Node]:
    if node.is_alias or node.is_flow:
        return
    yield node
    for entry in (node.entries or {}).values():
        yield from _blocks(entry.node)
    for item in node.items or []:
        yield from _blocks(item)
