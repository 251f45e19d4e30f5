"""The files of a new dbt project: the project itself, a profile without a secret, the sources that are known."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from headwater.base import yaml
from headwater.base.errors import HeadwaterError
from headwater.base.files import write_atomic
from headwater.base.text import env_name
from headwater.base.yaml_write import render
from headwater.plan.dbt import CONNECTIONS

FOLDER = "transform"
_FILE = "dbt_project.yml"
_PROFILES = "profiles.yml"
_THREADS = 4
_IGNORED = "dbt_packages/\nlogs/\ntarget/\n"
_VALUE = "env_var('{}')"
# What a setting is as an expression of Jinja, where it is not the text of its variable: with a default, a number, or
# nothing at all when nothing says it.
_NONE = "env_var('{}', '') or none"
_FORMS = {
    "port": f"{_VALUE} | as_number",
    "password": "env_var('{}', '')",
    "sslmode": "env_var('{}', 'prefer')",
    "secure": "env_var('{}', 'false') == 'true'",
    **dict.fromkeys(("role", "keyfile", "location"), _NONE),
    **dict.fromkeys(("authenticator", "private_key", "private_key_path", "private_key_passphrase"), _NONE),
}
# Words that an adapter's profile wants beside its connection.
_KEY = "env_var('DBT_BIGQUERY_KEYFILE', '')"
_FIXED: dict[str, dict[str, str]] = {
    "bigquery": {"method": f"{{{{ 'service-account' if {_KEY} else env_var('DBT_BIGQUERY_AUTH_METHOD', 'oauth') }}}}"},
}
# The adapter's own word for a schema.
SCHEMA = {"bigquery": "dataset"}


def find(root: Path) -> Path | None:
    """The folder of the dbt project that is there: `transform`, the project's own folder, else the first below it."""
    below = sorted(folder for folder in root.iterdir() if folder.is_dir() and not folder.name.startswith("."))
    return next((folder for folder in (root / FOLDER, root, *below) if (folder / _FILE).is_file()), None)


def has_profiles(folder: Path) -> bool:
    """Whether the dbt project brings its own profiles."""
    return (folder / _PROFILES).is_file()


def profiles_of(root: Path, adapter: str) -> Path:
    """The folder for the profile of a project whose dbt project brings none."""
    return root / FOLDER / "profiles" / adapter


def is_complete(root: Path, adapter: str) -> bool:
    """Whether there is a dbt project, and a profile where it or the adapter has it."""
    folder = find(root)
    return folder is not None and (has_profiles(folder) or has_profiles(profiles_of(root, adapter)))


def write(
    folder: Path, profiles: Path, *, name: str, adapter: str, sources: Mapping[str, Sequence[str]]
) -> tuple[Path, ...]:
    """Write what is missing of a dbt project in `folder` and its profile in `profiles`; returns the files written.

    A file that is there stays as it is. Sources are written only for a project that is new.
    """
    is_new = not (folder / _FILE).exists()
    project = re.sub(r"\W+", "_", name.lower()).strip("_") or "warehouse"
    project = f"p_{project}" if project[0].isdigit() else project
    files = {folder / _FILE: _project(project)} if is_new else {}
    files[profiles / _PROFILES] = _profile(project if is_new else _profile_name(folder) or project, adapter)
    if is_new:
        files[folder / ".gitignore"] = _IGNORED
        if sources:
            files[folder / "models" / "sources.yml"] = _sources(sources)
    written = []
    for path, text in files.items():
        if not path.exists():
            write_atomic(path, text.encode())
            written.append(path)
    if is_new:
        (folder / "models").mkdir(exist_ok=True)
    return tuple(written)


def _project(name: str) -> str:
    return render(
        {
            "name": name,
            "version": "1.0.0",
            "profile": name,
            "model-paths": ["models"],
            "flags": {"send_anonymous_usage_stats": False},
        }
    )


def _profile(name: str, adapter: str) -> str:
    """Every value is a variable that the program sets from the settings of dbt and of its loader."""
    output: dict[str, object] = {"type": adapter, **_FIXED.get(adapter, {})}
    for setting in (*CONNECTIONS.get(adapter, {}), SCHEMA.get(adapter, "schema")):
        form = _FORMS.get(setting, _VALUE).format(env_name(f"dbt_{adapter}", setting))
        output[setting] = f"{{{{ {form} }}}}"
    output["threads"] = _THREADS
    return render({name: {"target": "warehouse", "outputs": {"warehouse": output}}})


def _profile_name(folder: Path) -> str | None:
    try:
        data = yaml.read(folder / _FILE).data
    except HeadwaterError:  # dbt will say what is wrong with it
        return None
    name = data.get("profile") if isinstance(data, dict) else None
    return name if isinstance(name, str) else None


def _sources(sources: Mapping[str, Sequence[str]]) -> str:
    return render(
        {
            "version": 2,
            "sources": [
                {"name": schema, "tables": [{"name": table} for table in tables]} for schema, tables in sources.items()
            ],
        }
    )
