"""Where a checkpoint may stand among the messages of several streams that are read side by side."""

from __future__ import annotations

from headwater.connect.contract import Message, Rows
from headwater.connect.sources.reading import Reading


class Vouching:
    """A checkpoint vouches for all rows before it. Rows that no note of their stream covers come again after a run that
    dies: where they have keys they are updated then. Those without keys would stand twice, and a stream that is
    replaced is complete at its end only: before these no checkpoint follows."""

    def __init__(self) -> None:
        self._open: set[str] = set()

    def begins(self, stream: Reading) -> None:
        if stream.is_full:
            self._open.add(stream.name)

    def took(self, stream: Reading, message: Message) -> None:
        """A message of the stream was passed on."""
        if isinstance(message, Rows) and not stream.keys:
            self._open.add(stream.name)

    def noted(self, stream: Reading) -> bool:
        """All rows of the stream so far are covered by the state. Whether a checkpoint may follow."""
        if not stream.is_full:
            self._open.discard(stream.name)
        return self.may_follow()

    def may_follow(self) -> bool:
        return not self._open
