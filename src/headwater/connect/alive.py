"""How long a server may keep us waiting. A statement that takes long is no fault: while one does, the server is asked
now and then, over a connection of its own, whether it is alive and still at what it was told."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

from headwater.base.clock import monotonic
from headwater.base.errors import RunFailedError
from headwater.base.text import duration

# How often a server is asked, and how long its answer may take; both less when the whole time is short.
_LOOK_SECONDS = 60.0
_ANSWER_SECONDS = 10.0


class Sign(Enum):
    """What a look at the server showed."""

    AT_WORK = auto()  # or at least it lives: nothing speaks against it
    AWAITS_US = auto()  # it has nothing to do for us, or does not know us any more
    NONE = auto()  # no answer


class SessionLostError(Exception):
    """The server waits for us while we wait for it, or has ended the session: something between us swallows what is
    sent. A new connection may well do."""


class Patience:
    """For who waits for `server`: call `begin` when a wait begins and when anything arrives, and `tick` every moment
    in which nothing does. `look` gets the seconds that it may take."""

    def __init__(self, seconds: float, *, server: str, look: Callable[[float], Sign]) -> None:
        self._seconds = seconds
        self._server = server
        self._look = look
        self._every = min(_LOOK_SECONDS, seconds / 4)
        self.begin()

    def begin(self) -> None:
        self._sign_at = self._looked_at = monotonic()
        self._is_awaited = False

    def tick(self) -> None:
        """Look at the server when it is time to. Raises RunFailedError (`no-sign-of-life`) when there was no sign of it
        for the time that was given, and SessionLostError when two looks, one after the other, say so."""
        if monotonic() - self._looked_at < self._every:
            return
        sign = self._look(min(_ANSWER_SECONDS, self._seconds / 2))
        self._looked_at = monotonic()
        if sign is Sign.NONE:
            if self._looked_at - self._sign_at >= self._seconds:
                raise self._silent()
            return
        self._sign_at = self._looked_at
        if sign is Sign.AWAITS_US and self._is_awaited:  # once, its answer may have been on its way
            raise SessionLostError(f"{self._server} has nothing to do for this session, and its answer never came")
        self._is_awaited = sign is Sign.AWAITS_US

    def _silent(self) -> RunFailedError:
        return RunFailedError(
            "no-sign-of-life",
            f"{self._server} did nothing for {duration(self._seconds)}",
            why="it does not answer a new connection either",
            hint="to allow more time: headwater config set EXTRACTOR _idle_timeout_seconds N",
        )
