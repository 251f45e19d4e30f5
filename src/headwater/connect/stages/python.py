"""Python expressions of stream maps, compiled to closures: nothing but what stands in the tables below can be
reached, nothing runs for long, nothing grows without bound, and the same row always gives the same value.

The language is the one that the Singer SDK documents for stream maps. It has no statements and no imports; what it
can reach stands in `python_words`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from headwater.base.text import did_you_mean
from headwater.connect.stages import python_words
from headwater.connect.stages.python_operators import BINARY, COMPARE, MOST, UNARY, EvaluationError
from headwater.connect.stages.python_words import ALL_METHODS, CHANGING, FUNCTIONS, MODULES, PADDING

Names = Mapping[str, Any]
Evaluate = Callable[[Names], Any]

_DEEPEST = 50
_LONGEST = 10_000


class RefusedPythonError(Exception):
    """Why an expression may not run."""

    def __init__(self, why: str, *, hint: str | None = None) -> None:
        super().__init__(why)
        self.hint = hint


def compiled(tree: ast.expr) -> Evaluate:
    """What gives the expression's value for the names of a row; it raises EvaluationError and nothing else. Raises
    RefusedPythonError for what is not in this language."""
    run = _compiled(tree, 0)

    def evaluate(names: Names) -> Any:
        try:
            return run(names)
        except EvaluationError:
            raise
        except KeyError as error:
            raise EvaluationError(f"there is no {error}") from None
        except Exception as error:  # noqa: BLE001 - whatever a value makes of an operation is the row's failure
            raise EvaluationError(f"{type(error).__name__}: {error}") from None

    return evaluate


def parse(text: str) -> ast.expr:
    """Raises RefusedPythonError for what is no expression."""
    if len(text) > _LONGEST:
        raise RefusedPythonError(f"an expression has at most {_LONGEST} characters")
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        said = error.msg if isinstance(error, SyntaxError) else str(error)
        raise RefusedPythonError(f"it is not a Python expression: {said}") from None


# Nodes ----------------------------------------------------------------------------------------------------------------


def _compiled(node: ast.expr, depth: int) -> Evaluate:
    if depth > _DEEPEST:
        raise RefusedPythonError(f"it nests deeper than {_DEEPEST} levels")
    maker = _NODES.get(type(node))
    if maker is None:
        raise RefusedPythonError(f"`{type(node).__name__}` is not supported in stream maps")
    return maker(node, depth + 1)


def _constant(node: ast.Constant, _depth: int) -> Evaluate:
    value = node.value
    if value is Ellipsis or isinstance(value, complex):
        raise RefusedPythonError("it has a value that JSON has no word for")
    return lambda _names: value


def _name(node: ast.Name, _depth: int) -> Evaluate:
    name = node.id

    def run(names: Names) -> Any:
        return names[name]

    return run


def _operand(value: Any, other: Any) -> Any:
    """Numbers of a source are exact decimals; beside a float they are floats too."""
    return float(value) if isinstance(value, Decimal) and isinstance(other, float) else value


def _binary(node: ast.BinOp, depth: int) -> Evaluate:
    act = BINARY.get(type(node.op))
    if act is None:
        raise RefusedPythonError(f"the operator `{type(node.op).__name__}` is not supported")
    left, right = _compiled(node.left, depth), _compiled(node.right, depth)

    def run(names: Names) -> Any:
        one, other = left(names), right(names)
        return act(_operand(one, other), _operand(other, one))

    return run


def _unary(node: ast.UnaryOp, depth: int) -> Evaluate:
    act = UNARY[type(node.op)]
    operand = _compiled(node.operand, depth)
    return lambda names: act(operand(names))


def _boolean(node: ast.BoolOp, depth: int) -> Evaluate:
    values = [_compiled(value, depth) for value in node.values]
    stops_at = isinstance(node.op, ast.Or)

    def run(names: Names) -> Any:
        result: Any = None
        for value in values:
            result = value(names)
            if bool(result) is stops_at:
                break
        return result

    return run


def _compare(node: ast.Compare, depth: int) -> Evaluate:
    first = _compiled(node.left, depth)
    rest = [(COMPARE[type(op)], _compiled(value, depth)) for op, value in zip(node.ops, node.comparators, strict=True)]

    def run(names: Names) -> Any:
        left, result = first(names), True
        for act, value in rest:
            right = value(names)
            result = act(left, right)
            if not result:
                break
            left = right
        return result

    return run


def _if(node: ast.IfExp, depth: int) -> Evaluate:
    test, body, other = (_compiled(part, depth) for part in (node.test, node.body, node.orelse))
    return lambda names: body(names) if test(names) else other(names)


def _subscript(node: ast.Subscript, depth: int) -> Evaluate:
    value, index = _compiled(node.value, depth), _compiled(node.slice, depth)
    return lambda names: value(names)[index(names)]


def _slice(node: ast.Slice, depth: int) -> Evaluate:
    parts = [None if part is None else _compiled(part, depth) for part in (node.lower, node.upper, node.step)]
    return lambda names: slice(*(None if part is None else part(names) for part in parts))


def _module_member(node: ast.expr) -> Any:
    """What `datetime.datetime.strptime` names in `MODULES`; None for anything else."""
    path: list[str] = []
    while isinstance(node, ast.Attribute):
        path.insert(0, node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id not in MODULES:
        return None
    found: Any = MODULES[node.id]
    for name in path:
        if name in CHANGING:
            raise _changing(name)
        if not isinstance(found, Mapping) or name not in found or not name:
            raise RefusedPythonError(f"`{'.'.join([node.id, *path])}` is not supported")
        found = found[name]
    return found


def _attribute(node: ast.Attribute, depth: int) -> Evaluate:
    member = _module_member(node)
    if member is not None:
        if isinstance(member, Mapping) or callable(member):
            raise RefusedPythonError(f"`{ast.unparse(node)}` is no value")
        return lambda _names: member
    value, name = _compiled(node.value, depth), node.attr
    if name.startswith("_"):
        raise RefusedPythonError(f"the attribute `{name}` can't be reached")

    def run(names: Names) -> Any:
        owner = value(names)
        if isinstance(owner, dict):
            return owner[name]
        found = _method(owner, name)
        if callable(found):
            raise EvaluationError(f"`{name}` must be called")
        return found

    return run


def _method(owner: Any, name: str) -> Any:
    try:
        return python_words.method(owner, name)
    except LookupError as error:
        raise EvaluationError(str(error)) from None


def _call(node: ast.Call, depth: int) -> Evaluate:
    if any(isinstance(argument, ast.Starred) for argument in node.args) or any(not word.arg for word in node.keywords):
        raise RefusedPythonError("`*` and `**` are not supported in calls")
    arguments = [_compiled(argument, depth) for argument in node.args]
    words = {str(word.arg): _compiled(word.value, depth) for word in node.keywords}

    def given(names: Names) -> tuple[list[Any], dict[str, Any]]:
        return [argument(names) for argument in arguments], {word: value(names) for word, value in words.items()}

    function = _function(node.func)
    if function is not None:

        def run(names: Names) -> Any:
            positional, named = given(names)
            return _checked(function(*positional, **named))

        return run
    assert isinstance(node.func, ast.Attribute)
    owner, name = _compiled(node.func.value, depth), node.func.attr
    if name not in ALL_METHODS:
        guess = did_you_mean(name, ALL_METHODS)
        raise RefusedPythonError(f"there is no `.{name}()`", hint=f"did you mean `{guess}`?" if guess else None)

    def run_method(names: Names) -> Any:
        value = owner(names)
        positional, named = given(names)
        method = _method(value, name)
        _check_growth(value, name, positional)
        result = method(*positional, **named)
        return _checked(list(result) if isinstance(value, dict) and name != "get" else result)

    return run_method


def _function(node: ast.expr) -> Callable[..., Any] | None:
    """What a call of a name or of a module's member runs; None when it is a method of a value."""
    if isinstance(node, ast.Name):
        if node.id in CHANGING:
            raise _changing(node.id)
        if node.id not in FUNCTIONS:
            guess = did_you_mean(node.id, FUNCTIONS)
            raise RefusedPythonError(
                f"there is no function `{node.id}`", hint=f"did you mean `{guess}`?" if guess else None
            )
        return FUNCTIONS[node.id]
    if not isinstance(node, ast.Attribute):
        raise RefusedPythonError("only functions and methods can be called")
    if isinstance(node.value, ast.Name) and node.value.id in ("fake", "Faker"):
        raise RefusedPythonError(
            "made-up values (`fake`) are not supported", hint="use the mapper's public variant: variant: meltano"
        )
    member = _module_member(node)
    if member is None:
        return None
    function = member[""] if isinstance(member, Mapping) and "" in member else member
    if not callable(function):
        raise RefusedPythonError(f"`{ast.unparse(node)}` can't be called")
    made: Callable[..., Any] = function
    return made


