"""The same script played by two programs, Meltano and Headwater, and what is the same of it.

A case is data: a project, command lines, what to compare, and the differences that are known with their reasons. A
difference that is listed has to be there: when it is gone, its case fails until the entry goes too.

Meltano's answers are kept in `answers/`, one file a case, free of paths, times and ids. The variable
HEADWATER_DROP_IN says where they come from:

    (nothing)  from the files
    record     from Meltano, and written to the files
    live       from Meltano, and they must be those of the files
"""

from __future__ import annotations

import difflib
import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import stand_in_hub
import yaml
from msgspec import Struct

from headwater.plan.extras import EXTRAS

HERE = Path(__file__).parent
PROJECTS = HERE / "projects"
ANSWERS = HERE / "answers"
MODE = os.environ.get("HEADWATER_DROP_IN", "")


class Case(Struct, frozen=True, kw_only=True):
    """One row of docs/reference/meltano.md.

    `command` is the command it is about (`config set`), `says` what a user may rely on. Each line of `script` is a
    command line without the program's name. `project` is a folder of `projects/` (None: an empty folder), `files` are
    put into the copy, `stdin` is what every command reads. `compare` names keys of `ASPECTS`. `differs` gives, by
    aspect, why Headwater answers otherwise; `better` says that a user gains by it. `hub`: Meltano asks a stand-in.
    """

    name: str
    command: str
    says: str
    script: tuple[str, ...]
    compare: tuple[str, ...] = ("exit",)
    project: str | None = "basic"
    files: Mapping[str, str] = {}
    env: Mapping[str, str] = {}
    stdin: str = ""
    differs: Mapping[str, str] = {}
    better: bool = False
    hub: bool = False


class Step(Struct, frozen=True):
    code: int
    out: str
    err: str


class Played(Struct, frozen=True):
    """What a program did: each command's exit code and output, and the folder it left behind."""

    folder: Path
    home: Path
    steps: tuple[Step, ...]


Program = tuple[str, ...]


