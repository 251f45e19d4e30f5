"""Asking a hub over HTTP, by way of a cache on disk.

A hub is three kinds of pages below its address: `plugins/<section>/index` names the plugins of a kind with their
variants and where each definition stands, a definition is a page of its own, `plugins/index` is all sections at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import msgspec
from msgspec import Struct, field

from headwater import __version__
from headwater.base import clock
from headwater.base.errors import EnvironmentProblemError, HeadwaterError, InputError, Where
from headwater.base.files import write_atomic
from headwater.base.redact import without_credentials
from headwater.base.text import duration
from headwater.model.plugin import Definition, PluginKind
from headwater.store import lock_files

if TYPE_CHECKING:  # costs 0.1 s: only who asks a hub pays for it
    from headwater.base.http import Client

HOUR = 3600.0
_INDEX_BYTES = 32_000_000
_DEFINITION_BYTES = 2_000_000
# Names become parts of paths and addresses.
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")


class Site(Struct, frozen=True, kw_only=True):
    """Which hub, and how to ask it. `root` ends before `/plugins/…`. `auth` is the whole Authorization header. `own`:
    somebody chose this hub, so what it refuses is worth an error. Offline, only the cache is asked."""

    root: str
    auth: str | None = None
    own: bool = False
    offline: bool = False
    ca_file: Path | None = None
    cache: Path | None = None

    @property
    def name(self) -> str:
        """Its address as it may be shown."""
        return without_credentials(self.root)


class Variant(Struct, frozen=True):
    ref: str


class Indexed(Struct, frozen=True):
    """A plugin in the index of a hub. `variants` has the default one too."""

    default_variant: str
    variants: dict[str, Variant] = field(default_factory=dict)

    def in_order(self) -> tuple[str, ...]:
        """The default variant, then the others by name."""
        return tuple(sorted(self.variants, key=lambda variant: (variant != self.default_variant, variant)))


class _Kept(Struct, frozen=True, kw_only=True):
    """A page as it stands in the cache."""

    url: str
    etag: str | None
    fetched: datetime
    body: msgspec.Raw


class _SilentError(Exception):
    """The hub does not answer; the text says why."""


class Hub:
    """A hub, for the length of a command. One that does not answer is asked no second time; `note` is told once, in a
    line. What it said before then stands in, whatever its age."""

    def __init__(self, site: Site, *, note: Callable[[str], None]) -> None:
        self.site = site
        self._note = note
        self._silent: str | None = None
        self._client: Client | None = None
        self._pages: dict[str, Any] = {}

    def index(self, kind: PluginKind, *, max_age: float = 0.0) -> dict[str, Indexed] | None:
        """The plugins of a kind by name, empty when the hub has no such section, None when nothing is known.
        A kept index is taken unasked up to `max_age` seconds. Raises `hub-refused`."""
        url = f"{self.site.root}/plugins/{kind.section}/index"
        found = self._page(url, _INDEX_BYTES, max_age, _plugins)
        return found if found is not None or self._silent is not None or self.site.offline else {}

    def definition(
        self, kind: PluginKind, name: str, variant: str | None = None, *, max_age: float = 0.0
    ) -> Definition | None:
        """A plugin's definition, None when the hub has none or does not answer. Without a variant (or for `default`
        and `original`) the default one. Raises `hub-refused`, `bad-definition`."""
        plugin = (self.index(kind, max_age=max_age) or {}).get(name)
        if plugin is None:
            return None
        if variant in (None, "", "default", lock_files.ORIGINAL) and variant not in plugin.variants:
            variant = plugin.default_variant
        assert variant is not None
        if variant not in plugin.variants:
            return None
        raw = self._page(plugin.variants[variant].ref, _DEFINITION_BYTES, max_age, _object)
        return None if raw is None else definition(raw, kind, name, variant, where=plugin.variants[variant].ref)

    def ping(self) -> None:
        """Ask for a small page, past the cache. Raises EnvironmentProblemError `hub-unreachable`, `hub-refused`."""
        try:
            found = self._ask(f"{self.site.root}/plugins/orchestrators/index", None, _INDEX_BYTES, _plugins)
        except _SilentError as error:
            raise self._unreachable(str(error)) from error
        if found is None:
            raise self._unreachable("there is no plugin index at that address (404)")

    def _page(self, reference: str, limit: int, max_age: float, read: Callable[[bytes], Any]) -> Any:
        """What stands at an address, which may be relative; None when nothing does, or nothing is known."""
        url = urljoin(f"{self.site.root}/", reference)
        if url not in self._pages:
            self._pages[url] = self._look(url, limit, max_age, read)
        return self._pages[url]

    def _look(self, url: str, limit: int, max_age: float, read: Callable[[bytes], Any]) -> Any:
        kept = self._kept(url)
        fresh = kept is not None and 0 <= _age(kept) <= max_age
        if not (fresh or self.site.offline or self._silent):
            try:
                return self._ask(url, kept, limit, read)
            except _SilentError as error:
                self._fall_silent(str(error), kept)
        try:
            return None if kept is None else read(bytes(kept.body))
        except _SilentError:  # kept as something else
            return None

    def _fall_silent(self, why: str, kept: _Kept | None) -> None:
        self._silent = why
        instead = f"what it said {duration(_age(kept))} ago" if kept else "the index that comes with this program"
        self._note(f"the hub at {self.site.name} does not answer ({why}): using {instead}")

    def _ask(self, url: str, kept: _Kept | None, limit: int, read: Callable[[bytes], Any]) -> Any:
        """The page as the hub has it now, None when it has none."""
        from headwater.base import http  # noqa: PLC0415 - loads the library: here, where a hub is asked

        headers = {"Accept": "application/json", "User-Agent": f"Headwater/{__version__}"}
        if kept is not None and kept.etag:
            headers["If-None-Match"] = kept.etag
        try:
            credentials = {"Authorization": self.site.auth} if self.site.auth else {}
            if not http.same_origin(self.site.root, url):
                credentials = {}
                if self.site.root.startswith("https:") and not url.startswith("https:"):
                    raise _SilentError("it keeps definitions where no https is spoken")
            if self._client is None:
                self._client = http.Client(ca_file=self.site.ca_file)
            answer = self._client.get(url, limit=limit, headers=headers, credentials=credentials)
        except http.NoAnswerError as error:
            raise _SilentError(str(error)) from error
        except OSError as error:
            raise _SilentError(f"certificates of `{self.site.ca_file}`: {error.strerror or error}".lower()) from error
        if answer.status == 304 and kept is not None:
            self._keep(msgspec.structs.replace(kept, fetched=clock.now()))
            return read(bytes(kept.body))
        if answer.status in (404, 410):
            self._forget(url)
            return None
        if answer.status in (401, 403) and self.site.own:
            raise self._refused(answer.status)
        if answer.status != 200:
            raise _SilentError(f"status {answer.status}")
        found = read(answer.body)
        self._keep(_Kept(url=url, etag=answer.etag, fetched=clock.now(), body=msgspec.Raw(answer.body)))
        return found

    def _file(self, url: str) -> Path | None:
        """What a hub shows to one login is not shown to another."""
        if self.site.cache is None:
            return None
        name = hashlib.sha256(f"{self.site.auth or ''}\n{url}".encode()).hexdigest()[:32]
        return self.site.cache / f"{name}.json"

    def _kept(self, url: str) -> _Kept | None:
        """A file that cannot be read, or is of another shape, is as good as none."""
        file = self._file(url)
        try:
            return None if file is None else msgspec.json.decode(file.read_bytes(), type=_Kept)
        except (OSError, msgspec.DecodeError):
            return None

    def _keep(self, page: _Kept) -> None:
        file = self._file(page.url)
        # Who cannot write into the cache asks again the next time.
        with contextlib.suppress(HeadwaterError):
            if file is not None:
                write_atomic(file, msgspec.json.encode(page), mode=0o600)

    def _forget(self, url: str) -> None:
        with contextlib.suppress(OSError):
            if (file := self._file(url)) is not None:
                file.unlink(missing_ok=True)

    def _unreachable(self, why: str) -> EnvironmentProblemError:
        return EnvironmentProblemError(
            "hub-unreachable",
            f"the hub at `{self.site.name}` does not answer",
            why=why,
            hint="check the network and the settings hub_url and hub_api_root: headwater config list meltano",
        )

    def _refused(self, status: int) -> EnvironmentProblemError:
        return EnvironmentProblemError(
            "hub-refused",
            f"the hub at `{self.site.name}` refuses: status {status}",
            hint="set the Authorization header it wants: headwater config set meltano hub_url_auth VALUE",
        )


# Keys of a definition's source that are there for the hub's own pages.
FOR_PAGES = (
    "definition",
    "domain_url",
    "keywords",
    "maintenance_status",
    "next_steps",
    "prereq",
    "quality",
    "settings_preamble",
    "usage",
)


def definition(raw: Mapping[str, Any], kind: PluginKind, name: str, variant: str, *, where: str) -> Definition:
    """A definition that was asked for under this name: what it says of its own name counts for nothing, and it cannot
    name a part of this program. Raises InputError `bad-definition`."""
    shown = {key: value for key, value in raw.items() if key not in (*FOR_PAGES, "native", "hidden")}
    shown |= {"plugin_type": kind.section, "name": name, "variant": variant}
    try:
        return lock_files.from_builtins(shown, where=Where(where))
    except InputError as error:
        raise InputError(
            "bad-definition",
            f"the definition of `{name}` variant `{variant}` cannot be used",
            where=Where(without_credentials(where)),
            why=error.why,
            hint="correct it on the hub, or take another variant: headwater hub list --all",
        ) from error


def _age(kept: _Kept) -> float:
    """In seconds; below zero when the clock has been set back."""
    return (clock.now() - kept.fetched).total_seconds()


def _plugins(body: bytes) -> dict[str, Indexed]:
    """Names that cannot be part of a path are left out."""
    try:
        found = msgspec.json.decode(body, type=dict[str, Indexed])
    except msgspec.DecodeError as error:
        raise _SilentError("its answer is no plugin index") from error
    return {
        name: msgspec.structs.replace(
            item, variants={key: ref for key, ref in item.variants.items() if NAME.fullmatch(key)}
        )
        for name, item in found.items()
        if NAME.fullmatch(name)
    }


def _object(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise _SilentError("its answer is no definition") from error
