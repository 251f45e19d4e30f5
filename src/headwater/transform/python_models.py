"""Models in Python: a file with a function `model`, which gets tables and returns one.

    def model(daily, shops="tap_shop.shops"):
        return daily.join(shops, "shop")

A parameter is a table, as Arrow: the model of that name, or what its default says: a table, or a SELECT. The function
returns an Arrow table, a data frame, or a list of dicts. `python_run` runs it.
"""

from __future__ import annotations

import ast
from typing import NoReturn

from headwater.base.errors import InputError, Where
from headwater.connect.names import quote

_FUNCTION = "model"


def inputs(text: str, file: str) -> dict[str, tuple[str, int]]:
    """The SELECT behind each parameter of the function, and the line on which it stands. Runs none of the code.

    Raises InputError (`bad-model`) with the line of what can't be meant.
    """
    try:
        tree = ast.parse(text, filename=file)
    except (SyntaxError, ValueError) as error:
        line = error.lineno or 1 if isinstance(error, SyntaxError) else 1
        said = error.msg if isinstance(error, SyntaxError) else str(error)
        hint = "correct this line or the one above it"
        raise InputError("bad-model", f"`{file}` is not Python: {said}", where=Where(file, line), hint=hint) from error
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == _FUNCTION]
    if not found:
        _refuse(file, 1, "has no function `model`", "def model(orders): … returns an Arrow table or a data frame")
    given = found[-1].args
    if given.posonlyargs or given.vararg or given.kwarg:
        _refuse(file, found[-1].lineno, "takes more than named parameters", "each parameter is a table that it reads")
    padding = [None] * (len(given.args) - len(given.defaults))
    pairs = [*zip(given.args, [*padding, *given.defaults], strict=True)]
    pairs += zip(given.kwonlyargs, given.kw_defaults, strict=True)
    return {one.arg: (_query(file, one, default), one.lineno) for one, default in pairs}


def _query(file: str, parameter: ast.arg, default: ast.expr | None) -> str:
    if default is None:
        return f"select * from {quote(parameter.arg)}"  # noqa: S608 - quoted
    if not isinstance(default, ast.Constant) or not isinstance(default.value, str):
        _refuse(file, parameter.lineno, f"has a parameter `{parameter.arg}` whose default is no text", "schema.table")
    told = default.value.strip()
    return told if " " in told or "\n" in told else f"select * from {told}"  # noqa: S608 - the user's own


def _refuse(file: str, line: int, what: str, hint: str) -> NoReturn:
    raise InputError("bad-model", f"`{file}` {what}", where=Where(file, line), hint=hint)
