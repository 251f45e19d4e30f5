"""The text of a file as UTF-8, without what is no data: byte order mark, skipped first lines, comments.

What is left out becomes an empty line, so the numbers of all lines stay what they are in the file.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from typing import Any, Protocol

from headwater.base.errors import InputError, RunFailedError, Where
from headwater.connect.sources.files.dialect import Dialect
from headwater.connect.sources.files.find import DataFile
from headwater.connect.sources.files.open import Unpacked, opened

_CHUNK = 1 << 20


class Bytes(Protocol):
    """A stream of bytes; `position` counts those of the unpacked file that were read."""

    @property
    def position(self) -> int: ...
    def read(self, size: int) -> bytes: ...


def utf8(unpacked: Unpacked, file: DataFile) -> Bytes:
    """The file's text. UTF-8 is passed on as it is, right or wrong, and with its byte order mark: whoever parses it
    finds out. Raises InputError for an encoding that does not exist, and as it reads RunFailedError (`wrong-encoding`).
    """
    dialect = file.dialect
    decoded: Bytes = unpacked if is_utf8(dialect.encoding) else _Decoded(unpacked, file)
    return _Trimmed(decoded, dialect) if dialect.comment or dialect.skip_lines else decoded


def is_utf8(encoding: str) -> bool:
    return encoding.lower().replace("_", "-") in {"utf-8", "utf8", "utf-8-sig"}


def text_lines(unpacked: Unpacked, file: DataFile) -> io.TextIOWrapper:
    """The same text, line by line. Slow: for errors."""
    raw = io.BufferedReader(_Raw(utf8(unpacked, file)))
    return io.TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="")


def line_ends(text: bytes) -> int:
    """How many lines end in it: with a line feed, a carriage return, or both."""
    feeds = text.count(b"\n")
    return feeds + text.count(b"\r") - text.count(b"\r\n") if b"\r" in text else feeds


def whole_lines(file: DataFile, block: int, longest: int) -> Iterator[tuple[bytes, int]]:
    """The text in pieces of about `block` bytes that end with a line, without a byte order mark, and how many bytes of
    the unpacked file each took. Raises RunFailedError (`malformed-row`) for a line longer than `longest` bytes."""
    with opened(file) as unpacked:
        text = utf8(unpacked, file)
        rest, is_first, before = b"", True, 0
        while data := text.read(block):
            rest += data
            rest, is_first = rest.removeprefix(codecs.BOM_UTF8) if is_first else rest, False
            end = rest.rfind(b"\n") + 1
            if end:
                yield rest[:end], text.position - before
                rest, before = rest[end:], text.position
            elif len(rest) > longest:
                raise malformed(file, f"a line is longer than {longest >> 20} MiB")
        if rest.strip():
            yield rest, text.position - before


def malformed(file: DataFile, why: str, line: int = 0, *, hint: str = "mend the file") -> RunFailedError:
    return RunFailedError(
        "malformed-row",
        f"`{file.label}` has a line that cannot be read",
        where=Where(file.shown, line),
        why=why,
        hint=hint,
    )


def wrong_byte(file: DataFile, why: str = "") -> RunFailedError:
    """The error for the first byte that the file's encoding has no letter for, with its line and column. Reads the
    file from its start."""
    line, column, found = _first_wrong_byte(file)
    is_marked = (line, column) == (1, 1) and found in (0xFE, 0xFF)
    may_be = " to `utf-16`" if is_marked else ", for example to `latin-1` or `cp1252`"
    return RunFailedError(
        "wrong-encoding",
        f"`{file.label}` is not {file.dialect.encoding}",
        where=Where(file.shown, line),
        why=f"byte 0x{found:02x} at column {column}" if line else why,
        hint=f"set `encoding`{may_be}",
    )


def _first_wrong_byte(file: DataFile) -> tuple[int, int, int]:
    """Line and column, both from 1, and the byte; line 0 when there is none."""
    decode = decoder("utf-8" if is_utf8(file.dialect.encoding) else file.dialect.encoding)
    line, before = 1, ""
    with opened(file) as unpacked:
        is_over = False
        while not is_over:
            raw = unpacked.read(_CHUNK)
            is_over = not raw
            try:
                text = decode.decode(raw, final=is_over)
            except UnicodeDecodeError as error:
                good = error.object[: error.start].decode(error.encoding)
                line += good.count("\n")
                before = good.rpartition("\n")[2] if "\n" in good else before + good
                return line, len(before.removeprefix("\ufeff")) + 1, error.object[error.start]
            line += text.count("\n")
            before = text.rpartition("\n")[2] if "\n" in text else before + text
    return 0, 0, 0


def decoder(encoding: str) -> codecs.IncrementalDecoder:
    """Raises InputError for an encoding that does not exist."""
    try:
        return codecs.getincrementaldecoder(encoding)()
    except LookupError as error:
        raise InputError(
            "invalid-setting", f"`{encoding}` is not a text encoding", hint="try `utf-8`, `latin-1` or `cp1252`"
        ) from error


class _Decoded:
    def __init__(self, unpacked: Unpacked, file: DataFile) -> None:
        self._unpacked = unpacked
        self._file = file
        self._decode = decoder(file.dialect.encoding)
        self._is_over = False

    @property
    def position(self) -> int:
        return self._unpacked.position

    def read(self, size: int) -> bytes:
        """About `size` bytes; none at the end only."""
        while not self._is_over:
            raw = self._unpacked.read(size)
            self._is_over = not raw
            try:
                if text := self._decode.decode(raw, final=self._is_over):
                    return text.encode()
            except UnicodeError as error:
                raise wrong_byte(self._file, str(error)) from error
        return b""


class _Trimmed:
    """Keeps whole lines together: a line that begins with the comment's sign is one only outside quotes."""

    def __init__(self, text: Bytes, dialect: Dialect) -> None:
        self._text = text
        self._skip = dialect.skip_lines
        self._sign = (dialect.comment or "").encode()
        self._quote = dialect.quote.encode()
        self._rest = b""
        self._is_quoted = False

    @property
    def position(self) -> int:
        return self._text.position

    def read(self, size: int) -> bytes:
        """About `size` bytes; none at the end only."""
        while True:
            data = self._text.read(size)
            whole = self._rest + data
            end = whole.rfind(b"\n") + 1 if data else len(whole)
            lines, self._rest = whole[:end], whole[end:]
            if lines or not data:
                return self._trimmed(lines)

    def _trimmed(self, lines: bytes) -> bytes:
        start = 0
        while self._skip and start < len(lines):
            start = lines.find(b"\n", start) + 1 or len(lines)
            self._skip -= 1
        skipped = b"\n" * lines.count(b"\n", 0, start)
        return skipped + self._uncommented(lines[start:]) if self._sign else skipped + lines[start:]

    def _uncommented(self, lines: bytes) -> bytes:
        text, mark = b"\n" + lines, b"\n" + self._sign
        kept, at = [], 0
        while (found := text.find(mark, at)) >= 0:
            begin = found + 1
            self._is_quoted ^= self._quotes(text, at, begin)
            kept.append(text[at:begin])
            end = begin if self._is_quoted else text.find(b"\n", begin)
            at = len(text) if end < 0 else end
        self._is_quoted ^= self._quotes(text, at, len(text))
        kept.append(text[at:])
        return b"".join(kept)[1:]

    def _quotes(self, lines: bytes, start: int, end: int) -> bool:
        return bool(self._quote) and lines.count(self._quote, start, end) % 2 == 1


class _Raw(io.RawIOBase):
    def __init__(self, text: Bytes) -> None:
        self._text = text
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._rest or self._text.read(len(buffer))
        data, self._rest = data[: len(buffer)], data[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)
