"""XML: one row for each element at the path `records` (`catalog/book`).

Attributes, children and their attributes are columns, nested ones as `a__b`, under their names without a namespace.
The text of an element that has more than text is a column of its own name. A child that comes several times in one
record makes its column JSON: an array in each row. Blanks around a text don't count, and an empty one is null.

A file that declares entities is refused, nothing outside of it is ever read, and what was delivered is forgotten.
"""

from __future__ import annotations

import itertools
import operator
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any
from xml.parsers import expat

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from headwater.base.errors import InputError, Where
from headwater.connect.sources import text_types
from headwater.connect.sources.files import written
from headwater.connect.sources.files.by_field import missing
from headwater.connect.sources.files.find import DataFile
from headwater.connect.sources.files.format import Piece
from headwater.connect.sources.files.lines import is_utf8, malformed
from headwater.connect.sources.files.open import changed_while_read, opened
from headwater.connect.sources.text_types import NOTHING, Kind, Look
from headwater.connect.types import is_json

_BLOCK = 1 << 20
_LARGEST_RECORD = 64 << 20
_DEPTH = 5
_NO_TEXT = pa.scalar(None, pa.string())
_TAG = operator.attrgetter("tag")
_ATTRIBUTES = operator.attrgetter("attrib")


class _Columns(msgspec.Struct, frozen=True):
    """Records as columns of text: "" where a record has the element and nothing in it, null where it has not.
    `repeated` are those with JSON arrays, in every row."""

    texts: dict[str, pa.Array]
    repeated: dict[str, pa.Array]
    rows: int
    size: int


def looks(file: DataFile, takes: Callable[[str], bool], most: int | None = None) -> dict[str, Look]:
    """As in `format.Format`."""
    seen: dict[str, Look] = {}
    arrays: set[str] = set()
    looked_at = 0
    for block in _blocks(file, min(_BLOCK, most or _BLOCK)):
        for name, texts in block.texts.items():
            if takes(name):
                look = written.looked_at(_given(texts, file), file.dialect)
                seen[name] = text_types.joined(seen.get(name, NOTHING), look)
        arrays |= {name for name in block.repeated if takes(name)}
        looked_at += block.size
        if most is not None and looked_at >= most:
            break
    return seen | dict.fromkeys(arrays, Look(Kind.JSON))


def batches(file: DataFile, columns: pa.Schema, batch_bytes: int) -> Iterator[Piece]:
    """As in `format.Format`; elements that a record does not have are told from empty ones."""
    for block in _blocks(file, min(batch_bytes, _BLOCK)):
        nothing = pa.nulls(block.rows, pa.string())
        arrays, given = [], []
        for field in columns:
            plain = block.texts.get(field.name, nothing)
            # Where an earlier run has made it a column of text, only a row with several is an array.
            texts = block.repeated.get(field.name, plain)
            given.append(texts)
            if is_json(field):
                arrays.append(texts if field.name in block.repeated else _as_arrays(plain))
            else:
                arrays.append(_converted(file, field, _given(texts, file)))
        batch = pa.RecordBatch.from_arrays(arrays, schema=columns)
        yield Piece(batch=batch, size=block.size, missing=missing(columns.names, given, block.rows))


def _given(texts: pa.Array, file: DataFile) -> pa.Array:
    nulls = pa.array(["", *file.dialect.null_values], pa.string())
    return pc.if_else(pc.is_in(texts, nulls), _NO_TEXT, texts)


def _converted(file: DataFile, field: pa.Field, values: pa.Array) -> pa.Array:
    try:
        return written.converted(values, field.type, file.dialect)
    except pa.ArrowInvalid as error:
        raise changed_while_read(file, str(error)) from error


def _as_arrays(texts: pa.Array) -> pa.Array:
    raw = msgspec.json.decode(msgspec.json.encode(texts.to_pylist()), type=list[msgspec.Raw])
    values = pa.array(list(map(bytes, raw)), pa.binary()).cast(pa.string())
    arrays = pc.binary_join_element_wise("[", values, "]", "")
    return pc.if_else(pc.fill_null(pc.not_equal(texts, ""), fill_value=False), arrays, _NO_TEXT)


