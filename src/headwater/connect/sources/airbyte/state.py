"""Where the streams of an Airbyte connector go on from: what it said last, told back to it by the next run."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
from msgspec import Struct, field


class State(Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """`streams` has each stream's state, `shared` what belongs to all of them (of type GLOBAL). `legacy` is the state
    of a connector that knows no streams: one object for everything."""

    streams: dict[str, Any] = field(default_factory=dict)
    shared: Any = None
    legacy: Any = None

    def take(self, message: dict[str, Any], *, skip: Collection[str]) -> bool:
        """Take over a STATE message, but for the streams of `skip`. False when it said nothing of others. What a
        connector said before it learned of streams holds until it speaks of one: told again, it would stand still."""
        match message.get("type") or "LEGACY":
            case "STREAM":
                is_new = self._take_stream(message.get("stream") or {}, skip)
                self.legacy = None if is_new else self.legacy
                return is_new
            case "GLOBAL":
                self.legacy = None
                said = message.get("global") or {}
                self.shared = said.get("shared_state")
                for stream in said.get("stream_states") or ():
                    self._take_stream(stream, skip)
                return True
            case _:
                self.legacy = message.get("data")
                return True

    def _take_stream(self, said: dict[str, Any], skip: Collection[str]) -> bool:
        name = (said.get("stream_descriptor") or {}).get("name", "")
        if name in skip:
            return False
        if said.get("stream_state") is None:
            self.streams.pop(name, None)
        else:
            self.streams[name] = said["stream_state"]
        return True

    def encoded(self) -> bytes:
        return msgspec.json.encode(self)

    def told(self, namespaces: dict[str, str | None]) -> Any:
        """What `--state` takes, of the streams named: those that go on. None when there is nothing to tell."""
        if self.legacy is not None:
            return self.legacy
        streams = [
            {"stream_descriptor": _descriptor(name, namespaces[name]), "stream_state": state}
            for name, state in self.streams.items()
            if name in namespaces
        ]
        if self.shared is not None:
            return [{"type": "GLOBAL", "global": {"shared_state": self.shared, "stream_states": streams}}]
        return [{"type": "STREAM", "stream": stream} for stream in streams] or None


def _descriptor(name: str, namespace: str | None) -> dict[str, str]:
    return {"name": name} if namespace is None else {"name": name, "namespace": namespace}
