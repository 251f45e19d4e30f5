"""Builds the plugin index that comes with the package: `python scripts/build_index.py [NAME…]`.

Every plugin of `index_plugins.yml` is installed the way a project would do it, its program is started with `--help`,
and its settings are read from its own `--about`, or, where it has none, from the configuration keys in its source.
A plugin that does not start is left out, and the reason printed. With names (`tap-x`, or `tap-x--variant`), only those
are built anew.

Writes `src/headwater/store/index/` and `docs/reference/plugins.md`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import yaml
from index_settings import capabilities_in_source, settings_in_source, settings_of_about, with_corrections

from headwater.base.errors import HeadwaterError, Where
from headwater.model.plugin import SECTIONS, Definition, Plugin, PluginKind, Resolved
from headwater.run import install
from headwater.store import hub, lock_files, venvs

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs" / "reference" / "plugins.md"
AT_ONCE = 2
TIMEOUT = 120


def main(names: list[str]) -> int:
    wanted = _wanted()
    chosen = [plugin for plugin in wanted if not names or {plugin["name"], _file_name(plugin)} & {*names}]
    known = {(plugin["section"], plugin["name"], plugin["variant"]) for plugin in wanted}
    built = {key: entry for key, entry in _built().items() if key in known}
    failed = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for plugin, outcome in zip(chosen, pool.map(_verified, chosen), strict=True):
            key = (plugin["section"], plugin["name"], plugin["variant"])
            if isinstance(outcome, str):
                failed += 1
                built.pop(key, None)
                print(f"- {plugin['name']}--{plugin['variant']}: {outcome}", flush=True)
                continue
            definition, built[key] = outcome
            _file(built[key]).parent.mkdir(parents=True, exist_ok=True)
            _file(built[key]).write_bytes(lock_files.encode(definition))
            print(f"+ {plugin['name']}--{plugin['variant']} {built[key].verified}", flush=True)
    _write(wanted, built)
    return 1 if failed else 0


def _file_name(plugin: dict[str, Any]) -> str:
    return f"{plugin['name']}--{plugin['variant']}"


def _wanted() -> list[dict[str, Any]]:
    listed = yaml.safe_load((HERE / "index_plugins.yml").read_text())
    return [{"section": section, **plugin} for section, plugins in listed.items() for plugin in plugins]


def _built() -> dict[tuple[str, str, str], hub.Entry]:
    file = hub.INDEX / "index.json"
    entries = msgspec.json.decode(file.read_bytes(), type=tuple[hub.Entry, ...]) if file.exists() else ()
    return {(entry.kind.section, entry.name, entry.variant): entry for entry in entries}


def _verified(plugin: dict[str, Any]) -> tuple[Definition, hub.Entry] | str:
    """The plugin's definition and entry, or why it is not fit for the index."""
    root = Path(tempfile.mkdtemp(prefix=f"index-{plugin['name']}-"))
    try:
        return _verify(plugin, root)
    except HeadwaterError as error:
        return f"{error.what}: {error.why}"
    except subprocess.TimeoutExpired as error:
        return f"no answer in {TIMEOUT} s: {error.cmd}"
    except Exception as error:  # noqa: BLE001 - one odd plugin must not end the build of the others
        return f"odd answer: {error!r}"
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _verify(plugin: dict[str, Any], root: Path) -> tuple[Definition, hub.Entry] | str:
    kind = SECTIONS[plugin["section"]]
    given = {key: item for key, item in plugin.items() if key not in ("section", "settings")}
    base = lock_files.from_builtins({"plugin_type": kind, **given}, where=Where("index_plugins.yml"))
    resolved = Resolved(
        kind=kind,
        name=base.name,
        definition=base,
        chain=(Plugin(kind=kind, name=base.name),),
        venv_name=base.name,
    )
    job = install.job(resolved, root=root, home=root / ".headwater", env=os.environ)
    assert job is not None
    install.install([job], emit=lambda _: None)
    program = venvs.executable(root / ".headwater", kind, base.name, base.executable or base.name)
    if not program.exists():
        return f"no program `{program.name}`"
    helped = _run(program, "--help")
    if helped.returncode != 0:
        return f"--help ended with {helped.returncode}: {helped.stderr.strip()[-300:]}"
    ran = ["--help"]
    about = _about(program) if "--about" in helped.stdout else None
    venv = venvs.venv(root / ".headwater", kind, base.name)
    if about is not None:
        ran.append("--about --format json")
        settings = settings_of_about(about)
        capabilities = tuple(about.get("capabilities", ()))
    elif kind in (PluginKind.EXTRACTOR, PluginKind.LOADER):
        sources = list(_sources(venv, base))
        settings = settings_in_source(sources)
        capabilities = capabilities_in_source(sources) if kind is PluginKind.EXTRACTOR else ()
    else:
        settings, capabilities = (), ()
    settings = with_corrections(settings, plugin.get("settings", {}))
    definition = msgspec.structs.replace(
        base,
        settings=settings,
        capabilities=tuple(sorted({*base.capabilities, *capabilities})),
        settings_group_validation=_groups(tuple(setting.name for setting in settings if setting.required)),
        supported_python_versions=_versions(about) if about else (),
    )
    return definition, hub.Entry(
        kind=kind,
        name=base.name,
        variant=base.variant,
        label=base.label or "",
        description=base.description or "",
        pip_url=base.pip_url or "",
        package=_package(base),
        verified=_version(job, _package(base)),
        python=_run(venv / "bin" / "python", "-c", "import sys; print('%d.%d' % sys.version_info[:2])").stdout.strip(),
        ran=tuple(ran),
    )


