"""A tap's lines in, the contract's messages out."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from headwater.base.errors import HeadwaterError
from headwater.connect.contract import Message, Rows
from headwater.connect.singer.parse import ParseOptions, messages


class Tap:
    """Collects lines and reads them; `notices` and `error` say what was told on the way."""

    def __init__(self) -> None:
        self.notices: list[str] = []
        self.error: HeadwaterError | None = None

    def read(self, *lines: bytes | str, chunks: list[bytes] | None = None, **options: Any) -> list[Message]:
        data = b"".join(line if isinstance(line, bytes) else line.encode() + b"\n" for line in lines)
        found: list[Message] = []
        try:
            for message in messages(chunks or [data], ParseOptions(**options), self.notices.append):
                found.append(message)  # noqa: PERF402 - what came before an error counts
        except HeadwaterError as error:
            self.error = error
        return found

    def rows(self, *lines: bytes | str, **options: Any) -> list[dict[str, Any]]:
        """All rows, as Python values; an error fails the test."""
        found = self.read(*lines, **options)
        if self.error is not None:
            raise self.error
        return [row for message in found if isinstance(message, Rows) for row in message.batch.to_pylist()]

    def column(self, schema: dict[str, Any], *values: str) -> tuple[str, list[Any]]:
        """The type and the values of one column `v` that was sent as these JSON texts."""
        lines = [
            self.schema(v=schema),
            *(f'{{"type":"RECORD","stream":"s","record":{{"v":{value}}}}}' for value in values),
        ]
        found = [message for message in self.read(*lines) if isinstance(message, Rows)]
        if self.error is not None:
            raise self.error
        return str(found[-1].batch.schema.field("v").type), [v for rows in found for v in rows.batch["v"].to_pylist()]

    @staticmethod
    def schema(keys: list[str] | None = None, stream: str = "s", **properties: Any) -> str:
        shape = {"type": "object", "properties": properties}
        return json.dumps({"type": "SCHEMA", "stream": stream, "schema": shape, "key_properties": keys or []})

    @staticmethod
    def record(text: str, stream: str = "s") -> str:
        return f'{{"type":"RECORD","stream":"{stream}","record":{text}}}'

    @staticmethod
    def state(text: str) -> str:
        return f'{{"type":"STATE","value":{text}}}'


@pytest.fixture
def tap() -> Tap:
    return Tap()


@pytest.fixture
def shown() -> Callable[[list[Message]], list[str]]:
    """Messages in short: `Schema s`, `Rows s 2`, `Checkpoint {"a":1}`."""

    def short(message: Message) -> str:
        name = type(message).__name__
        if isinstance(message, Rows):
            return f"Rows {message.stream} {message.batch.num_rows}"
        state = getattr(message, "state", None)
        return f"{name} {state.decode() if state is not None else message.stream}"  # type: ignore[union-attr]

    return lambda found: list(map(short, found))
