"""How far each stream of a database was read, in the words that taps of databases write into their state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
from msgspec import Struct

from headwater.base.errors import InputError
from headwater.connect.contract import Checkpoint, Message, Rows

Json = dict[str, Any]


class Note(Struct, frozen=True):
    """A bookmark that covers all rows of its stream before it; None when the stream needs none any more."""

    stream: str
    bookmark: Json | None


class Bookmarks:
    """Bookmarks by stream; what else a state holds is kept as it is. Raises InputError (`unreadable-state`)."""

    def __init__(self, raw: bytes | None) -> None:
        self._whole: Json = {}
        try:
            if raw is not None and raw.strip():
                self._whole = msgspec.json.decode(raw, type=Json)
            self._streams = msgspec.convert(self._whole.setdefault("bookmarks", {}), dict[str, Json])
        except msgspec.MsgspecError as error:
            raise InputError(
                "unreadable-state",
                "the state is not one of a database's tap",
                why=str(error),
                hint="headwater state list",
            ) from error
        self._whole["bookmarks"] = self._streams

    def of(self, stream: str) -> Json:
        return self._streams.get(stream, {})

    def all(self) -> dict[str, Json]:
        return self._streams

    def take(self, note: Note) -> None:
        if note.bookmark is None:
            self._streams.pop(note.stream, None)
        else:
            self._streams[note.stream] = note.bookmark

    def encoded(self) -> bytes:
        return msgspec.json.encode(self._whole)


def checkpointed(
    found: Iterable[Message | Note], bookmarks: Bookmarks, *, went_on: Callable[[], None] = lambda: None
) -> Iterator[Message]:
    """The messages, with a checkpoint for each note; one at the end unless rows came that no note covers.

    A note is taken here, behind the rows that it is about: what is read ahead is in no checkpoint. `went_on` is called
    when whoever took a message, and may have taken long over it, asks for the next.
    """
    uncovered: set[str] = set()
    for item in found:
        if isinstance(item, Note):
            bookmarks.take(item)
            uncovered.discard(item.stream)
            yield Checkpoint(state=bookmarks.encoded())
        else:
            if isinstance(item, Rows):
                uncovered.add(item.stream)
            yield item
        went_on()
    if not uncovered:
        yield Checkpoint(state=bookmarks.encoded())
