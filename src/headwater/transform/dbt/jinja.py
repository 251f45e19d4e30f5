"""The SQL of a dbt model without its Jinja: `ref`, `source`, `var`, `config`, `this` and `is_incremental`.

Whatever else stands in braces is for `macros`, which renders it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct, field

from headwater.transform.increments import THIS

_PART = re.compile(r"\{\{-?(?P<out>.*?)-?\}\}|\{%-?(?P<do>.*?)-?%\}|\{#.*?#\}", re.DOTALL)
_IF = re.compile(r"if\s+is_incremental\(\)")
_SNAPSHOT = re.compile(r"(snapshot\s+\w+|endsnapshot)")
MARK = "-- incremental"


class UnreadableError(Exception):
    """What can't be read, and on which line it stands."""

    def __init__(self, what: str, line: int) -> None:
        super().__init__(what)
        self.line = line


class Plain(Struct, kw_only=True):
    """SQL with `config` as the file gives it; `refs` are the models that it names, in order."""

    sql: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    refs: list[str] = field(default_factory=list)


class Words(Struct, frozen=True, kw_only=True):
    """What the functions of Jinja answer with: `table` makes SQL of a model's name, `source` of a source's two."""

    table: Callable[[str], str]
    source: Callable[[str, str], str]
    variables: Mapping[str, Any]


def plain(text: str, words: Words) -> Plain:
    """Lines between `if is_incremental()` and `endif` get the mark of an increment. Raises UnreadableError."""
    found = Plain()
    pieces: list[str] = []
    marked: list[str] | None = None  # what stands in an `if` so far
    end = 0
    for part in _PART.finditer(text):
        line = text.count("\n", 0, part.start()) + 1
        into = pieces if marked is None else marked
        into.append(text[end : part.start()])
        end = part.end()
        if (said := part["out"]) is not None:
            into.append(_value(said.strip(), words, found, line))
        elif (said := part["do"]) is not None:
            said = said.strip()
            if _IF.fullmatch(said) and marked is None:
                marked = []
            elif said == "endif" and marked is not None:
                before, behind = "".join(pieces).rstrip(" \t"), text[end : end + 1]
                pieces = [before, "" if before.endswith("\n") else "\n", _marked("".join(marked))]
                pieces += [] if behind in ("\n", "") else ["\n"]
                marked = None
            elif not _SNAPSHOT.fullmatch(said):
                raise UnreadableError(f"`{{% {said} %}}`", line)
    if marked is not None:
        raise UnreadableError("an `if` without `endif`", text.count("\n") + 1)
    pieces.append(text[end:])
    lines = [line.rstrip() for line in "".join(pieces).strip().rstrip(";").split("\n")]
    found.sql = "\n".join(lines) + "\n"
    return found


def name_of(text: str, function: str) -> tuple[str, ...]:
    """The names in `ref('x')` as YAML holds it; none when it is another call."""
    try:
        call = _call(text)
    except (SyntaxError, ValueError):
        return ()
    return call[1] if call is not None and call[0] == function else ()


def _marked(text: str) -> str:
    lines = [marked(line.rstrip()) for line in text.strip("\n").split("\n")]
    return "\n".join(lines).strip("\n")


def marked(line: str) -> str:
    """A line that counts only when rows are added; once, for an export of ours comes with the mark."""
    return f"{line} {MARK}" if line and not line.endswith(MARK) else line


def _value(said: str, words: Words, found: Plain, line: int) -> str:
    if said == THIS:
        return THIS
    try:
        call = _call(said)
    except (SyntaxError, ValueError):
        call = None
    if call is None:
        raise UnreadableError(f"`{{{{ {said} }}}}`", line)
    function, names, given = call
    match function, names:
        case "config", ():
            found.config |= given
            return ""
        case "ref", (*_, name) if not given:
            found.refs.append(name)
            return words.table(name)
        case "source", (source, table):
            return words.source(source, table)
        case "var", (name, *default):
            value = words.variables.get(name, *default) if default or name in words.variables else None
            if value is not None:
                return str(value)
    raise UnreadableError(f"`{{{{ {said} }}}}`", line)


def _call(said: str) -> tuple[str, tuple[Any, ...], dict[str, Any]] | None:
    """A call of literals: its function, what it is given by place, and by name."""
    tree = ast.parse(said.strip(), mode="eval").body
    if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name):
        return None
    names = {word.arg: ast.literal_eval(word.value) for word in tree.keywords if word.arg is not None}
    return tree.func.id, tuple(ast.literal_eval(one) for one in tree.args), names
