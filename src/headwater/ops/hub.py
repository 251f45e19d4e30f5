"""The hub of a project, and all that `headwater add` knows: the hub's plugins, native ones, the bundled index.

A hub that the project names is asked first. The public one, which nobody named, is asked last, for what this program
does not know itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from msgspec import Struct

from headwater.base.errors import InputError
from headwater.base.text import did_you_mean
from headwater.model.plugin import Definition, PluginKind
from headwater.model.project import Project
from headwater.model.setting import Origin
from headwater.ops import definitions
from headwater.ops.workspace import Workspace, cache_folder, environment_variables
from headwater.plan.project_settings import project_settings
from headwater.store import hub as index
from headwater.store import hub_pages
from headwater.store.hub_client import HOUR, Hub, Site

_API = "/meltano/api/v1"
# The first that is set and not empty wins. Programs built on requests know the other two.
_CERTIFICATES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
# Of a name without a prefix: what it is most likely, first.
_LIKELY = (
    PluginKind.UTILITY,
    PluginKind.MAPPER,
    PluginKind.TRANSFORMER,
    PluginKind.ORCHESTRATOR,
    PluginKind.FILE,
    PluginKind.TRANSFORM,
    PluginKind.EXTRACTOR,
    PluginKind.LOADER,
)


class Offered(Struct, frozen=True, kw_only=True):
    """A variant that `headwater add` can take. `type` is spelled as Meltano spells it."""

    type: str
    name: str
    variant: str
    default: bool


class Sources:
    """Everything that knows definitions, for one command. `note` gets a line when the hub does not answer."""

    def __init__(self, site: Site, note: Callable[[str], None]) -> None:
        self.site = site
        self.hub = Hub(site, note=note)

    @classmethod
    def of(cls, workspace: Workspace | None, *, note: Callable[[str], None], offline: bool = False) -> Self:
        """Those of a project, or outside of one what variables say."""
        return cls(site(workspace, offline=offline), note)

    def find(
        self, kind: PluginKind | None, name: str, variant: str | None = None, *, max_age: float = 0.0
    ) -> Definition | None:
        """The definition to use for a name. Raises `hub-refused`, `bad-definition`."""
        mine = definitions.known(kind, name, variant)
        if variant == definitions.OWN_VARIANT:
            return mine
        if self.site.own:
            return self._of_hub(kind, name, variant, max_age) or mine
        return mine or self._of_hub(kind, name, variant, max_age)

    def definition(self, name: str, kind: PluginKind | None, variant: str | None = None) -> Definition:
        """As `find`, for a name that somebody wrote. Raises InputError (`unknown-plugin`, `unknown-variant`), too."""
        found = self.find(kind, name, variant)
        if found is not None:
            return found
        variants = self.variants(kind, name)
        if variants:
            guess = did_you_mean(variant or "", variants)
            raise InputError(
                "unknown-variant",
                f"`{name}` has no variant `{variant}`",
                hint=f"did you mean `{guess}`?" if guess else f"it has: {', '.join(variants)}",
            )
        hint = f"headwater add {name} --custom --pip-url PACKAGE"
        if ours := definitions.DONE_BY.get(name):
            hint = f"`{ours}` does that: headwater add {ours}; or {hint}"
        elif guess := did_you_mean(name, self.names(kind or index.guess_kind(name))):
            hint = f"did you mean `{guess}`?"
        raise InputError("unknown-plugin", f"the hub has no plugin `{name}`", hint=hint)

    def variants(self, kind: PluginKind | None, name: str) -> tuple[str, ...]:
        """All variants of a name, the default one first."""
        mine = definitions.variants(kind, name)
        found = [plugin.in_order() for one in _kinds(kind, name) if (plugin := self._index(one).get(name))]
        theirs = found[0] if found else ()
        return tuple(dict.fromkeys([*theirs, *mine] if self.site.own else [*mine, *theirs]))

    def names(self, kind: PluginKind | None = None) -> tuple[str, ...]:
        """Every name that is known, sorted."""
        kinds = PluginKind if kind is None else (kind,)
        return tuple(sorted({*definitions.names(kind), *(name for one in kinds for name in self._index(one))}))

    def offered(self, kind: PluginKind | None = None, *, refresh: bool = False) -> list[Offered]:
        """Every variant of every name, by kind and name, the default variant first. The hub's index may be an hour
        old, unless it is to be fetched anew."""
        rows = []
        for one in PluginKind if kind is None else (kind,):
            known = self._index(one, 0.0 if refresh else HOUR)
            for name in sorted({*definitions.names(one), *known}):
                mine, theirs = definitions.variants(one, name), known[name].in_order() if name in known else ()
                variants = dict.fromkeys([*theirs, *mine] if self.site.own else [*mine, *theirs])
                rows += [
                    Offered(type=_spelled(one), name=name, variant=variant, default=number == 0)
                    for number, variant in enumerate(variants)
                ]
        return rows

    def _index(self, kind: PluginKind, max_age: float = HOUR) -> Mapping[str, Any]:
        return self.hub.index(kind, max_age=max_age) or {}

    def _of_hub(self, kind: PluginKind | None, name: str, variant: str | None, max_age: float) -> Definition | None:
        found = (self.hub.definition(one, name, variant, max_age=max_age) for one in _kinds(kind, name))
        return next((definition for definition in found if definition is not None), None)


def site(workspace: Workspace | None, *, offline: bool = False) -> Site:
    """Where the hub is, as the project's settings say it, or outside of a project the variables alone."""
    environ = workspace.environ if workspace else environment_variables()
    project = workspace.project if workspace else Project(root="", file="")
    dotenv = workspace.dotenv if workspace else {}
    values = project_settings(
        project,
        env=environ,
        dotenv=dotenv,
        environment=workspace.environment if workspace else None,
        database=workspace.stored_settings if workspace else None,
    )
    api_root, url, auth = (values[name] for name in ("hub_api_root", "hub_url", "hub_url_auth"))
    variables = {**dotenv, **environ}
    certificates = next((variables[name] for name in _CERTIFICATES if variables.get(name)), None)
    return Site(
        root=str(api_root.value or f"{str(url.value).rstrip('/')}{_API}").rstrip("/"),
        auth=auth.value,
        own=bool(api_root.value or auth.value) or url.origin is not Origin.DEFAULT,
        offline=offline or bool(values["hub_offline"].value),
        ca_file=Path(certificates) if certificates else None,
        cache=cache_folder(environ) / "hub",
    )


