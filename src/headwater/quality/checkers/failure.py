"""What to raise for checks that failed, and for what kept checks from being asked."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from headwater.base.errors import EnvironmentProblemError, HeadwaterError, InputError, RunFailedError, Where
from headwater.base.text import did_you_mean
from headwater.model.plan import Invoke
from headwater.quality.checkers.told import Told, Trouble

_OTHER_FILE = re.compile(r"in (/\S+)\[(\d+),\d+\]|\"(/[^\"]+)\", line (\d+)")
_SHOWN = 600
_TRACEBACK = re.compile(r"\(Background on this error|Traceback")


def of_checks(step: Invoke, checks: Sequence[Told]) -> HeadwaterError | None:
    """RunFailedError (`checks-failed`) when a check of severity `error` failed."""
    failed = [check for check in checks if check.fails]
    if not failed:
        return None
    root = Path(step.cwd)
    return RunFailedError(
        "checks-failed",
        f"{len(failed)} of {len(checks)} checks failed",
        where=_where(failed[0], root),
        why="\n".join(f"`{check.name}`: {check.message} ({_where(check, root)})" for check in failed),
        hint=f"headwater invoke {step.name} shows all that the tool says; put the data right, or what is asked of it",
    )


def of_trouble(step: Invoke, trouble: Trouble, checks: Sequence[Told]) -> HeadwaterError:
    """What is wrong with a contract, a checkpoint, the project of the tool or its connection."""
    if trouble.kind in _NAMED:
        return _NAMED[trouble.kind](step, trouble)
    where = _place(trouble, checks, Path(step.cwd))
    for pattern, raised in _WRONG:
        if found := pattern.search(trouble.why):
            return raised(step, found, trouble, where)
    return InputError(
        "bad-contract",
        "the contract can't be read" if step.block.name == "soda" else f"`{step.name}` can't read what it is to check",
        where=where,
        why=_short(trouble.why),
        hint=f"put it right; headwater invoke {step.name} shows all that the tool says",
    )


def of_error(check: Told) -> Trouble:
    """What a single check raised instead of an answer."""
    return Trouble(kind="check", file=check.file, why=check.message or "", name=check.name)


def _short(text: str) -> str:
    """What the tool says, without the traceback that Great Expectations puts into it."""
    text = _TRACEBACK.split(text, maxsplit=1)[0].strip()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _where(check: Told, root: Path) -> Where:
    return Where(shown(check.file, root), check.line)


def shown(file: str, root: Path) -> str:
    """A file of the project by its path within."""
    path = Path(file)
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def _place(trouble: Trouble, checks: Sequence[Told], root: Path) -> Where | None:
    """The file, and the line that the tool names or where the missing column's checks begin."""
    if trouble.file is None:
        return None
    other = _OTHER_FILE.search(trouble.why)
    if other is not None:  # Soda counts from 0
        return Where(shown(other[1] or other[3], root), int(other[2]) + 1 if other[2] else int(other[4]))
    named = next((found for pattern in _COLUMN if (found := pattern.search(trouble.why))), None)
    of_file = [check for check in checks if check.file == trouble.file]
    if named is not None:
        line = next((check.line for check in of_file if (check.column or "").casefold() == named[1].casefold()), 0)
        return Where(shown(trouble.file, root), line)
    return Where(shown(trouble.file, root))


def _no_source(step: Invoke, trouble: Trouble) -> HeadwaterError:
    file = shown(trouble.file or "", Path(step.cwd))
    return InputError(
        "no-checker-project",
        f"there is no `{file}`, which says what `{step.block.name}` connects to",
        hint=f"headwater add {step.block.name} writes one",
    )


def _none(step: Invoke, _trouble: Trouble) -> HeadwaterError:
    places = {"soda": "soda/contracts/TABLE.yml", "great_expectations": "gx/checkpoints/NAME.json"}
    driver = step.checker.driver if step.checker else ""
    return InputError(
        "nothing-to-check",
        f"`{step.name}` has nothing to check",
        hint=f"write {places.get(driver, 'one')}; headwater add {step.block.name} writes an example "
        "once a table was loaded",
    )