def _blocks(file: DataFile, block: int) -> Iterator[_Columns]:
    builder = ET.TreeBuilder()
    top = builder.start("", {})  # holds the root as soon as it begins
    parser = ET.XMLParser(target=builder, encoding=_encoding(file))  # noqa: S314 - likewise
    guard: _Guard | None = _Guard(file)
    path = [part for part in (file.dialect.records or "").split("/") if part]
    with opened(file) as unpacked:
        size = held = 0
        is_over = False
        while not is_over:
            data = unpacked.read(block)
            is_over = not data
            if is_over and file.optional and not unpacked.position:
                return
            guard = guard.checked(data) if guard is not None else None
            try:
                parser.feed(data) if data else parser.close()
            except ET.ParseError as error:
                raise malformed(file, str(error), error.position[0], hint="mend the file") from error
            size, held = size + len(data), held + len(data)
            records = _harvest(top, path, whole=is_over)
            if records:
                yield _columns(file, records, size)
                size = held = 0
            elif held > _LARGEST_RECORD and _open_record(top, path) is not None:
                raise malformed(file, f"a record is larger than {_LARGEST_RECORD >> 20} MiB")
        if len(top) and _local(top[0].tag) != path[0]:
            raise InputError(
                "unknown-column",
                f"the root of `{file.label}` is `{_local(top[0].tag)}`, not `{path[0]}`",
                where=Where(file.shown),
                hint=f"set `records` to the path of the element that is a row: {_local(top[0].tag)}/…",
            )


def _encoding(file: DataFile) -> str | None:
    """None leaves it to the file's own declaration."""
    return None if is_utf8(file.dialect.encoding) else file.dialect.encoding


class _Guard:
    """Looks at the beginning of a file, up to its root: entities can be declared only there."""

    def __init__(self, file: DataFile) -> None:
        self._file = file
        self._is_past = False
        self._parser = expat.ParserCreate(_encoding(file))
        self._parser.EntityDeclHandler = self._refuse
        self._parser.StartElementHandler = self._pass

    def checked(self, data: bytes) -> _Guard | None:
        """None as soon as there is nothing more to look for. Raises InputError (`entities-declared`)."""
        try:
            self._parser.Parse(data, not data)
        except expat.ExpatError:
            return None  # the one who reads it all says why
        return None if self._is_past else self

    def _pass(self, *_: Any) -> None:
        self._is_past = True

    def _refuse(self, name: str, *_: Any) -> None:
        raise InputError(
            "entities-declared",
            f"`{self._file.label}` declares the entity `{name}`",
            where=Where(self._file.shown, self._parser.CurrentLineNumber),
            why="with entities a small file can grow without end, or pull in other files",
            hint="have the file written without a document type",
        )


def _harvest(top: ET.Element, path: list[str], *, whole: bool) -> list[ET.Element]:
    """Takes out the records that are complete, and what is complete beside them: all but the last element on each level
    is. `whole`: so is the last."""
    still_open = None if whole else _open_record(top, path)
    found = [top]
    for name in path:
        found = list(itertools.chain.from_iterable(_named(parent, name) for parent in found))
    if found and found[-1] is still_open:
        found.pop()
    _forget(top, path)
    return found


def _named(parent: ET.Element, name: str) -> list[ET.Element]:
    tags = [tag for tag in dict.fromkeys(map(_TAG, parent)) if isinstance(tag, str) and _local(tag) == name]
    return list(itertools.chain.from_iterable(map(parent.findall, tags)))


def _forget(top: ET.Element, path: list[str]) -> None:
    """Leaves nothing but the open element of each level, and that as it is where it is a record."""
    node = top
    for name in path:
        del node[:-1]
        if not len(node) or _local(node[0].tag) != name:
            break
        node = node[0]
    else:
        return
    while len(node):
        del node[:-1]
        node = node[0]


