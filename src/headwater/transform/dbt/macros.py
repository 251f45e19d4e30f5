"""The SQL of a dbt model with macros, loops and conditions: rendered by Jinja, without dbt.

Known are the macros of the project and of its packages, `ref`, `source`, `var`, `config`, `this`, `is_incremental`,
`return` and `adapter.dispatch`. Whatever asks the database or the environment is not, and can't be read without dbt.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any, NoReturn

from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import SandboxedEnvironment

from headwater.transform.dbt.jinja import Plain, UnreadableError, Words, marked
from headwater.transform.increments import THIS

_MACRO = re.compile(r"\{%-?\s*macro\s+(\w+)\s*\(.*?\{%-?\s*endmacro\s*-?%\}", re.DOTALL)
_TEST = re.compile(r"\{%-?\s*(?:data_)?test\s+(\w+)\s*(\(.*?)\{%-?\s*end(?:data_)?test\s*(-?%\})", re.DOTALL)
_SNAPSHOT = re.compile(r"\{%-?\s*(?:snapshot\s+\w+|endsnapshot)\s*-?%\}")


class _ReturnedError(Exception):
    """Ends a macro with a value: how dbt's `return` works."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


def found(text: str) -> Iterator[tuple[str, str]]:
    """The macros of a file, by name; a test of the name `x` is the macro `test_x`, as in dbt."""
    yield from ((one[1], one[0]) for one in _MACRO.finditer(text))
    for one in _TEST.finditer(text):
        yield f"test_{one[1]}", f"{{% macro test_{one[1]}{one[2]}{{% endmacro {one[3]}"


def rendered(text: str, words: Words, macros: Mapping[str, Mapping[str, str]], dialect: str) -> Plain:
    """`macros` are those of each package by name, the project's own under an empty one. `dialect` is what dbt calls the
    adapter. Lines that are there only when rows are added get the mark of an increment.

    Raises UnreadableError.
    """
    whole = _Reading(words, macros, dialect, is_incremental=False)
    result = Plain(sql=whole.render(text), config=whole.config, refs=whole.refs)
    if whole.asked_for_increment:
        new = _Reading(words, macros, dialect, is_incremental=True)
        result.sql = _marked(result.sql, new.render(text))
        result.refs += [name for name in new.refs if name not in result.refs]
    return result


class _Config:
    """`config(…)` and `config.get(…)`: it stands for nothing in the text."""

    def __init__(self, told: dict[str, Any]) -> None:
        self._told = told

    def __call__(self, **given: Any) -> str:
        self._told |= given
        return ""

    def get(self, name: str, default: Any = None) -> Any:
        return self._told.get(name, default)


class _Reading:
    """One rendering of a text, and what was asked for on the way."""

    def __init__(
        self, words: Words, macros: Mapping[str, Mapping[str, str]], dialect: str, *, is_incremental: bool
    ) -> None:
        self.config: dict[str, Any] = {}
        self.refs: list[str] = []
        self.asked_for_increment = False
        self._words, self._dialect, self._is_incremental = words, dialect, is_incremental
        self._jinja = SandboxedEnvironment(undefined=StrictUndefined, extensions=["jinja2.ext.do"])
        self._own = {
            package: {name: self._macro(name, text) for name, text in of.items()} for package, of in macros.items()
        }
        self._jinja.globals |= {package: SimpleNamespace(**of) for package, of in self._own.items() if package}
        self._jinja.globals |= self._own.get("", {})
        self._jinja.globals |= {
            "ref": self._ref,
            "source": words.source,
            "var": self._var,
            "config": _Config(self.config),
            "this": THIS,
            "is_incremental": self._asked,
            "return": _returned,
            "log": lambda *_words, **_more: "",
            "target": {"type": dialect},
            "adapter": SimpleNamespace(dispatch=self._dispatch),
            "exceptions": SimpleNamespace(raise_compiler_error=_refused),
        }

    def render(self, text: str) -> str:
        try:
            sql = self._jinja.from_string(_SNAPSHOT.sub("", text)).render()
        except TemplateError as error:
            raise UnreadableError(" ".join(str(error).split()), getattr(error, "lineno", None) or 1) from error
        except (TypeError, ValueError, ArithmeticError, LookupError, RecursionError) as error:
            raise UnreadableError(f"a macro fails: {error}", 1) from error
        lines = [line.rstrip() for line in sql.strip().rstrip(";").split("\n")]
        if not any(line.count("'") % 2 for line in lines):  # no text goes over a line's end
            lines = [line for line in lines if line]  # blocks of Jinja leave empty ones
        return "\n".join(lines) + "\n"

    def _macro(self, name: str, text: str) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            # A template of its own for each call: it sees all that is known by then.
            macro = getattr(self._jinja.from_string(text).module, name)
            try:
                return macro(*given, **named)
            except _ReturnedError as returned:
                return returned.value

        return call

    def _ref(self, *names: str, **_version: Any) -> str:
        self.refs.append(names[-1])
        return self._words.table(names[-1])

    def _var(self, name: str, *default: Any) -> Any:
        if name in self._words.variables:
            return self._words.variables[name]
        if not default:
            _refused(f"`{{{{ var('{name}') }}}}` has no value")
        return default[0]

    def _asked(self) -> bool:
        self.asked_for_increment = True
        return self._is_incremental

    def _dispatch(self, name: str, package: str | None = None, **more: Any) -> Callable[..., Any]:
        package = package or more.get("macro_namespace")
        known = {**self._own.get(package or "", {}), **self._own.get("", {})}
        for prefix in (self._dialect, "default"):
            if macro := known.get(f"{prefix}__{name}"):
                return macro
        return _refused(f"no macro `{self._dialect}__{name}` or `default__{name}`")


def _returned(value: Any = None) -> NoReturn:
    raise _ReturnedError(value)


def _refused(what: str) -> NoReturn:
    raise UnreadableError(what, 1)


def _marked(whole: str, new: str) -> str:
    """The lines of `new`, with a mark on those that `whole` does not have. Raises UnreadableError."""
    left = whole.rstrip("\n").split("\n")
    lines = []
    for line in new.rstrip("\n").split("\n"):
        if left and left[0] == line:
            lines.append(left.pop(0))
        else:
            lines.append(marked(line))
    if any(left):
        raise UnreadableError("`is_incremental()` takes lines away, too", 1)
    return "\n".join(lines) + "\n"
