"""A log as a file says (`logging.yaml`): formatters, handlers and loggers in the words of Python's `dictConfig`.

The standard library builds the handlers; which line goes to which of them is decided here, by the rules of its loggers.
No logger of the process is touched: what libraries log may hold secrets and goes nowhere.

A line of a plugin is of the logger `meltano.plugin.stderr.extractors.tap-x` (or `stdout`, and its section), every other
of `meltano`. Formatters of `meltano.core.logging` are ours here. What can't be had is said once, with its line.
"""

from __future__ import annotations

import logging
import logging.config
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from msgspec import Struct

from headwater.base import yaml
from headwater.base.errors import Where
from headwater.cli import words
from headwater.cli.log_fields import Fields
from headwater.cli.log_spelling import SPELLINGS
from headwater.cli.pace import Pace
from headwater.cli.settings import LogFile
from headwater.model import event as e

# Without a format, `logging.Formatter` writes the bare text.
_SPELLINGS = {**SPELLINGS, "plain_formatter": logging.Formatter}
_CONSOLE = "console_log_formatter"
_OURS = re.compile(r"meltano\.core\.logging\.(?:formatters\.)?(\w+)")
_STREAM = re.compile(r"meltano\.core\.logging\.(?:utils\.)?SafeStreamHandler")
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50, "disabled": 51}


class _Logger(Struct, frozen=True, kw_only=True):
    """`level` 0 is that of the logger above."""

    level: int = 0
    handlers: tuple[str, ...] = ()
    propagate: bool = True


