"""A source in a folder, beside a stand-in for its API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from headwater.connect.contract import Checkpoint, Message, ReadRequest, Rows
from headwater.connect.sources import rest


class Source:
    def __init__(self, folder: Path, api: Any) -> None:
        self.folder = folder
        self.api = api
        self.given: dict[str, Any] = {}
        self.secrets: tuple[str, ...] = ()
        self.lines: list[str] = []
        self.cache_seconds = 0

    def write(self, text: str) -> None:
        """The YAML; its `base_url` is the stand-in's."""
        (self.folder / "shop.yml").write_text(f"base_url: {self.api.url}\n{text}")

    @property
    def settings(self) -> rest.Settings:
        return rest.Settings(
            source="shop.yml",
            root=str(self.folder),
            given=self.given,
            secrets=self.secrets,
            cache_seconds=self.cache_seconds,
        )

    def discovered(self) -> Any:
        return rest.discover(self.settings)

    def messages(self, state: bytes | None = None) -> list[Message]:
        catalog = self.discovered()
        self.api.asked.clear()
        request = ReadRequest(catalog=catalog, state=state, folder=self.folder, on_line=self.lines.append)
        return list(rest.read(self.settings, request))

    def read(self, state: bytes | None = None) -> tuple[list[dict[str, Any]], bytes]:
        """All rows, and the last state."""
        found = self.messages(state)
        rows = [row for message in found if isinstance(message, Rows) for row in message.batch.to_pylist()]
        return rows, [message for message in found if isinstance(message, Checkpoint)][-1].state

    def bookmark(self, state: bytes, stream: str = "orders") -> Any:
        return msgspec.json.decode(state)["streams"][stream].get("bookmark")


@pytest.fixture
def source(tmp_path: Path, api: Any) -> Source:
    return Source(tmp_path, api)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headwater.connect.sources.rest.calls._FIRST_PAUSE", 0.001)
