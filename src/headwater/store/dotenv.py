"""The `.env` file: variables for this machine, secrets among them; it is not under version control.

The grammar is that of python-dotenv, which Meltano uses:

    export NAME=value        # `export` may stand before; a comment needs a space before its #
    PLAIN = some words       # trimmed; quotes and backslashes inside are ordinary characters
    SINGLE='as it stands'    # only \\' and \\\\ are escapes; may go over several lines
    DOUBLE="a\\nb $HOME"      # \\n \\t \\r \\" \\\\ … are escapes; may go over several lines
    FROM=${PLAIN}/x          # ${NAME} and ${NAME:-default}

`${NAME}` takes the value that stands higher up in the file, else that of `outside`, else the default, else nothing.
Unlike in python-dotenv it is not replaced between single quotes, as in a shell: a secret may hold any character.
`$NAME` is never replaced.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

from headwater.base.errors import EnvironmentProblemError, InputError, Where
from headwater.base.files import locked, write_atomic

_BINDING = re.compile(
    r"""[^\S\r\n]*(?P<export>export[^\S\r\n]+)?(?:'(?P<quoted>[^'\r\n]+)'|(?P<name>[^=\#\s'"]+))[^\S\r\n]*
    (?:=(?:
        [^\S\r\n]*'(?P<single>(?:\\.|[^'\\])*)'[^\S\r\n]*(?:\#[^\r\n]*)?
      | [^\S\r\n]*"(?P<double>(?:\\.|[^"\\])*)"[^\S\r\n]*(?:\#[^\r\n]*)?
      | (?P<plain>(?![^\S\r\n]*['"])[^\r\n]*?)(?:[^\S\r\n]+\#[^\r\n]*)?
    )|(?:[^\S\r\n]+\#[^\r\n]*)?)
    [^\S\r\n]*(?:\r\n|\n|\r|\Z)""",
    re.VERBOSE | re.DOTALL,
)
_BLANK = re.compile(r"[^\S\r\n]*(?:\#[^\r\n]*)?(?:\r\n|\n|\r|\Z)")
_DOUBLE_ESCAPE = re.compile(r"\\([\\'\"abfnrtv])")
_SINGLE_ESCAPE = re.compile(r"\\([\\'])")
_ESCAPED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_DOUBLE_QUOTED = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r"}
_REFERENCE = re.compile(r"\$\{(?P<name>[^}:]*)(?::-(?P<default>[^}]*))?\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\Z")
_UNQUOTED = re.compile(r"[A-Za-z0-9_./:@%+,=-]+\Z")


class _Line(NamedTuple):
    """A stretch of the file: one binding (`name` is set), or what stands between. `value` has its escapes undone."""

    text: str
    name: str | None = None
    value: str | None = None
    exported: bool = False
    literal: bool = False


def read(path: Path, *, outside: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables of a file, the last one of a name winning; empty when there is no such file.

    A name without `=` has no value and is left out. Raises InputError (`broken-dotenv`) with the line; the line's
    text is not in the error, as it may be a secret.
    """
    found: dict[str, str] = {}
    for line in _lines(_content(path), path.name):
        if line.name is not None and line.value is not None:
            found[line.name] = line.value if line.literal else _expand(line.value, {**(outside or {}), **found})
    return found


def set_value(path: Path, name: str, value: str, *, lock: Path | None = None) -> None:
    """Set a variable and keep every other line byte for byte; the file is made when absent, with mode 0600.

    Where the name stands several times the last one, which counts, is replaced. `read` gives back `value` exactly,
    `${…}` in it included. With `lock` two writers at once both take effect.
    """
    if not _NAME.match(name):
        raise InputError(
            "bad-name", f"`{name}` cannot be a variable's name", hint="use letters, digits and underscores"
        )
    with locked(lock) if lock else nullcontext():
        lines = list(_lines(_content(path), path.name))
        newline = "\r\n" if any(line.text.endswith("\r\n") for line in lines) else "\n"
        places = [index for index, line in enumerate(lines) if line.name == name]
        if places:
            old = lines[places[-1]]
            lines[places[-1]] = _Line(f"{'export ' if old.exported else ''}{name}={_quoted(value)}{newline}")
        else:
            if lines and not lines[-1].text.endswith(("\n", "\r")):
                lines.append(_Line(newline))
            lines.append(_Line(f"{name}={_quoted(value)}{newline}"))
        _write(path, lines)


def unset_value(path: Path, name: str, *, lock: Path | None = None) -> None:
    """Remove a variable, wherever it stands, and keep every other line. Raises InputError when it isn't there."""
    with locked(lock) if lock else nullcontext():
        lines = list(_lines(_content(path), path.name))
        left = [line for line in lines if line.name != name]
        if len(left) == len(lines):
            raise InputError("nothing-to-remove", f"`{name}` is not in the file", where=Where(path.name))
        _write(path, left)


def _content(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise InputError(
            "broken-dotenv", "the file is not UTF-8", where=Where(path.name), hint="save it as UTF-8 in your editor"
        ) from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise EnvironmentProblemError(
            "cannot-read", f"cannot read `{path}`: {reason}", hint=f"check it: ls -l {path}"
        ) from error


def _write(path: Path, lines: list[_Line]) -> None:
    write_atomic(path.resolve(), "".join(line.text for line in lines).encode(), mode=0o600)


def _lines(text: str, shown: str) -> Iterator[_Line]:
    position = 0
    while position < len(text):
        if match := _BLANK.match(text, position):
            yield _Line(match.group())
        elif match := _BINDING.match(text, position):
            yield _binding(match)
        else:
            raise InputError(
                "broken-dotenv",
                "this line is no `NAME=value`",
                where=Where(shown, text.count("\n", 0, position) + 1),
                why="a quote is not closed, or something stands behind the closing one",
                hint="write NAME='value'",
            )
        position = match.end()


def _binding(match: re.Match[str]) -> _Line:
    name = match["quoted"] or match["name"]
    exported = match["export"] is not None
    if match["single"] is not None:
        return _Line(match.group(), name, _SINGLE_ESCAPE.sub(r"\1", match["single"]), exported, literal=True)
    if match["double"] is not None:
        value = _DOUBLE_ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[1]), match["double"])
        return _Line(match.group(), name, value, exported)
    return _Line(match.group(), name, None if match["plain"] is None else match["plain"].strip(), exported)


def _expand(value: str, known: Mapping[str, str]) -> str:
    return _REFERENCE.sub(lambda found: known.get(found["name"], found["default"] or ""), value)


def _quoted(value: str) -> str:
    """In the plainest form that this reader, python-dotenv and, where possible, a shell read alike."""
    if not value or _UNQUOTED.match(value):
        return value
    if "\r" in value and "${" not in value:  # a bare carriage return does not survive python-dotenv
        return '"' + "".join(_DOUBLE_QUOTED.get(char, char) for char in value) + '"'
    if "'" in value and not re.search(r"[$`\\]", value) and value.isprintable():
        return '"' + value.replace('"', '\\"') + '"'
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