def _unknown(step: Invoke, trouble: Trouble) -> HeadwaterError:
    name, command = trouble.name or "", (step.command or "").partition(":")[0]
    guess = did_you_mean(name, trouble.known)
    return InputError(
        "unknown-contract",
        f"`{step.block.name}` has nothing called `{name}` to check",
        hint=f"did you mean `{step.block.name}:{command}:{guess}`?" if guess else f"it has: {', '.join(trouble.known)}",
    )


_NAMED: dict[str, Callable[[Invoke, Trouble], HeadwaterError]] = {
    "no-source": _no_source,
    "no-contracts": _none,
    "no-checkpoints": _none,
    "unknown-contract": _unknown,
    "unknown-checkpoint": _unknown,
}


def _no_adapter(step: Invoke, found: re.Match[str], trouble: Trouble, where: Where | None) -> HeadwaterError:
    package = f"soda-{found[1]}" if step.checker and step.checker.driver == "soda" else found[1]
    return InputError(
        "checker-adapter-missing",
        f"`{package}` is needed to connect, and is not installed with `{step.block.name}`",
        where=where,
        why=_short(trouble.why),
        hint=f"add {package} to the `pip_url` of {step.block.name}",
    )


def _no_table(_step: Invoke, found: re.Match[str], trouble: Trouble, where: Where | None) -> HeadwaterError:
    name = next(word for word in found.groups() if word)
    close = re.search(r'Did you mean "([^"]+)"', trouble.why)
    return InputError(
        "unknown-table",
        f"there is no table `{name}` in the warehouse",
        where=where,
        hint=f"did you mean `{close[1]}`?" if close else "load or build it first: headwater run",
    )


def _no_column(_step: Invoke, found: re.Match[str], trouble: Trouble, where: Where | None) -> HeadwaterError:
    close = re.search(r"Candidate bindings: ([^\n]+)", trouble.why)
    return InputError(
        "unknown-column",
        f"the table that is checked has no column `{found[1]}`",
        where=where,
        why=f"it has {close[1]}" if close else None,
        hint="correct the column's name, or leave it out; headwater query shows what the table has",
    )


def _no_data_source(step: Invoke, found: re.Match[str], _trouble: Trouble, where: Where | None) -> HeadwaterError:
    file = shown(f"{step.checker.folder if step.checker else ''}/data_source.yml", Path(step.cwd))
    return InputError(
        "unknown-data-source",
        f"the contract is for the data source `{found[1]}`, which data_source.yml does not describe",
        where=where,
        hint=f"begin `dataset` with the `name` that stands in {file}",
    )


def _not_connected(step: Invoke, _found: re.Match[str], trouble: Trouble, _where: Where | None) -> HeadwaterError:
    return EnvironmentProblemError(
        "checker-not-connected",
        f"`{step.block.name}` cannot connect to the warehouse",
        why=_short(trouble.why),
        hint=f"headwater config list {step.block.name} shows where it looks",
    )


def _bad_query(_step: Invoke, _found: re.Match[str], trouble: Trouble, where: Where | None) -> HeadwaterError:
    return InputError(
        "bad-check",
        "a check can't be asked",
        where=where,
        why=_short(trouble.why),
        hint="correct its SQL, or what it compares",
    )


_COLUMN = (
    re.compile(r'Referenced column "([^"]+)" not found'),
    re.compile(r'[Cc]olumn "([^"]+)" (?:in BatchData )?does not exist'),
)
_Raise = Callable[[Invoke, re.Match[str], Trouble, Where | None], HeadwaterError]
# What the tools and their databases say, and what to raise for it: the first that fits.
_WRONG: tuple[tuple[re.Pattern[str], _Raise], ...] = (
    (re.compile(r"Data source type '([\w-]+)' not available"), _no_adapter),
    (re.compile(r"No module named '([\w-]+)|Can't load plugin: sqlalchemy\.dialects:([\w.]+)"), _no_adapter),
    (re.compile(r"Data source '([^']+)' not found"), _no_data_source),
    *((pattern, _no_column) for pattern in _COLUMN),
    (
        re.compile(
            r'Table with name (\S+) does not exist|relation "([^"]+)" does not exist|'
            r'table: "?([\w.-]+)"? failed because the table'
        ),
        _no_table,
    ),
    (re.compile(r"Could not connect to|OperationalError|IO Error"), _not_connected),
    (re.compile(r"Could not execute|Query execution failed|MetricResolutionError"), _bad_query),
)
