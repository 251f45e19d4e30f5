"""Bytes of a tap to Singer envelopes, with an exact word about every line that is none.

Ordinary blocks of lines are decoded in one call. A block that fails goes line by line, to find the line or to mend it
(`repair`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
import pyarrow as pa
from msgspec import Raw, Struct

from headwater.base.errors import HeadwaterError, RunFailedError
from headwater.base.text import byte_size
from headwater.connect.singer import repair

NOTHING = Raw(b"")
_BOM = b"\xef\xbb\xbf"
_SHOWN = 80


class Envelope(Struct, gc=False):
    """A Singer message with its payload unread. Members that no reader needs are skipped."""

    type: str
    stream: str | None = None
    record: Raw = NOTHING
    version: int | float | str | None = None
    value: Raw = NOTHING
    schema: Raw = NOTHING
    key_properties: Raw = NOTHING
    bookmark_properties: Raw = NOTHING
    encoding: Raw = NOTHING
    manifest: Raw = NOTHING


class Marked(Envelope, gc=False):
    """A message whose line was not JSON until `repair.marked` went over it."""


class Form(Struct, frozen=True):
    """What a line is decoded as; `marked` when `repair.marked` had to go over it first."""

    plain: msgspec.json.Decoder[Any]
    marked: msgspec.json.Decoder[Any]


SINGER = Form(msgspec.json.Decoder(Envelope), msgspec.json.Decoder(Marked))


class Block(Struct, frozen=True):
    """Whole lines. `line` counts from 1, `offset` in bytes from 0; `ended` is false for a last line without end. `ends`
    is the number of line ends, where they were counted."""

    data: bytes
    line: int
    offset: int
    ended: bool = True
    ends: int | None = None


class Decoded(Struct, frozen=True):
    """The messages up to the first line that is none, and the error of that line."""

    messages: list[Any]
    error: HeadwaterError | None = None


def blocks(chunks: Iterable[bytes], *, size: int, longest: int) -> Iterator[Block]:
    """Cut a byte stream at line ends into blocks of about `size` bytes, less when the stream gives less at a time.

    Raises RunFailedError when a line is longer than `longest`.
    """
    line, offset, tail = 1, 0, bytearray()
    for chunk in chunks:
        end = chunk.rfind(b"\n") + 1
        if not end:
            tail += chunk
        else:
            whole = b"".join((tail, memoryview(chunk)[:end])) if tail or end < len(chunk) else chunk
            tail = bytearray(chunk[end:])
            for part in _parts(whole, size):
                ends = part.count(b"\n")
                yield _block(part, line, offset, ends)
                line += ends
                offset += len(part)
        if len(tail) > longest:
            raise _too_long(bytes(tail[:4096]), line, longest)
    if tail.strip():
        yield Block(bytes(tail), line, offset, ended=False)


def _parts(whole: bytes, size: int) -> Iterator[bytes]:
    start = 0
    while len(whole) - start > 2 * size:
        end = whole.find(b"\n", start + size) + 1
        if not end or end == len(whole):
            break
        yield whole[start:end]
        start = end
    yield whole[start:] if start else whole


def _block(data: bytes, line: int, offset: int, ends: int) -> Block:
    return Block(data.removeprefix(_BOM) if offset == 0 else data, line, offset, ends=ends)


def decode(
    block: Block, *, noise: Callable[[str], None] | None, replace: Callable[[int], None] | None, form: Form = SINGER
) -> Decoded:
    """The block's messages, of the types of `form`. `noise`, when given, gets lines that are log text; without it they
    are an error. `replace`, when given, allows to replace invalid UTF-8 and is told how many times that was done."""
    data = block.data
    if not _is_utf8(data):
        try:
            data.decode()
        except UnicodeDecodeError as error:
            if replace is None:
                return _invalid_text(block, error, form)
            text = data.decode(errors="replace")
            replace(text.count("\ufffd") - data.count("\ufffd".encode()))
            data = text.encode()
    try:
        messages = form.plain.decode_lines(data)
    except (msgspec.DecodeError, RecursionError):
        pass
    else:
        # The decoder does not care where lines end; a count that differs means a blank line or two messages in one.
        ends = data.count(b"\n") if block.ends is None else block.ends
        if len(messages) == ends + (not block.ended):
            return Decoded(messages)
    return _line_by_line(Block(data, block.line, block.offset, block.ended), noise, form)


def _is_utf8(data: bytes) -> bool:
    """By Arrow, which makes no text of it."""
    offsets = pa.array([0, len(data)], pa.int64()).buffers()[1]
    text = pa.Array.from_buffers(pa.large_string(), 1, [None, offsets, pa.py_buffer(data)])
    try:
        text.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _line_by_line(block: Block, noise: Callable[[str], None] | None, form: Form) -> Decoded:
    messages: list[Any] = []
    offset = block.offset
    lines = block.data.split(b"\n")
    for number, line in enumerate(lines, block.line):
        try:
            if line.strip():
                messages.append(_one(line, form))
        except (msgspec.DecodeError, RecursionError) as problem:
            is_last = not block.ended and number == block.line + len(lines) - 1
            error = _explain(line, number, offset, problem, is_last=is_last)
            if error.reference != "tap-logs-to-stdout" or noise is None:
                return Decoded(messages, error)
            noise(line.decode(errors="replace").rstrip())
        offset += len(line) + 1
    return Decoded(messages)


def _one(line: bytes, form: Form) -> Any:
    try:
        return form.plain.decode(line)
    except msgspec.DecodeError:
        marked = repair.marked(line)
        if marked == line:
            raise
        return form.marked.decode(marked)


def _explain(line: bytes, number: int, offset: int, problem: Exception, *, is_last: bool) -> RunFailedError:
    place = re.search(r"\(byte (\d+)\)", str(problem))
    within = int(place[1]) if place else 0
    why = f"at byte {offset + within}: {problem}; around it: {excerpt(line, within)}"
    if isinstance(problem, RecursionError):
        return RunFailedError("bad-message", f"line {number} of the tap's output nests too deeply", why=why)
    if isinstance(problem, msgspec.ValidationError) and _is_json(line):
        what = "is not an object" if not line.lstrip().startswith(b"{") else "is not a Singer message"
        return RunFailedError("bad-message", f"line {number} of the tap's output {what}", why=why)
    if is_last:
        return RunFailedError(
            "cut-line",
            f"the tap's output ends in the middle of line {number}",
            why="the tap died while it was writing; what it wrote up to the last state is kept",
            hint="look for the tap's own error above",
        )
    if not line.lstrip().startswith((b"{", b"[{")):
        return RunFailedError(
            "tap-logs-to-stdout",
            f"line {number} of the tap's output is log text, not a Singer message",
            why=why,
            hint="let it log to stderr, or forward such lines: headwater config set TAP _tolerate_stdout_noise true",
        )
    return RunFailedError("bad-message", f"line {number} of the tap's output is not JSON", why=why)


def _is_json(line: bytes) -> bool:
    try:
        msgspec.json.decode(line)
    except msgspec.DecodeError:
        return False
    return True


def excerpt(line: bytes, within: int) -> str:
    """About 80 characters around a byte, with member names but without anybody's data."""
    start = max(0, within - _SHOWN // 2)
    text = line[start : start + _SHOWN].decode(errors="replace").rstrip()
    if not line.lstrip().startswith(b"{"):
        return text
    pieces = re.split(r'("[\w.-]*"\s*:)', text)
    return "".join(
        piece if number % 2 else re.sub(r"[^\W\d_]", "x", re.sub(r"\d", "0", piece))
        for number, piece in enumerate(pieces)
    )


def _invalid_text(block: Block, problem: UnicodeDecodeError, form: Form) -> Decoded:
    start = block.data.rfind(b"\n", 0, problem.start) + 1
    line = block.line + block.data.count(b"\n", 0, start)
    before = _line_by_line(Block(block.data[:start], block.line, block.offset), None, form)
    error = RunFailedError(
        "bad-message",
        f"line {line} of the tap's output is not UTF-8",
        why=f"at byte {block.offset + problem.start}: {problem.reason}",
        hint="let the tap decode its source's text, or set `replace_invalid_utf8` to load U+FFFD instead",
    )
    return Decoded(before.messages, before.error or error)


def _too_long(head: bytes, line: int, longest: int) -> RunFailedError:
    stream = re.search(rb'"stream"\s*:\s*"((?:[^"\\]|\\.)*)"', head)
    of = f" of stream `{stream[1].decode(errors='replace')}`" if stream else ""
    return RunFailedError(
        "message-too-long",
        f"line {line} of the tap's output, a message{of}, is longer than {byte_size(longest)}",
        hint="leave the large field out: headwater select TAP; or allow longer ones: "
        "headwater config set TAP _max_message_bytes N",
    )
