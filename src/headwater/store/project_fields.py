"""Typed reading of one mapping of a project file: every refusal names the file, the line and what was expected."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from headwater.base.errors import InputError, Where
from headwater.base.text import did_you_mean, listed
from headwater.base.yaml import Document

_TYPES = {dict: "a mapping", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}


class Section:
    """The mapping at `path` of a document; `title` is what a person calls it (``extractor `tap-x` ``)."""

    def __init__(self, document: Document, path: tuple[Any, ...], data: dict[Any, Any], title: str) -> None:
        self.document = document
        self.path = path
        self.data = data
        self.title = title

    def __contains__(self, key: str) -> bool:
        return key in self.data

    def where(self, *below: Any) -> Where:
        return Where(self.document.file, self.document.line((*self.path, *below)))

    def line(self, *below: Any) -> int:
        return self.document.line((*self.path, *below))

    def text(self, key: str) -> str | None:
        """As written: `3.10` stays `3.10`. None for an absent key and for null."""
        value = self.data.get(key)
        if value is None or isinstance(value, str):  # first: asked 60 times a plugin, and nearly always so
            return value
        if isinstance(value, dict | list):
            raise self.wrong_type(value, "text", key)
        return self.document.text((*self.path, key))

    def required_text(self, key: str, *, example: str) -> str:
        text = self.text(key)
        if not text:
            raise InputError(
                "missing-key",
                f"{self.title} has no `{key}`",
                where=self.where(),
                hint=f"add `{key}: {example}`",
            )
        return text

    def name(self, *, example: str, forbid_colon: bool = False) -> str:
        name = self.required_text("name", example=example)
        if forbid_colon and ":" in name:
            raise InputError(
                "bad-name",
                f"the name `{name}` holds a `:`",
                where=self.where("name"),
                why="the colon stands between a plugin and its command, and between the parts of a state id",
                hint=f"rename it, for example to `{name.replace(':', '-')}`",
            )
        return name

    def flag(self, key: str) -> bool | None:
        value = self.data.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.wrong_type(value, "true or false", key)
        return value

    def mapping(self, key: str) -> dict[Any, Any]:
        """Empty for an absent key and for null."""
        value = self.data.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.wrong_type(value, "a mapping", key)
        return value

    def sequence(self, key: str) -> list[Any]:
        value = self.data.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.wrong_type(value, "a list", key)
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts."""
        texts = []
        for index, value in enumerate(self.sequence(key)):
            if value is None or isinstance(value, dict | list):
                raise self.wrong_type(value, "text", key, index)
            texts.append(value if isinstance(value, str) else self.document.text((*self.path, key, index)) or "")
        return tuple(texts)

    def env(self, key: str = "env") -> dict[str, str]:
        """Variables; a value that is no text is taken as it is written, null is the empty text."""
        found = {}
        for name, value in self.mapping(key).items():
            if isinstance(value, dict | list):
                raise self.wrong_type(value, "text", key, name)
            text = value if isinstance(value, str) else self.document.text((*self.path, key, name))
            found[str(name)] = text or ""
        return found

    def sections(self, key: str, title: str) -> list[Section]:
        """The mappings in a list."""
        found = []
        for index, value in enumerate(self.sequence(key)):
            if not isinstance(value, dict):
                raise self.wrong_type(value, "a mapping with a `name`", key, index)
            found.append(Section(self.document, (*self.path, key, index), value, _titled(title, value)))
        return found

    def section(self, key: str, title: str) -> Section:
        return Section(self.document, (*self.path, key), self.mapping(key), title)

    def check_keys(self, known: Iterable[str]) -> None:
        """Refuse any key that is not known."""
        known = tuple(known)
        for key in self.data:
            if key not in known:
                raise self.unknown_key(key, known)

    def check_typos(self, known: Iterable[str], taken: Iterable[str]) -> None:
        """Refuse, where any key may be used, one that is a single slip away from a known one."""
        known = tuple(known)
        for key in taken:
            meant = next((word for word in known if is_one_slip_away(str(key), word)), None)
            if meant is not None:
                raise self.unknown_key(key, (meant,))

    def unknown_key(self, key: Any, known: tuple[str, ...]) -> InputError:
        guess = did_you_mean(str(key), known)
        return InputError(
            "unknown-key",
            f"unknown key `{key}` in {self.title}",
            where=self.where(key),
            hint=f"did you mean `{guess}`?" if guess else f"known keys: {listed(sorted(known), most=40)}",
        )

    def wrong_type(self, value: Any, expected: str, *below: Any) -> InputError:
        found = "nothing" if value is None else _TYPES.get(type(value), type(value).__name__)
        dotted = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in below).lstrip(".")
        hints = {
            "a mapping": f"write `key: value` lines, indented, below `{dotted}:`",
            "a list": f"write each entry on a line of its own below `{dotted}:`, beginning with `- `",
            "text": "write one value, in quotes if in doubt",
            "a mapping with a `name`": "write the entry as `- name: …`",
        }
        return InputError(
            "wrong-type",
            f"`{dotted}` in {self.title} must be {expected}, not {found}",
            where=self.where(*below),
            hint=hints.get(expected),
        )


def _titled(title: str, data: dict[Any, Any]) -> str:
    name = data.get("name")
    return f"{title} `{name}`" if isinstance(name, str | int | float) else f"a nameless {title}"


def is_one_slip_away(word: str, known: str) -> bool:
    """One letter missing, added, wrong, or two neighbours swapped. Words of up to three letters never are: `url` and
    `uri` are two words."""
    if word == known or min(len(word), len(known)) < 4 or abs(len(word) - len(known)) > 1:
        return False
    start = next((i for i, (a, b) in enumerate(zip(word, known, strict=False)) if a != b), min(len(word), len(known)))
    one, other = word[start:], known[start:]
    return (
        one[1:] == other[1:]
        or one[1:] == other
        or one == other[1:]
        or (one[:2] == other[1::-1] and one[2:] == other[2:])
    )


def flatten(value: dict[Any, Any], prefix: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` → `{"a.b": 1}`; empty mappings stay as they are."""
    flat: dict[str, Any] = {}
    for key, item in value.items():
        name = f"{prefix}{key}"
        if isinstance(item, dict) and item:
            flat |= flatten(item, f"{name}.")
        else:
            flat[name] = item
    return flat