def _check_growth(value: Any, name: str, arguments: list[Any]) -> None:
    """Before a method makes something huge."""
    size = 0
    if name in PADDING and arguments:
        size = int(arguments[0])
    elif name == "replace" and isinstance(value, str) and len(arguments) > 1:
        size = (value.count(arguments[0]) + 1) * len(arguments[1])
    elif name == "join" and arguments:
        size = sum(len(part) + len(value) for part in arguments[0])
    if size > MOST:
        raise EvaluationError(f"`{name}` would make more than {MOST} characters")


def _checked(value: Any) -> Any:
    if isinstance(value, str | bytes | list | tuple | dict) and len(value) > MOST:
        raise EvaluationError(f"a value has more than {MOST} characters or items")
    return value


def _changing(name: str) -> RefusedPythonError:
    return RefusedPythonError(
        f"`{name}` gives another value at each run",
        hint="a run that is repeated must give the same rows: use a field of the source instead",
    )


def _joined(node: ast.JoinedStr, depth: int) -> Evaluate:
    parts = [_compiled(part, depth) for part in node.values]
    return lambda names: _checked("".join([part(names) for part in parts]))


def _formatted(node: ast.FormattedValue, depth: int) -> Evaluate:
    value = _compiled(node.value, depth)
    if node.format_spec is not None and not isinstance(node.format_spec, ast.JoinedStr):
        raise RefusedPythonError("the format is not supported")
    spec = "".join(_literal(part) for part in node.format_spec.values) if node.format_spec else ""
    if any(len(digits) > 3 for digits in "".join(c if c.isdigit() else " " for c in spec).split()):
        raise RefusedPythonError(f"the format `{spec}` is too wide")
    if node.conversion not in (-1, 115):
        raise RefusedPythonError("`!r` and `!a` are not supported")
    return lambda names: format(value(names), spec)


