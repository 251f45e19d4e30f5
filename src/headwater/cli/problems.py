"""What a person reads when something went wrong, all of it on stderr."""

from __future__ import annotations

import re
import sys
from typing import Any

import click
import msgspec

from headwater.base import clock
from headwater.base.errors import HeadwaterError, InputError
from headwater.cli import exits
from headwater.cli.output import unheard, wants_colour
from headwater.cli.settings import Settings
from headwater.model.event import Problem


def print_error(error: HeadwaterError | Problem, settings: Settings | None = None) -> None:
    """An error, or the problem that came with an event, on stderr; a JSON line where the log is one of JSON lines."""
    with unheard(sys.stderr):
        if settings is not None and settings.log_format == "json":
            click.echo(_json_line(error, settings), err=True)
            return
        from headwater.ops.workspace import environment_variables  # loaded when something went wrong

        colour = wants_colour(sys.stderr, environment_variables())
        click.echo(error_text(error, colour=colour), err=True, color=colour)


def _json_line(error: HeadwaterError | Problem, settings: Settings) -> str:
    line = {
        "timestamp": clock.iso(clock.now()),
        "level": "error",
        "event": error.what,
        "reference": error.reference,
        "where": str(error.where) if error.where else None,
        "why": error.why,
        "hint": error.hint,
        "exit_code": exits.spelled(error.exit_code, settings, error.reference),
    }
    return msgspec.json.encode(line).decode()


def error_text(error: HeadwaterError | Problem, *, colour: bool = False) -> str:
    """What, where, why and the next command; readable without colour."""

    def paint(text: str, **style: Any) -> str:
        return click.style(text, **style) if colour else text

    where = f"{error.where}: " if error.where else ""
    lines = [f"{paint('error:', fg='red', bold=True)} {where}{error.what} {paint(f'[{error.reference}]', dim=True)}"]
    if error.why:
        lines += [f"  {line}" for line in _one_screen(error.why.rstrip("\n").splitlines())]
    if error.hint:
        lines.append(f"{paint('hint:', fg='cyan')} {error.hint}")
    return "\n".join(lines)


def _one_screen(lines: list[str], *, most: int = 16, longest: int = 500) -> list[str]:
    """The end of a long explanation: what a program said last tells most."""
    lines = [line if len(line) <= longest else f"{line[:longest]}…" for line in lines]
    if len(lines) <= most:
        return lines
    return [f"… {len(lines) - most} lines left out", *lines[-most:]]


def usage_error(error: click.ClickException) -> InputError:
    """What click says of the arguments, as an error of ours."""
    what, _, guess = _ticked(error.format_message()).partition(" Did you mean ")
    what = what.rstrip(".\n")
    context = error.ctx if isinstance(error, click.UsageError) else None
    ask = f"{context.command_path if context else 'headwater'} --help"
    return InputError(
        "bad-usage", what[:1].lower() + what[1:], hint=f"did you mean {guess} or: {ask}" if guess else ask
    )


def _ticked(text: str) -> str:
    return re.sub(r"'([^']*)'", r"`\1`", text)


def print_bug(error: Exception, settings: Settings | None, command: str | None) -> None:
    """A line, and a file with what is needed to find the bug; the traceback itself only at log level `debug`."""
    from headwater.ops import crashes

    path = crashes.record(error, start=settings.folder() if settings else None, command=command)
    if settings is not None and settings.log_level == "debug":
        click.echo(path.read_text(), err=True)
    click.echo(f"error: this is a bug of headwater: {type(error).__name__}: {_first_line(error)} [bug]", err=True)
    click.echo(f"hint: report it with {path}", err=True)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["(no message)"])[0][:200]
