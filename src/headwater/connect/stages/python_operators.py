"""The operators of expressions in stream maps. Those that could run for long or make something huge refuse to."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

# A text, list or number may not become longer than this (characters, items, bits).
MOST = 1_000_000


class EvaluationError(Exception):
    """Why an expression has no value for a row."""


def _size(value: Any) -> int:
    return value.bit_length() if isinstance(value, int) else len(value) if hasattr(value, "__len__") else 0


def _add(one: Any, other: Any) -> Any:
    if _size(one) + _size(other) > MOST:
        raise EvaluationError("a value becomes too long")
    return one + other


def _multiply(one: Any, other: Any) -> Any:
    for times, what in ((one, other), (other, one)):
        if isinstance(times, int) and hasattr(what, "__len__") and times * len(what) > MOST:
            raise EvaluationError("a value becomes too long")
    if _size(one) + _size(other) > MOST:
        raise EvaluationError("a number becomes too long")
    return one * other


def _power(base: Any, exponent: Any) -> Any:
    if isinstance(base, int) and isinstance(exponent, int) and abs(exponent) * max(1, base.bit_length()) > 10_000:
        raise EvaluationError("a number becomes too long")
    return base**exponent


def _modulo(one: Any, other: Any) -> Any:
    if isinstance(one, str | bytes):
        raise EvaluationError("texts are formatted by f-strings, not by `%`")
    return one % other


BINARY: Mapping[type, Callable[[Any, Any], Any]] = {
    ast.Add: _add,
    ast.Sub: operator.sub,
    ast.Mult: _multiply,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: _modulo,
    ast.Pow: _power,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
}
UNARY: Mapping[type, Callable[[Any], Any]] = {
    ast.Not: operator.not_,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Invert: operator.invert,
}
COMPARE: Mapping[type, Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.In: lambda item, items: item in items,
    ast.NotIn: lambda item, items: item not in items,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
}
