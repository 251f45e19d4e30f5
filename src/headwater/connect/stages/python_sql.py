"""Python expressions of stream maps as SQL, as far as both give the same value for every row.

That holds for rows whose inputs are there and, where they are texts, plain ASCII: what Python does with nulls, and
what it makes of `ß`, SQL does otherwise. Those rows, and expressions with no translation, go the exact, slow way.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import NamedTuple

from headwater.connect import types
from headwater.connect.names import quote
from headwater.connect.singer.schema import Family
from headwater.connect.stages.part import View
from headwater.connect.stages.python_rows import FIELD

# What a translation's value is: a text, an integer, true or false.
Kind = str
TEXT, INTEGER, TRUTH = "text", "integer", "truth"

_KIND_OF_COLUMN: Mapping[str, Kind] = {"string": TEXT, "int64": INTEGER, "bool": TRUTH}
# Results that need no further look to be what the SDK would make of them.
_FITS = {
    (TEXT, Family.TEXT),
    (INTEGER, Family.TEXT),
    (TRUTH, Family.TEXT),
    (INTEGER, Family.INTEGER),
    (TRUTH, Family.BOOLEAN),
}
# What Python's `strip()` takes off a plain text.
_SPACE = "concat(' ', chr(9), chr(10), chr(11), chr(12), chr(13), chr(28), chr(29), chr(30), chr(31))"
_MOST_DIGITS = 15


class Sql(NamedTuple):
    text: str
    kind: Kind


class _NoWayError(Exception):
    """There is no SQL that surely gives the same."""


def value(tree: ast.expr, view: View, family: Family) -> str | None:
    """SQL for a resolved expression whose result goes into a column of that family; None when there is none."""
    try:
        made = _sql(tree, view)
    except _NoWayError:
        return None
    if (made.kind, family) not in _FITS:
        return None
    return f"CAST({made.text} AS VARCHAR)" if family is Family.TEXT else made.text


def truth(tree: ast.expr, view: View) -> str | None:
    """SQL for a resolved expression of which only counts whether it is true."""
    try:
        made = _sql(tree, view)
    except _NoWayError:
        return None
    return made.text if made.kind == TRUTH else None


def _sql(node: ast.expr, view: View) -> Sql:
    translate = _NODES.get(type(node))
    if translate is None:
        raise _NoWayError
    return translate(node, view)


def _constant(node: ast.Constant, _view: View) -> Sql:
    match node.value:
        case bool():
            return Sql("true" if node.value else "false", TRUTH)
        case int() if len(str(abs(node.value))) <= _MOST_DIGITS:
            return Sql(f"({node.value})::BIGINT", INTEGER)
        case str() if node.value.isascii() and "\0" not in node.value:
            return Sql(quote(node.value, "'"), TEXT)
    raise _NoWayError


def _name(node: ast.Name, view: View) -> Sql:
    name = node.id.removeprefix(FIELD)
    if not node.id.startswith(FIELD) or not view.has(name) or types.is_json(view.field(name)):
        raise _NoWayError
    kind = _KIND_OF_COLUMN.get(types.kind(view.field(name).type))
    if kind is None:
        raise _NoWayError
    return Sql(quote(name), kind)


def _binary(node: ast.BinOp, view: View) -> Sql:
    left, right = _sql(node.left, view), _sql(node.right, view)
    if isinstance(node.op, ast.Add) and (left.kind, right.kind) == (TEXT, TEXT):
        return Sql(f"({left.text} || {right.text})", TEXT)
    sign = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*"}.get(type(node.op))
    if sign is None or (left.kind, right.kind) != (INTEGER, INTEGER):
        raise _NoWayError
    return Sql(f"({left.text} {sign} {right.text})", INTEGER)


def _unary(node: ast.UnaryOp, view: View) -> Sql:
    made = _sql(node.operand, view)
    if isinstance(node.op, ast.Not) and made.kind == TRUTH:
        return Sql(f"(NOT {made.text})", TRUTH)
    if isinstance(node.op, ast.USub) and made.kind == INTEGER:
        return Sql(f"(- {made.text})", INTEGER)
    raise _NoWayError


def _boolean(node: ast.BoolOp, view: View) -> Sql:
    parts = [_truth(part, view) for part in node.values]
    word = " AND " if isinstance(node.op, ast.And) else " OR "
    return Sql(f"({word.join(parts)})", TRUTH)


def _truth(node: ast.expr, view: View) -> str:
    made = _sql(node, view)
    if made.kind != TRUTH:
        raise _NoWayError
    return made.text


def _compare(node: ast.Compare, view: View) -> Sql:
    if len(node.ops) != 1:
        raise _NoWayError
    operator, right = node.ops[0], node.comparators[0]
    left = _sql(node.left, view)
    if isinstance(operator, ast.In | ast.NotIn):
        return Sql(f"({'NOT ' if isinstance(operator, ast.NotIn) else ''}{_within(left, right, view)})", TRUTH)
    sign = _SIGNS.get(type(operator))
    other = _sql(right, view)
    if sign is None or left.kind != other.kind:
        raise _NoWayError
    return Sql(f"({left.text} {sign} {other.text})", TRUTH)


def _within(left: Sql, right: ast.expr, view: View) -> str:
    if isinstance(right, ast.List | ast.Tuple):
        items = [_sql(item, view) for item in right.elts]
        if not items or any(item.kind != left.kind for item in items):
            raise _NoWayError
        return f"({left.text} IN ({', '.join(item.text for item in items)}))"
    other = _sql(right, view)
    if (left.kind, other.kind) != (TEXT, TEXT):
        raise _NoWayError
    return f"contains({other.text}, {left.text})"


def _if(node: ast.IfExp, view: View) -> Sql:
    test, body, other = _truth(node.test, view), _sql(node.body, view), _sql(node.orelse, view)
    if body.kind != other.kind:
        raise _NoWayError
    return Sql(f"(CASE WHEN {test} THEN {body.text} ELSE {other.text} END)", body.kind)


def _call(node: ast.Call, view: View) -> Sql:
    if node.keywords:
        raise _NoWayError
    if isinstance(node.func, ast.Name) and len(node.args) == 1:
        return _function(node.func.id, _sql(node.args[0], view))
    if isinstance(node.func, ast.Attribute):
        owner = _sql(node.func.value, view)
        translate = _METHODS.get((node.func.attr, len(node.args)))
        arguments = [_sql(argument, view) for argument in node.args]
        if translate is not None and owner.kind == TEXT and all(argument.kind == TEXT for argument in arguments):
            return translate(owner.text, *(argument.text for argument in arguments))
    raise _NoWayError


def _function(name: str, given: Sql) -> Sql:
    match name, given.kind:
        case "str", "integer":
            return Sql(f"CAST({given.text} AS VARCHAR)", TEXT)
        case ("str", "text") | ("int", "integer") | ("bool", "truth"):
            return given
        case "str", "truth":
            return Sql(f"(CASE WHEN {given.text} THEN 'True' ELSE 'False' END)", TEXT)
        case "bool", "integer":
            return Sql(f"({given.text} <> 0)", TRUTH)
        case "bool", "text":
            return Sql(f"({given.text} <> '')", TRUTH)
        case "len", "text":
            return Sql(f"length({given.text})", INTEGER)
        case (("md5" | "sha256"), "text"):
            return Sql(f"{name}({given.text})", TEXT)
    raise _NoWayError


def _subscript(node: ast.Subscript, view: View) -> Sql:
    if isinstance(node.slice, ast.Slice):
        return _sliced(node, node.slice, view)
    # text.split('x')[0] and [-1] are there whatever the text is.
    call, index = node.value, ast.unparse(node.slice)
    if (
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "split"
        and len(call.args) == 1
        and not call.keywords
        and index in ("0", "-1")
        and isinstance(call.args[0], ast.Constant)
        and call.args[0].value
    ):
        owner, mark = _sql(call.func.value, view), _sql(call.args[0], view)
        if (owner.kind, mark.kind) == (TEXT, TEXT):
            return Sql(f"split_part({owner.text}, {mark.text}, {'1' if index == '0' else '-1'})", TEXT)
    raise _NoWayError


def _sliced(node: ast.Subscript, part: ast.Slice, view: View) -> Sql:
    owner = _sql(node.value, view)
    bounds = [bound.value if isinstance(bound, ast.Constant) else bound for bound in (part.lower, part.upper)]
    start, end = bounds
    if owner.kind != TEXT or part.step is not None:
        raise _NoWayError
    if not all(bound is None or (type(bound) is int and 0 <= bound < 1_000_000) for bound in bounds):
        raise _NoWayError
    first = int(start) + 1 if isinstance(start, int) else 1
    if not isinstance(end, int):
        return Sql(f"substring({owner.text}, {first})", TEXT)
    return Sql(f"substring({owner.text}, {first}, {max(0, end - first + 1)})", TEXT)


def _joined(node: ast.JoinedStr, view: View) -> Sql:
    parts = []
    for part in node.values:
        inner = part
        if isinstance(part, ast.FormattedValue):
            if part.format_spec is not None or part.conversion not in (-1, 115):
                raise _NoWayError
            inner = part.value
        parts.append(_function("str", _sql(inner, view)).text)
    return Sql(f"concat({', '.join(parts)})" if parts else "''", TEXT)


def _replace(text: str, old: str, new: str) -> Sql:
    # `''` is found between all characters in Python, and a long replacement is refused in SQL.
    if old == "''" or not (old.startswith("'") and new.startswith("'")):
        raise _NoWayError
    return Sql(f"replace({text}, {old}, {new})", TEXT)


_METHODS: Mapping[tuple[str, int], Callable[..., Sql]] = {
    ("lower", 0): lambda text: Sql(f"lower({text})", TEXT),
    ("upper", 0): lambda text: Sql(f"upper({text})", TEXT),
    ("strip", 0): lambda text: Sql(f"trim({text}, {_SPACE})", TEXT),
    ("lstrip", 0): lambda text: Sql(f"ltrim({text}, {_SPACE})", TEXT),
    ("rstrip", 0): lambda text: Sql(f"rtrim({text}, {_SPACE})", TEXT),
    ("startswith", 1): lambda text, part: Sql(f"starts_with({text}, {part})", TRUTH),
    ("endswith", 1): lambda text, part: Sql(f"ends_with({text}, {part})", TRUTH),
    ("replace", 2): _replace,
}
_SIGNS: Mapping[type, str] = {
    ast.Eq: "=",
    ast.NotEq: "<>",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Lt: "<",
    ast.LtE: "<=",
}
_NODES: Mapping[type, Callable[..., Sql]] = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.BinOp: _binary,
    ast.UnaryOp: _unary,
    ast.BoolOp: _boolean,
    ast.Compare: _compare,
    ast.IfExp: _if,
    ast.Call: _call,
    ast.Subscript: _subscript,
    ast.JoinedStr: _joined,
}
