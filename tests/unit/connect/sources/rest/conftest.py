"""A source in a folder, beside a stand-in for its API."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from headwater.connect.contract import Checkpoint, Message, ReadRequest, Rows
from headwater.connect.sources import rest
from headwater.connect.sources.rest import spec_file

EXAMPLES = Path(__file__).parents[5] / "examples" / "rest"


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

    def example(self, name: str, host: str, given: dict[str, Any]) -> None:
        """One of examples/rest as it is, but that the stand-in is asked and not `host`."""
        text = (EXAMPLES / f"{name}.yml").read_text()
        assert f"base_url: {host}\n" in text
        (self.folder / "shop.yml").write_text(text.replace(host, self.api.url))
        settings = spec_file.read(self.folder / "shop.yml", "shop.yml").settings
        self.given = {one.name: one.value for one in settings if one.value} | given
        self.secrets = tuple(given[one.name] for one in settings if one.sensitive)

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


def called(asked: Any) -> str:
    """How a call is named in a recording."""
    return f"{asked.method} {asked.path}" + (f"?{urlencode(asked.query)}" if asked.query else "")


def moved(reply: Any, host: str, to: str) -> Any:
    """What the API at `host` answers, with links that lead to a stand-in."""
    return reply._replace(headers={name: value.replace(host, to) for name, value in reply.headers.items()})


@pytest.fixture
def source(tmp_path: Path, api: Any) -> Source:
    return Source(tmp_path, api)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headwater.connect.sources.rest.calls._FIRST_PAUSE", 0.001)
