"""`headwater select --samples` and `--interactive`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from headwater.cli import listen
from headwater.cli.output import print_json, print_table
from headwater.cli.settings import Settings
from headwater.cli.signals import cancelling

if TYPE_CHECKING:  # brings Arrow
    from headwater.ops.choosing import Choice
    from headwater.ops.sampling import StreamSample

_NUMBERS = re.compile(r"(\d+)(?:-(\d+))?")
_COLUMNS = ("property", "type", "sure", "filled", "null", "absent", "examples")


def show_samples(settings: Settings, extractor: str, stream: str | None, *, as_json: bool, install: str | None) -> None:
    """Print what the first rows of the selected streams show, or of that one."""
    from headwater.ops import sampling

    only = (stream,) if stream else ()
    with listen.listening(settings) as emit, cancelling() as cancel:
        found = sampling.samples(
            settings.complete_workspace(), extractor, emit=emit, cancel=cancel, only=only, install=install
        )
        if as_json:
            print_json(list(found))
            return
        for one in found:
            click.echo(heading(one))
            rows = [(c.name, c.type, c.sure, c.filled, c.nulls, c.absent, " · ".join(c.examples)) for c in one.columns]
            print_table(_COLUMNS, rows, empty="no column is known", align="lllrrrl")


def heading(one: StreamSample) -> str:
    return f"{one.stream}: {'all' if one.is_whole else 'the first'} {one.rows:,} rows"


def choose(settings: Settings, extractor: str, *, install: str | None) -> None:
    """Ask which streams and columns to select, and write the patterns that say so. What is ended before leaves all as
    it was."""
    from headwater.ops import choosing

    with listen.listening(settings) as emit:
        choices = choosing.offered(settings.complete_workspace(), extractor, emit=emit, install=install)
    before = choosing.patterns(choices)
    while True:
        print_table(
            ("#", "selected", "stream", "properties"),
            [(n, _mark(one.is_selected), one.stream, _share(one)) for n, one in enumerate(choices, 1)],
            empty=f"`{extractor}` offers no stream",
        )
        answer = _asked(
            "turn on or off (`2`, `1-3`, `all`), look into one (`?2`), leave as it was (`q`), or enter to keep it"
        )
        if answer == "q":
            return
        if not answer:
            break
        if answer.startswith("?"):
            for number in numbers(answer[1:], len(choices)):
                _look_into(settings, extractor, choices[number - 1])
            continue
        picked = [choices[number - 1] for number in numbers(answer, len(choices))]
        is_on = not all(one.is_selected for one in picked)
        for one in picked:
            one.turn(on=is_on)
    if choosing.patterns(choices) == before:
        click.echo("nothing was changed", err=True)
        return
    workspace = settings.complete_workspace(default_environment=False)
    click.echo("patterns: " + (", ".join(choosing.keep(workspace, extractor, choices)) or "*.*"))


def _look_into(settings: Settings, extractor: str, choice: Choice) -> None:
    from headwater.ops import sampling

    with listen.listening(settings) as emit, cancelling() as cancel:
        found = sampling.samples(
            settings.complete_workspace(), extractor, emit=emit, cancel=cancel, only=(choice.stream,), install="no"
        )
        seen = {column.name: column for one in found for column in one.columns}
    names = list(choice.columns)
    while True:
        rows = []
        for n, name in enumerate(names, 1):
            mark = "always" if name in choice.fixed and choice.columns[name] else _mark(choice.columns[name])
            one = seen.get(name)
            filled = f"{one.filled:,} of {one.filled + one.nulls + one.absent:,}" if one else ""
            rows.append((n, mark, name, one.type if one else "", filled, " · ".join(one.examples) if one else ""))
        print_table(("#", "selected", "property", "type", "filled", "examples"), rows, empty="it has no properties")
        answer = _asked(f"turn properties of `{choice.stream}` on or off (`2`, `1-3`, `all`), or enter to go back")
        if not answer:
            return
        picked = [names[number - 1] for number in numbers(answer, len(names)) if names[number - 1] not in choice.fixed]
        is_on = not all(choice.columns[name] for name in picked)
        choice.columns |= dict.fromkeys(picked, is_on)


def _asked(question: str) -> str:
    answer: str = click.prompt(question, default="", show_default=False, err=True)
    return answer.strip()


def numbers(text: str, most: int) -> list[int]:
    """`1,3-5 7` or `all` as numbers from 1 to `most`; what is none is told and left out."""
    return list(dict.fromkeys(_numbers(text, most)))


def _numbers(text: str, most: int) -> Iterator[int]:
    if text.strip() == "all":
        yield from range(1, most + 1)
        return
    for word in re.split(r"[,\s]+", text.strip()):
        found = _NUMBERS.fullmatch(word)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
        if not 1 <= first <= last <= most:
            click.echo(f"`{word}` is no number from 1 to {most}", err=True)
            continue
        yield from range(first, last + 1)


def _mark(is_selected: bool) -> str:
    return "yes" if is_selected else "-"


def _share(one: Choice) -> str:
    return f"{one.chosen()} of {len(one.columns)}"