def ping(workspace: Workspace | None) -> str:
    """Ask the hub for a page, and answer with its address. Raises `hub-unreachable`, `hub-refused`."""
    sources = Sources.of(workspace, note=lambda _: None)
    sources.hub.ping()
    return sources.site.name


def matching(rows: list[Offered], pattern: str) -> list[Offered]:
    """Rows that hold the pattern in their name or variant; case does not count."""
    wanted = pattern.casefold()
    return [row for row in rows if wanted in row.name.casefold() or wanted in row.variant.casefold()]


def shelf(places: Iterable[Path], *, bundled: bool = False) -> hub_pages.Shelf:
    """The definitions in these files and folders, with those of the bundled index below them: where both know a
    variant, the file counts, and a name keeps the default that the files give it. Raises what `hub_pages.read` does,
    InputError `no-definitions`."""
    found = hub_pages.read(places)
    if bundled:
        found = hub_pages.below(found, hub_pages.shelve(index.definitions(), index.defaults()))
    if not found.plugins:
        raise InputError(
            "no-definitions",
            "there is no definition in these files",
            hint="name a folder of YAML or lock files (--from), or add the bundled index (--bundled)",
        )
    return found


def write(shelf: hub_pages.Shelf, folder: Path, url: str) -> str:
    """Write a hub's pages into a folder that will stand at `url`. Returns what `hub_url` must say."""
    address = url.rstrip("/").removesuffix(_API)
    if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", address):
        raise InputError("bad-address", f"`{url}` is no address of a web server", hint="--url https://hub.example.com")
    hub_pages.write(shelf, folder, address)
    return address


def _kinds(kind: PluginKind | None, name: str) -> tuple[PluginKind, ...]:
    guessed = kind or index.guess_kind(name)
    return (guessed,) if guessed else _LIKELY


def _spelled(kind: PluginKind) -> str:
    return "file bundle" if kind is PluginKind.FILE else kind.value
