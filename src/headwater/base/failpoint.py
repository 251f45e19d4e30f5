"""Points at which a test can have this program die, to see that nothing is lost and nothing comes twice.

`HEADWATER_FAILPOINT=commit.booked:2` kills the process with SIGKILL when it comes to that point for the second time;
`commit.booked:2:stop` stops it there (SIGSTOP) until it is continued, as a writer that was thought dead. Unless a
point is armed, passing one costs a look at an empty dict.
"""

from __future__ import annotations

import os
import signal

from headwater.base.errors import InputError

POINTS = {
    "stage.taken": "rows were handed to the destination's session, nothing of them is durable",
    "spool.written": "rows that wait for their commit were written to a private file",
    "commit.begun": "the destination's transaction is open, nothing is written",
    "commit.loaded": "rows are in their tables, the books are not written",
    "commit.booked": "rows, ledger and checkpoint are written, the commit is not yet asked for",
    "commit.done": "the destination has committed, nobody was told",
    "state.begun": "the data are safe, their state is about to be kept",
    "file.written": "a file to be put in place (a state, a manifest) is on disk under another name",
    "state.done": "the state is kept, the run goes on",
}
_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}

# Passes left before a point fires, and the signal that it then sends.
_armed: dict[str, tuple[int, signal.Signals]] = {}


def arm(text: str | None) -> None:
    """Arm what `NAME:N[:kill|stop]` says, and nothing else from now on. Raises InputError (`bad-failpoint`)."""
    _armed.clear()
    if not text:
        return
    name, _, rest = text.partition(":")
    count, _, action = rest.partition(":")
    if name not in POINTS or not count.isdecimal() or int(count) == 0 or (action or "kill") not in _SIGNALS:
        raise InputError(
            "bad-failpoint",
            f"HEADWATER_FAILPOINT=`{text}` names no point",
            why="it has the form NAME:N or NAME:N:stop, N counting from 1",
            hint=f"the points are: {', '.join(POINTS)}",
        )
    _armed[name] = (int(count), _SIGNALS[action or "kill"])


def reach(name: str) -> None:
    """This is the point of that name. Returns, unless a test wants the program to die here."""
    if _armed and name in _armed:
        left, sent = _armed[name]
        if left > 1:
            _armed[name] = (left - 1, sent)
        else:
            del _armed[name]
            os.kill(os.getpid(), sent)
