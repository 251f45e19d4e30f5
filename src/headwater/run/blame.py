"""Who is to blame when a chain of programs didn't end well. Pure: judged from how each of them ended."""

from __future__ import annotations

import signal
from collections.abc import Sequence

from msgspec import Struct

from headwater.base.errors import RunFailedError
from headwater.model.plugin import PluginKind

# How much later than it happened an end may be noticed.
_AT_ONCE = 0.1


class End(Struct, frozen=True, kw_only=True):
    """How a program ended. `stopped`: we made it. `cut_off`: it ended while input was left for it. `at` counts
    seconds on a clock that all of a chain share."""

    kind: PluginKind
    name: str
    code: int
    at: float
    stopped: bool = False
    cut_off: bool = False
    cause: str | None = None


def verdict(ends: Sequence[End]) -> RunFailedError | None:
    """None when every program ended well of its own accord. Else the error of the one that went first. `ends` stand in
    the order of the pipes, the source before its reader.

    A program that we stopped, because its neighbour had died, is never to blame. Nor is one that fails after its
    source has: it was handed half a message. Of two that end at once, a reader that came to the end of its input went
    second, whichever end was noticed first.
    """
    failed = [end for end in ends if end.code != 0 and not end.stopped]
    if failed:
        first = min(failed, key=lambda end: end.at)
        if not first.cut_off:
            first = next(end for end in failed if end.at - first.at < _AT_ONCE)
        return _failed(first)
    early = next((end for end in ends if end.cut_off and not end.stopped), None)
    if early is not None:
        return RunFailedError(
            f"{early.kind.value}-quit-early",
            f"{early.kind.value} `{early.name}` ended before it had read everything",
            why=early.cause or "it reported success (exit code 0) with data left unread",
            hint=f"headwater invoke {early.name} --help",
        )
    return None


def _failed(end: End) -> RunFailedError:
    subject = f"{end.kind.value} `{end.name}`"
    if end.code < 0:
        what = f"{subject} was killed by {_signal_name(-end.code)}"
    else:
        what = f"{subject} failed with exit code {end.code}"
    hint = f"headwater config test {end.name}"
    if end.code == -signal.SIGKILL:
        hint = "see whether the machine ran out of memory: dmesg | grep -i oom"
    elif end.kind is PluginKind.LOADER and _is_about_json(end.cause):
        hint = "the extractor may write something else than Singer messages to stdout: look at its first lines"
    return RunFailedError(f"{end.kind.value}-failed", what, why=end.cause, hint=hint, program_code=end.code)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _is_about_json(cause: str | None) -> bool:
    return cause is not None and any(
        word in cause for word in ("JSONDecodeError", "Unable to parse", "Expecting value", "invalid JSON")
    )