def _literal(node: ast.expr) -> str:
    if not isinstance(node, ast.Constant):
        raise RefusedPythonError("a format must be written out")
    return str(node.value)


def _sequence(node: ast.List | ast.Tuple | ast.Set, depth: int) -> Evaluate:
    items = [_compiled(item, depth) for item in node.elts]
    make: Callable[[Iterable[Any]], Any] = tuple if isinstance(node, ast.Tuple) else list
    return lambda names: make([item(names) for item in items])


def _dict(node: ast.Dict, depth: int) -> Evaluate:
    if any(key is None for key in node.keys):
        raise RefusedPythonError("`**` is not supported in objects")
    keys = [_compiled(key, depth) for key in node.keys if key is not None]
    values = [_compiled(value, depth) for value in node.values]
    return lambda names: {key(names): value(names) for key, value in zip(keys, values, strict=True)}


def _comprehension(node: ast.ListComp | ast.GeneratorExp, depth: int) -> Evaluate:
    if len(node.generators) != 1 or node.generators[0].is_async or not isinstance(node.generators[0].target, ast.Name):
        raise RefusedPythonError("a comprehension has one `for` with one name")
    loop = node.generators[0]
    assert isinstance(loop.target, ast.Name)
    target, source = loop.target.id, _compiled(loop.iter, depth)
    tests = [_compiled(test, depth) for test in loop.ifs]
    element = _compiled(node.elt, depth)
    if any(isinstance(inner, ast.ListComp | ast.GeneratorExp) for inner in ast.walk(node.elt)):
        raise RefusedPythonError("comprehensions in comprehensions are not supported")

    def run(names: Names) -> Any:
        made = []
        for item in source(names):
            inner = {**names, target: item}
            if all(test(inner) for test in tests):
                made.append(element(inner))
        return _checked(made)

    return run


_NODES: Mapping[type, Callable[[Any, int], Evaluate]] = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.BinOp: _binary,
    ast.UnaryOp: _unary,
    ast.BoolOp: _boolean,
    ast.Compare: _compare,
    ast.IfExp: _if,
    ast.Subscript: _subscript,
    ast.Slice: _slice,
    ast.Attribute: _attribute,
    ast.Call: _call,
    ast.JoinedStr: _joined,
    ast.FormattedValue: _formatted,
    ast.List: _sequence,
    ast.Tuple: _sequence,
    ast.Set: _sequence,
    ast.Dict: _dict,
    ast.ListComp: _comprehension,
    ast.GeneratorExp: _comprehension,
}
