"""Where files can be besides this machine: object stores, web servers, SFTP servers. A place's module is imported when
a path leads there."""

from __future__ import annotations

import importlib
from contextlib import ExitStack
from typing import BinaryIO, Protocol, Self, cast

from msgspec import Struct

from headwater.base.errors import EnvironmentProblemError, InputError, RunFailedError, Where
from headwater.base.text import listed
from headwater.connect.objects import SCHEMES
from headwater.connect.sources.files.settings import Settings

_PLACES = {
    **dict.fromkeys(SCHEMES, "headwater.connect.sources.files.at_stores"),
    **dict.fromkeys(("http", "https"), "headwater.connect.sources.files.at_http"),
    "sftp": "headwater.connect.sources.files.at_sftp",
}


class Found(Struct, frozen=True, kw_only=True):
    """A file at a place. `key` names it in states and messages, without any secret; `name` is its last part, where its
    format shows. `tag` is another when the content is; "" where the place has none."""

    address: str
    key: str
    name: str
    size: int
    mtime_ns: int = 0
    tag: str = ""


class Place(Protocol):
    """May be used by several threads. Raises EnvironmentProblemError where it can't be reached or refuses us, no secret
    in its message; BrokenOffError where it is worth another try."""

    def find(self, pattern: str) -> list[Found]:
        """The files that an address with `*`, `?`, `[…]` and `**` means, sorted by address."""
        ...

    def open(self, found: Found, *, seeks: bool = False) -> BinaryIO:
        """The file as it was found, one that can go back and forth if it `seeks`. Raises RunFailedError
        (`changed-while-read`) when it is another or gone by now."""
        ...

    def close(self) -> None: ...


class PlaceModule(Protocol):
    def place(self, settings: Settings, pattern: str) -> Place:
        """The place of that address."""
        ...


class Remote(Struct, frozen=True):
    """A file and where it is."""

    place: Place
    found: Found


class BrokenOffError(EnvironmentProblemError):
    """An answer broke off."""


class Places:
    """The places that a source reads from, each opened once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opened: dict[str, Place] = {}
        self._stack = ExitStack()

    def find(self, pattern: str) -> list[Remote]:
        """Raises InputError (`bad-address`) and as `Place` does."""
        scheme, _, rest = pattern.partition("://")
        if scheme not in _PLACES:
            raise InputError(
                "bad-address",
                f"`{scheme}://` is no place that files are read from",
                hint=f"it is one of {listed(sorted(_PLACES))}, or a path on this machine",
            )
        root = f"{scheme}://{rest.partition('/')[0]}"
        if root not in self._opened:
            module = cast("PlaceModule", importlib.import_module(_PLACES[scheme]))
            self._opened[root] = module.place(self._settings, pattern)
            self._stack.callback(self._opened[root].close)
        place = self._opened[root]
        return [Remote(place, found) for found in place.find(pattern)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def is_remote(pattern: str) -> bool:
    return "://" in pattern and not pattern.startswith("package://")


def is_another(found: Found) -> RunFailedError:
    return RunFailedError(
        "changed-while-read",
        f"`{found.key}` was replaced or removed while it was read",
        where=Where(found.key),
        hint="run it again",
    )
