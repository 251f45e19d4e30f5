"""Sources that an installed package offers: entry points of the group `headwater.sources`.

Each names a module whose functions are streams (`acme_sources.orders`), or a YAML file beside one that describes an API
(`acme_sources:shop.yml`). Nothing of the package is run to find that out.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from headwater.base.errors import EnvironmentProblemError, InputError
from headwater.base.text import did_you_mean, listed
from headwater.model.plugin import PACKAGE, Definition, PluginKind
from headwater.model.setting import Setting, SettingKind

GROUP = "headwater.sources"
VARIANT = "package"
_SOURCE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:/([A-Za-z0-9][A-Za-z0-9._-]*))?")
_SUFFIXES = (".yml", ".yaml")


class Found(Struct, frozen=True, kw_only=True):
    """Where the source stands. `module` is None for a YAML file."""

    file: Path
    module: str | None


def bare(source: str) -> Definition:
    """What is known before the package is installed: it takes any setting. Raises InputError (`bad-source`)."""
    package, entry = _parts(source)
    name = f"{package}-{entry}" if entry else package
    return Definition(
        plugin_type=PluginKind.EXTRACTOR,
        name=name,
        namespace=name.replace("-", "_"),
        variant=VARIANT,
        native="python",
        pip_url=package,
        capabilities=("catalog", "discover", "state"),
        settings=(_named(source),),
    )


def definition(source: str, venv: str) -> Definition:
    """What the package in that environment says of itself. Raises what `found` does, and InputError for what is wrong
    in it."""
    place = found(source, venv)
    # Parsing Python and YAML is for projects that have such a source.
    if place.module is not None:
        from headwater.connect.sources import python_definition  # noqa: PLC0415 - see above

        said = python_definition.definition(place.file.parent, place.file.name)
    else:
        from headwater.connect.sources import rest_definition  # noqa: PLC0415 - likewise

        said = rest_definition.definition(place.file.parent, place.file.name)
    whole = bare(source)
    assert said is not None
    assert said.native is not None
    settings = [one for one in said.settings if one.name != "source"]
    if place.module is not None:
        # The code knows its defaults itself: those of another version of it would stand in their way.
        settings = [replace(one, value=None, description=_with_default(one)) for one in settings]
    return replace(whole, native=said.native, description=said.description, settings=(*settings, *whole.settings))


def found(source: str, venv: str | None) -> Found:
    """Raises InputError (`bad-source`) for a package without that source, EnvironmentProblemError
    (`source-not-installed`)."""
    package, entry = _parts(source)
    folders = sorted(Path(venv).glob("lib/python3*/site-packages")) if venv else []
    offered = _offered(folders, package)
    if offered is None:
        raise EnvironmentProblemError(
            "source-not-installed", f"the package `{package}` is not installed", hint="headwater install EXTRACTOR"
        )
    if entry is None and len(offered) == 1:
        (entry,) = offered
    if entry is None or entry not in offered:
        near = did_you_mean(entry, offered) if entry else next(iter(offered), None)
        raise InputError(
            "bad-source",
            f"the package `{package}` offers "
            + (f"no source `{entry}`" if entry else f"{len(offered)} sources" if offered else "no source"),
            why=f"it offers {listed(list(offered))}" if offered else f"it has no entry point of the group `{GROUP}`",
            hint=f"source: {PACKAGE}{package}/{near}" if near else None,
        )
    return _place(package, offered[entry], [*folders, *_elsewhere(folders)])


def _with_default(setting: Setting) -> str | None:
    if setting.value is None:
        return setting.description
    return f"{setting.description or setting.label} (`{setting.value}`, if nothing is set)"


def _parts(source: str) -> tuple[str, str | None]:
    named = _SOURCE.fullmatch(source.removeprefix(PACKAGE))
    if named is None:
        raise InputError(
            "bad-source",
            f"`{source}` names no package",
            hint=f"source: {PACKAGE}NAME, or {PACKAGE}NAME/SOURCE; a version goes into `pip_url`",
        )
    return named[1], named[2]


def _named(source: str) -> Setting:
    return Setting(name="source", kind=SettingKind.STRING, value=source, hidden=True)


def _offered(folders: list[Path], package: str) -> dict[str, str] | None:
    """The package's entry points by name; None when it is not installed."""
    for folder in folders:
        for about in folder.glob("*.dist-info"):
            if _plain(about.name.removesuffix(".dist-info").rpartition("-")[0]) == _plain(package):
                parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
                parser.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their case
                parser.read(about / "entry_points.txt", encoding="utf-8")
                return dict(parser[GROUP]) if GROUP in parser else {}
    return None


def _plain(name: str) -> str:
    """Names of packages are the same that differ in case and in signs only."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _elsewhere(folders: list[Path]) -> Iterator[Path]:
    """Where the modules of packages lie that were installed to be edited."""
    for folder in folders:
        for file in sorted(folder.glob("*.pth")):
            for line in file.read_text("utf-8", "replace").splitlines():
                if line and not line.startswith(("#", "import ")) and Path(folder, line).is_dir():
                    yield Path(folder, line)


def _place(package: str, value: str, folders: list[Path]) -> Found:
    module, _, name = (part.strip() for part in value.partition(":"))
    for folder in folders:
        path = folder.joinpath(*module.split("."))
        if name.endswith(_SUFFIXES):
            if (path / name).is_file():
                return Found(file=path / name, module=None)
            continue
        for file in (path / "__init__.py", path.with_suffix(".py")):
            if file.is_file() and not name:
                return Found(file=file, module=module)
    raise InputError(
        "bad-source",
        f"the package `{package}` has no `{value}`, which it offers as a source",
        why="an entry point names a module, or a YAML file beside one: `acme_sources.orders`, `acme_sources:shop.yml`",
    )