def _open_record(top: ET.Element, path: list[str]) -> ET.Element | None:
    """The record that is being read, if it is one."""
    node = top
    for name in path:
        if not len(node) or _local(node[-1].tag) != name:
            return None
        node = node[-1]
    return node


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


class _Found:
    """Columns in the making."""

    def __init__(self, file: DataFile) -> None:
        self._file = file
        self.texts: dict[str, pa.Array] = {}
        self.repeated: dict[str, pa.Array] = {}

    def add(self, name: str, values: Iterable[str | None]) -> None:
        found = pc.utf8_trim_whitespace(pa.array(list(values), pa.string()))
        held = self.texts.get(name)
        if held is not None:
            both = pc.and_(pc.not_equal(held, ""), pc.not_equal(found, ""))
            if pc.any(both).as_py():
                raise malformed(self._file, f"a record has two values for `{name}`, be it an attribute and an element")
            found = pc.coalesce(pc.if_else(pc.equal(held, ""), _NO_TEXT, held), found, held)
        self.texts[name] = found

    def spread(self, elements: list[ET.Element], prefix: str, own: str, depth: int) -> None:
        """Columns of what is in the elements, `_ABSENT` where a record has none. `own` is the name for their text."""
        for name in dict.fromkeys(itertools.chain.from_iterable(map(_ATTRIBUTES, elements))):
            self.add(prefix + _local(name), map(operator.methodcaller("get", name), elements))
        children = list(itertools.chain.from_iterable(elements))
        for tag in dict.fromkeys(map(_TAG, children)):
            child = prefix + _local(tag)
            lists = list(map(operator.methodcaller("findall", tag), elements))
            if not depth or max(map(len, lists)) > 1:
                self.repeated[child] = _json(lists)
                continue
            inner = list(itertools.chain.from_iterable(lists))
            if any(map(len, inner)) or any(map(_ATTRIBUTES, inner)):
                self.spread([one[0] if one else _ABSENT for one in lists], f"{child}__", child, depth - 1)
            else:
                self.add(child, map(operator.methodcaller("findtext", tag), elements))
        if any(map(_has_text, elements)) or any(map(_has_tail, children)):
            self.add(own, [None if one is _ABSENT else _own_text(one) for one in elements])


_ABSENT = ET.Element("")


def _columns(file: DataFile, records: list[ET.Element], size: int) -> _Columns:
    found = _Found(file)
    found.spread(records, "", _local(records[0].tag), _DEPTH)
    return _Columns(found.texts, found.repeated, len(records), size)


def _has_text(element: ET.Element) -> bool:
    return element.text is not None and not element.text.isspace() and element.text != ""


def _has_tail(element: ET.Element) -> bool:
    return element.tail is not None and not element.tail.isspace() and element.tail != ""


def _own_text(element: ET.Element) -> str:
    """The text of an element without that of its children."""
    pieces = (element.text, *(child.tail for child in element))
    return " ".join(piece.strip() for piece in pieces if piece and not piece.isspace())


def _json(lists: Sequence[Sequence[ET.Element]]) -> pa.Array:
    values = [[_value(one) for one in found] if found else None for found in lists]
    return pa.array([None if found is None else msgspec.json.encode(found).decode() for found in values], pa.string())


def _value(element: ET.Element) -> Any:
    """An element of a list as JSON: its text, or an object of what is in it."""
    text = _own_text(element)
    if not len(element) and not element.attrib:
        return text or None
    found: dict[str, Any] = {_local(name): value for name, value in element.attrib.items()}
    counts = Counter(_local(child.tag) for child in element)
    for child in element:
        name = _local(child.tag)
        if counts[name] > 1:
            found.setdefault(name, []).append(_value(child))
        else:
            found[name] = _value(child)
    return {**found, _local(element.tag): text} if text else found
