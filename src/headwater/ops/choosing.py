"""Streams and columns that are chosen one by one, and the patterns that say the same."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from headwater.model.event import Emit
from headwater.ops import plugins, selection
from headwater.ops.workspace import Workspace


class Choice(Struct, kw_only=True):
    """A stream and its columns, and whether they are selected. Those in `fixed` can't be chosen: a key always comes,
    what the extractor can't read never does."""

    stream: str
    is_selected: bool
    columns: dict[str, bool]
    fixed: frozenset[str]

    def turn(self, *, on: bool) -> None:
        """Select it or not. One of which no column was chosen comes with all of them."""
        free = [name for name in self.columns if name not in self.fixed]
        if on and not any(self.columns[name] for name in free):
            self.columns |= dict.fromkeys(free, True)
        self.is_selected = on

    def chosen(self) -> int:
        return sum(self.columns.values()) if self.is_selected else 0


def offered(workspace: Workspace, name: str, *, emit: Emit, install: str | None = None) -> list[Choice]:
    """What the extractor offers, as it is chosen now. Discovers when it has to."""
    extractor = selection.extractor_of(workspace, name)
    plugins.install_as_asked(workspace, [extractor], install, emit=emit)
    catalog = selection.applied_catalog(workspace, extractor, refresh=False, emit=emit, may_be_empty=True)
    return [_choice(stream) for stream in catalog["streams"]]


def _choice(stream: dict[str, Any]) -> Choice:
    marks = {tuple(entry["breadcrumb"]): entry.get("metadata", {}) for entry in stream.get("metadata", ())}
    columns: dict[str, bool] = {}
    fixed = set()
    for name in stream.get("schema", {}).get("properties", {}):
        mark = marks.get(("properties", name), {})
        inclusion = mark.get("inclusion")
        if inclusion in ("automatic", "unsupported"):
            fixed.add(name)
        columns[name] = inclusion == "automatic" or (inclusion != "unsupported" and mark.get("selected", True))
    return Choice(
        stream=stream.get("stream") or stream["tap_stream_id"],
        is_selected=bool(marks.get((), {}).get("selected", stream.get("selected"))),
        columns=columns,
        fixed=frozenset(fixed),
    )


def patterns(choices: Sequence[Choice]) -> list[str]:
    """What `select` has to say: nothing when everything is chosen. A column that comes later is selected with its
    stream. Where no stream is chosen, they all are left out."""
    if all(
        one.is_selected and all(one.columns[name] for name in one.columns if name not in one.fixed) for one in choices
    ):
        return []
    found = []
    for one in choices:
        if one.is_selected:
            found.append(f"{_literal(one.stream)}.*")
            away = (name for name, is_chosen in one.columns.items() if not is_chosen and name not in one.fixed)
            found += [f"!{_literal(one.stream)}.{_literal(name)}" for name in away]
    return found or ["!*.*"]


def keep(workspace: Workspace, name: str, choices: Sequence[Choice]) -> list[str]:
    """Write the patterns that say so, in place of those before. Returns them."""
    found = patterns(choices)
    selection.replace(workspace, name, found)
    return found


def _literal(name: str) -> str:
    """A name as a pattern that matches it alone."""
    return re.sub(r"[*?\[]", r"[\g<0>]", name).replace(".", r"\.")
