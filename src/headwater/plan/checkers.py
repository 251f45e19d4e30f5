"""Tools that check data (Soda, Great Expectations): what a driver of ours runs for them, and what they connect to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from headwater.model.plugin import Definition, Resolved
from headwater.plan import dbt

# The program of a plugin's environment that runs a driver.
PROGRAM = "python"
# The first words of the commands that a driver runs; every other command is the plugin's own program.
_VERBS = {"soda": ("verify",), "great_expectations": ("checkpoint",)}
# Where the files of a tool are, when no setting says so.
FOLDERS = {"soda": "soda", "great_expectations": "gx"}
# Databases that the tools are set up for.
DATABASES = ("duckdb", "postgres")


def is_driven(driver: str, words: Sequence[str]) -> bool:
    return bool(words) and words[0] in _VERBS[driver]


def commands(driver: str, definition: Definition) -> list[str]:
    """The names of the commands that a driver runs."""
    return [name for name, command in definition.commands.items() if is_driven(driver, command.args.split())]


def parts(command: str) -> tuple[str, tuple[str, ...]]:
    """`verify:orders` is the command `verify` for `orders`."""
    name, _, rest = command.partition(":")
    return name, (rest,) if rest else ()


def database(loader: Resolved) -> str | None:
    """The database that a loader writes to, when the tools can be set up for it."""
    names = (loader.native, loader.definition.name.removeprefix("target-"))
    return next((name for name in names if name in DATABASES), None)


def connection(loader: Resolved, config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a tool that its loader's `config` answers: `path`, or those of a server and its `url`."""
    name = database(loader)
    found = dbt.connection(name, config) if name else {}
    if name != "postgres":
        return found
    found["database"] = found.pop("dbname", None) or found.get("user")
    return {**found, "url": _url(found)}


def _url(found: Mapping[str, Any]) -> str:
    """As SQLAlchemy reads it, with everything in it quoted."""
    user, password = (quote(str(found.get(key) or ""), safe="") for key in ("user", "password"))
    name = f"{user}:{password}" if password else user
    more = f"?{urlencode({'sslmode': found['sslmode']})}" if found.get("sslmode") else ""
    host, base = found.get("host") or "", quote(str(found["database"] or ""), safe="")
    return f"postgresql+psycopg2://{name}@{host}:{found.get('port') or 5432}/{base}{more}"