def play(case: Case, program: Program, folder: Path, variables: Mapping[str, str] | None = None) -> Played:
    """Play a case in `folder`, which is made, in an environment that holds nothing of the machine's."""
    home, project = folder / "home", folder / "project"
    home.mkdir(parents=True)
    if case.project is None:
        project.mkdir()
    else:
        shutil.copytree(PROJECTS / case.project, project)
    for name, text in case.files.items():
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    env = {
        "PATH": f"{Path(program[0]).parent}:/usr/bin:/bin",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "NO_COLOR": "1",
        "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "false",
        "MELTANO_CLI_DISABLE_VERSION_CHECK": "true",
        **(variables or {}),
        **case.env,
    }
    steps = []
    for line in case.script:
        done = subprocess.run(
            [*program, *shlex.split(line)],
            cwd=project,
            env=env,
            input=case.stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        steps.append(Step(done.returncode, done.stdout, done.stderr))
        print(f"$ {Path(program[0]).name} {line}\n{done.stdout}{done.stderr}[{done.returncode}]")  # for a failing test
    return Played(project, home, tuple(steps))


def answer(case: Case, played: Played) -> dict[str, Any]:
    """What is compared, by aspect, with everything replaced that belongs to one machine or one moment."""
    return {aspect: neutral(ASPECTS[aspect](played), played) for aspect in case.compare}


# Variables of a plugin's environment in which the programs differ, in every case, and why.
VARIABLES = {
    "MELTANO_DATABASE_URI": "may hold a password, and is no plugin's business",
    "MELTANO_HUB_URL": "the plugin index comes with the program",
    "MELTANO_SNOWPLOW_COLLECTOR_ENDPOINTS": "no usage figures are sent",
    "MELTANO_PARENT_CONTEXT_UUID": "no usage figures are sent",
    "MELTANO_SYS_DIR_ROOT": "what the program makes stands in `.headwater/`; the variable moves it",
    "MELTANO_USER_AGENT": "this is another program",
    "SINGER_SDK_LOG_CONFIG": "plugins log as they do by themselves; level and row counts are read from their lines",
    "LOGGING_CONF_FILE": "as `SINGER_SDK_LOG_CONFIG`",
}


def check(case: Case, ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    for aspect in case.compare:
        if aspect in case.differs:
            assert ours[aspect] != theirs[aspect], f"`{aspect}` is the same now: take it out of `differs`"
        elif ours[aspect] != theirs[aspect]:
            texts = (json.dumps(side[aspect], indent=1, sort_keys=True).splitlines() for side in (theirs, ours))
            lines = difflib.unified_diff(*texts, "meltano", "headwater", n=2, lineterm="")
            raise AssertionError("\n".join([f"`{aspect}` differs from Meltano's", *lines]))


def recorded(case: Case) -> dict[str, Any]:
    file = ANSWERS / f"{case.name}.json"
    assert file.is_file(), f"no answer is kept for `{case.name}`: HEADWATER_DROP_IN=record pytest -k {case.name}"
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def record(case: Case, theirs: dict[str, Any]) -> None:
    (ANSWERS / f"{case.name}.json").write_text(json.dumps(theirs, indent=1, sort_keys=True) + "\n")


# What can be compared.


def _exits(played: Played) -> Any:
    return [step.code for step in played.steps]


def _json(played: Played) -> Any:
    """The JSON that each command printed, null where it printed none; without settings that only Headwater has."""
    return [_without_ours(_decoded(step.out)) for step in played.steps]


def _without_ours(value: Any) -> Any:
    return {key: item for key, item in value.items() if key not in OURS} if isinstance(value, dict) else value


def _decoded(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict | list) else None


def _lines(played: Played) -> Any:
    """For commands whose output is a plain list."""
    return [step.out.split("\n")[:-1] for step in played.steps]


def _settings(played: Played) -> Any:
    """The names that `config list` lists: Meltano says a line of each, Headwater a table."""
    found = []
    for step in played.steps:
        named = {line.split()[0] for line in step.out.splitlines() if " [env: " in line}
        below = step.out.partition("\n─")[2].splitlines()[1:]
        ours = {line.split()[0].rstrip("*") for line in below if line[:1].strip()}
        found.append(sorted((named or ours) - OURS))
    return found


def _variables(played: Played) -> Any:
    """For commands that print NAME='value' lines."""
    return [_assignments(step.out) for step in played.steps]


def _assignments(text: str) -> dict[str, Any]:
    found = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and not re.search(_OURS, name):
            text = value.strip("'").replace("\\'", "'").replace("'\\''", "'")
            found[name] = _decoded(text) or text
    return found


def _project(played: Played) -> Any:
    """The project files as data, by name, those that `include_paths` names too."""
    names = [path.relative_to(played.folder) for path in played.folder.rglob("*.yml")]
    found = {str(name): yaml.safe_load((played.folder / name).read_text()) for name in names if name.parts[0][0] != "."}
    for data in found.values():
        if isinstance(data, dict):
            data.pop("project_id", None)
            data.pop("send_anonymous_usage_stats", None)  # a variable says it
    # A new project of ours has a file of its own name.
    return {name.replace("headwater.yml", "meltano.yml"): data for name, data in found.items()}


def _dotenv(played: Played) -> Any:
    path = played.folder / ".env"
    return _assignments(path.read_text().replace('"', "'")) if path.exists() else {}


def _locks(played: Played) -> Any:
    """Lock files by path: whether each is what the stand-in of a hub has, whatever that is by now; else its content."""
    found = {}
    for path in sorted((played.folder / "plugins").rglob("*.lock")):
        name = path.relative_to(played.folder)
        content = json.loads(path.read_text())
        served = stand_in_hub.page(f"{path.parent.name}/{path.stem}", "")
        is_hubs = isinstance(served, dict) and content == {**served, "plugin_type": path.parent.name}
        found[str(name)] = "as the hub has it" if is_hubs else content
    return found


def _lock_names(played: Played) -> Any:
    return list(_locks(played))


def _files(played: Played) -> Any:
    """The files of the project but those that a program keeps for itself."""
    names = (path.relative_to(played.folder) for path in played.folder.rglob("*") if path.is_file())
    own = (".meltano", ".headwater", ".git")
    return sorted(str(name).replace("headwater.yml", "meltano.yml") for name in names if name.parts[0] not in own)


def _seen(played: Played) -> Any:
    """What the plugins of `projects/basic` noted of each of their starts: arguments, config, variables."""
    folder = played.folder / "seen"
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def _config(played: Played) -> Any:
    return {name: seen["config"] for name, seen in _seen(played).items()}


def _arguments(played: Played) -> Any:
    return {name: seen["arguments"] for name, seen in _seen(played).items()}


def _environment(played: Played) -> Any:
    """Without the variables in which the programs differ; lists and objects as what they are, not as spelled."""
    return {
        start: {
            name: _decoded(value) or value
            for name, value in seen["env"].items()
            if name not in VARIABLES and not re.search(_OURS, name)
        }
        for start, seen in _seen(played).items()
    }


# Extras of plugins that Meltano has.
MELTANOS = {
    *("_catalog", "_state", "_load_schema", "_select", "_metadata", "_schema", "_select_filter"),
    *("_use_cached_catalog", "_log_parser", "_dialect", "_mappings", "_mapping_name", "_package_name", "_vars"),
    "_update",
}
# Settings that only Headwater has: a plugin finds them, too.
_PLUGINS_OWN = {setting.name for settings in EXTRAS.values() for setting in settings} - MELTANOS
_PROJECTS_OWN = {"hub_offline", "keep_logs_days", "share_extractor_secrets"}
OURS = _PLUGINS_OWN | _PROJECTS_OWN
_OURS = rf"_({'|'.join(name.upper() for name in _PLUGINS_OWN)})$|^MELTANO_({'|'.join(_PROJECTS_OWN).upper()})$"


def _loaded(played: Played) -> Any:
    """What arrived at the loader of `projects/basic`."""
    folder = played.folder / "output"
    return {path.name: [json.loads(line) for line in path.read_text().splitlines()] for path in folder.glob("*.jsonl")}


ASPECTS: dict[str, Callable[[Played], Any]] = {
    "exit": _exits,
    "json": _json,
    "lines": _lines,
    "settings": _settings,
    "variables": _variables,
    "project": _project,
    "dotenv": _dotenv,
    "locks": _locks,
    "lock names": _lock_names,
    "files": _files,
    "config": _config,
    "arguments": _arguments,
    "environment": _environment,
    "loaded": _loaded,
}

_UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_TIME = re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:?\d\d:?\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?")


def neutral(value: Any, played: Played) -> Any:
    """Folders, ids and moments by what they are, in texts and keys alike."""
    if isinstance(value, dict):
        return {neutral(key, played): neutral(item, played) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [neutral(item, played) for item in value]
    if not isinstance(value, str):
        return value
    for path, name in ((played.folder, "<project>"), (played.home, "<home>")):
        value = value.replace(str(path.resolve()), name).replace(str(path), name)
    if value in ("(redacted)", "*****"):
        return "<masked>"
    return _TIME.sub("<time>", _UUID.sub("<uuid>", value))
