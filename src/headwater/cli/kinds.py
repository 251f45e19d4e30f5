"""The older order of words, `add extractor tap-x`: a kind before the names."""

from __future__ import annotations

from collections.abc import Sequence

from headwater.model.plugin import PluginKind

KINDS = {word: kind for kind in PluginKind for word in (kind.value, kind.section)}


def kind_first(
    words: Sequence[str], kind: PluginKind | None, *, least: int = 1
) -> tuple[tuple[str, ...], PluginKind | None]:
    """The names and the kind; a kind's word counts as one where at least `least` names follow it."""
    if kind is None and words and words[0] in KINDS and len(words) > least:
        return tuple(words[1:]), KINDS[words[0]]
    return tuple(words), kind