class FileLog:
    """Reads the file; `note` hears of each thing in it that can't be had. Close it at the end.

    `is_json`: what it writes to standard error are JSON lines. Raises InputError for a file that is no YAML.
    """

    def __init__(self, file: LogFile, note: Callable[[str], None]) -> None:
        self._file = file
        self._note = note
        self._document = yaml.read(file.path, shown=file.path.name)
        self._fields = Fields()
        self._pace = Pace()
        # The copy is what the standard library works on: it keeps there what it has made.
        self._made = logging.config.DictConfigurator({"version": 1, "formatters": {}, "filters": {}})
        self._json: set[str] = set()
        for name, given in self._section("filters"):
            made = self._try(
                ("filters", name), "it is left out", partial(self._made.configure_filter, self._made.convert(given))
            )
            self._made.config["filters"][name] = made or logging.Filter()
        for name, given in self._section("formatters"):
            self._made.config["formatters"][name] = self._formatter(name, given)
        self.is_json = False
        handlers = {name: self._handler(name, given) for name, given in self._section("handlers")}
        self._handlers = {name: made for name, made in handlers.items() if made is not None}
        self._loggers = {name: self._logger(given, ("loggers", name)) for name, given in self._section("loggers")}
        root = self._document.data.get("root") if isinstance(self._document.data, dict) else None
        if isinstance(root, dict):
            self._loggers[""] = self._logger(root, ("root",))
        if "root" in self._loggers:
            self._loggers.setdefault("", self._loggers["root"])

    def close(self) -> None:
        for handler in self._handlers.values():
            handler.close()

    def show(self, event: words.Heard) -> None:
        self._fields.take(event)
        line = words.line(event)
        if line is None or (isinstance(event, e.Progress) and not self._pace.is_due(event.step)):
            return
        name = self._name(event)
        level, handlers = self._route(name)
        number = _LEVELS[line.level]
        if number < level:
            return
        record = logging.LogRecord(name, number, "", 0, line.text, None, None)
        data = self._fields.record(event, line)
        # Formats of the standard library may ask for them: `%(run_id)s`.
        record.__dict__.update({key: value for key, value in data.items() if key not in record.__dict__})
        record.headwater = (line, data)
        for handler in handlers:
            if number >= handler.level:
                handler.handle(record)

    def _name(self, event: words.Heard) -> str:
        if not isinstance(event, e.PluginLine):
            return "meltano"
        section = self._file.plugins.get(event.plugin, "mappers")
        return f"meltano.plugin.{'stdout' if event.stdout else 'stderr'}.{section}.{event.plugin}"

    def _route(self, name: str) -> tuple[int, list[logging.Handler]]:
        """The least level of a logger and where its lines go: its own handlers and those of the loggers above it."""
        chain = [self._loggers[above] for above in _upwards(name) if above in self._loggers]
        level = next((logger.level for logger in chain if logger.level), 0)
        names: list[str] = []
        for logger in chain:
            names += logger.handlers
            if not logger.propagate:
                break
        return level or logging.WARNING, [self._handlers[item] for item in names if item in self._handlers]

    def _section(self, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """The entries of a section that are what they should be."""
        data = self._document.data
        entries = (data.get(key) if isinstance(data, dict) else None) or {}
        for name, given in entries.items() if isinstance(entries, dict) else ():
            if isinstance(given, dict):
                yield str(name), given
            else:
                self._say((key, name), "should have keys of its own: it is left out")

    def _formatter(self, name: str, given: dict[str, Any]) -> Any:
        found = _OURS.fullmatch(str(given.get("()", "")))
        if found is None:
            made = self._try(
                ("formatters", name),
                "plain lines are written in its stead",
                partial(self._made.configure_formatter, self._made.convert(given)),
            )
            return made or _SPELLINGS[_CONSOLE]()
        options = {key: value for key, value in given.items() if key != "()"}
        if found[1] == "json_formatter":
            self._json.add(name)
        spelling = _SPELLINGS.get(found[1])
        if spelling is None:
            self._say(("formatters", name, "()"), f"`{found[1]}` is not known: plain lines are written in its stead")
            return _SPELLINGS[_CONSOLE]()
        instead = "plain lines are written in its stead"
        return self._try(("formatters", name), instead, partial(spelling, **options)) or _SPELLINGS[_CONSOLE]()

    def _handler(self, name: str, given: dict[str, Any]) -> logging.Handler | None:
        wanted = dict(given)
        if _STREAM.fullmatch(str(wanted.get("class", ""))):
            wanted["class"] = "logging.StreamHandler"
        if "level" in wanted:
            wanted["level"] = self._level(wanted["level"], ("handlers", name, "level"))
        if isinstance(wanted.get("filename"), str):
            wanted["filename"] = str(self._file.root / wanted["filename"])
        build = partial(self._made.configure_handler, self._made.convert(wanted))
        made = self._try(("handlers", name), "it is left out", build)
        if not isinstance(made, logging.Handler):
            return None
        handler: logging.Handler = made
        handler.handleError = partial(self._failed, name)  # type: ignore[method-assign]  # its own prints a traceback
        if handler.formatter is None:
            handler.setFormatter(_SPELLINGS["plain_formatter"]())
        if getattr(handler, "stream", None) is sys.stderr and given.get("formatter") in self._json:
            self.is_json = True
        return handler

    def _logger(self, given: Mapping[str, Any], place: tuple[str, ...]) -> _Logger:
        wanted = given.get("handlers") or ()
        names = [wanted] if isinstance(wanted, str) else [str(name) for name in wanted]
        for name in names:
            if name not in (self._document.data.get("handlers") or ()):
                self._say((*place, "handlers"), f"there is no handler `{name}`")
        level = self._level(given["level"], (*place, "level")) if "level" in given else 0
        return _Logger(level=level, handlers=tuple(names), propagate=bool(given.get("propagate", True)))

    def _level(self, given: Any, place: tuple[str, ...]) -> int:
        if isinstance(given, int):
            return given
        level = _LEVELS.get(str(given).lower()) or logging.getLevelNamesMapping().get(str(given))
        if level is None:
            self._say(place, f"`{given}` is no level: `info` counts")
        return logging.INFO if level is None else level

    def _try(self, place: tuple[str, ...], instead: str, make: Callable[[], object]) -> Any:
        try:
            return make()
        except (ValueError, TypeError, AttributeError, ImportError, KeyError, OSError) as error:
            why = error.__cause__ or error
            self._say(place, f"`{place[-1]}` can't be had ({why}): {instead}")
            return None

    def _failed(self, name: str, _record: logging.LogRecord) -> None:
        """A line could not be written: that is said once, and no more of it."""
        error = sys.exc_info()[1]
        handler = self._handlers.pop(name, None)
        if handler is not None and not isinstance(error, BrokenPipeError):
            self._say(("handlers", name), f"`{name}` has failed ({error}): it gets no more lines")

    def _say(self, place: tuple[Any, ...], text: str) -> None:
        self._note(f"{Where(self._document.file, self._document.line(place))}: {text}")


def _upwards(name: str) -> Iterator[str]:
    """`a.b` → `a.b`, `a`, and the root."""
    while name:
        yield name
        name = name.rpartition(".")[0]
    yield ""
