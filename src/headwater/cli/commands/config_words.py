"""The orders of words that `config` understands: `config set PLUGIN …`, and Meltano 3's `config PLUGIN set …`."""

from __future__ import annotations

from collections.abc import Collection

import click

# Options that stand before the command and take a word.
_WITH_A_WORD = ("--plugin-type", "--format", "--store")
_OF_THE_GROUP = ("--safe", "--unsafe", "--help", "-h")


class ConfigGroup(click.Group):
    """Puts the words of the older order into the newer one; `config PLUGIN` alone is `config print PLUGIN`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, in_order(args, self.commands))


def in_order(words: list[str], commands: Collection[str]) -> list[str]:
    """The words with the command before the plugin; as they are when it stands there, or when there is no plugin."""
    plain = _plain(words)
    if not plain or words[plain[0]] in commands:
        return words
    second = next((spot for spot in plain[1:2] if words[spot] in commands), None)
    command = "print" if second is None else words[second]
    rest = [word for spot, word in enumerate(words) if spot != second]
    group = [word for word in rest[: plain[0]] if word in _OF_THE_GROUP]
    return [*group, command, *(word for word in rest[: plain[0]] if word not in _OF_THE_GROUP), *rest[plain[0] :]]


def _plain(words: list[str]) -> list[int]:
    """Where words stand that are neither options nor the values of options."""
    found = []
    takes_next = False
    for spot, word in enumerate(words):
        name = word.replace("_", "-")
        if not takes_next and not word.startswith("-"):
            found.append(spot)
        takes_next = name in _WITH_A_WORD
    return found