def _run(program: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *args],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
        cwd=program.parent,
        stdin=subprocess.DEVNULL,
    )


def _about(program: Path) -> dict[str, Any] | None:
    answer = _run(program, "--about", "--format", "json")
    start = answer.stdout.find("{")
    if answer.returncode != 0 or start < 0:
        return None
    found = msgspec.json.decode(answer.stdout[start:].encode())
    return found if isinstance(found, dict) and "settings" in found else None


def _package(definition: Definition) -> str:
    """The package that the plugin is: the first one named, for `dbt-core dbt-duckdb` the adapter."""
    words = [word for word in venvs.split_args(definition.pip_url or "") if word != "dbt-core"]
    match = re.match(r"[A-Za-z0-9][\w.-]*", words[0])
    assert match
    return match[0]


def _version(job: install.InstallJob, package: str) -> str:
    pinned = venvs.pin_file(job.requirement).read_text()
    match = re.search(rf"^{re.escape(package)}==(\S+)", pinned, re.MULTILINE | re.IGNORECASE)
    assert match, package
    return match[1]


def _sources(venv: Path, definition: Definition) -> Iterable[str]:
    info = next(
        info
        for info in venv.glob("lib/python*/site-packages/*.dist-info")
        if info.name.split("-")[0].lower() == _package(definition).replace("-", "_").lower()
    )
    for line in (info / "RECORD").read_text().splitlines():
        file = info.parent / line.split(",")[0]
        if file.suffix == ".py" and "test" not in line and file.is_file():
            yield file.read_text("utf-8", "replace")


def _versions(about: dict[str, Any]) -> tuple[str, ...]:
    """Some say `Only` among them."""
    return tuple(word for word in about.get("supported_python_versions") or () if re.fullmatch(r"\d+\.\d+", word))


def _groups(required: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    return (required,) if required else ()


def _file(entry: hub.Entry) -> Path:
    return hub.INDEX / entry.kind.section / f"{entry.name}--{entry.variant}.json"


def _write(wanted: list[dict[str, Any]], built: dict[tuple[str, str, str], hub.Entry]) -> None:
    entries: list[hub.Entry] = []
    for plugin in wanted:
        entry = built.get((plugin["section"], plugin["name"], plugin["variant"]))
        if entry is not None:
            first = all((other.kind, other.name) != (entry.kind, entry.name) for other in entries)
            entries.append(msgspec.structs.replace(entry, default=first))
    (hub.INDEX / "index.json").write_bytes(
        msgspec.json.format(msgspec.json.encode(entries), indent=1) + b"\n",
    )
    for file in hub.INDEX.glob("*/*.json"):
        if file not in {_file(entry) for entry in entries}:
            file.unlink()
    DOCS.parent.mkdir(parents=True, exist_ok=True)
    DOCS.write_text(_page(entries), "utf-8")


def _page(entries: list[hub.Entry]) -> str:
    lines = [
        "# Plugins in the index",
        "",
        "<!-- Written by scripts/build_index.py. -->",
        "",
        f"`headwater add NAME` knows these {len(entries)} plugins without a network. Each was installed and its",
        "program started, with the version that stands here; a project pins the version it gets. Any other plugin is",
        "added with `--from-ref` or as a custom one. Native plugins need no installation and are listed with the",
        "sources and destinations.",
    ]
    for kind in dict.fromkeys(entry.kind for entry in entries):
        lines += ["", f"## {kind.section.capitalize()}", ""]
        lines += ["| name | variant | reads, writes or does | package | version | started on | what was run |"]
        lines += ["|---|---|---|---|---|---|---|"]
        lines += [
            f"| `{entry.name}` | {entry.variant}{' (default)' if entry.default else ''} | {entry.description} "
            f"| `{entry.package}` | {entry.verified} | Python {entry.python} "
            f"| {', '.join(f'`{words}`' for words in entry.ran)} |"
            for entry in entries
            if entry.kind is kind
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
