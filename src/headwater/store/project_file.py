"""The project file, `headwater.yml` or `meltano.yml`, with the files it includes.

Reading only; `project_edit` changes them. Files are named relative to the project folder in every error and in
`Plugin.file`, `Job.file` and so on.
"""

from __future__ import annotations

import gc
import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headwater.base import yaml
from headwater.base.errors import InputError, Where
from headwater.model.plugin import SECTIONS, Plugin
from headwater.model.project import Environment, EnvironmentPlugin, Job, Project, Schedule
from headwater.store.project_fields import Section, flatten
from headwater.store.project_plugin import read_environment_plugin, read_plugin

OWN_FILE = "headwater.yml"
MELTANO_FILE = "meltano.yml"
INCLUDED_KEYS = ("plugins", "schedules", "environments", "jobs")
# Keys that say what the project consists of. Every other top-level key is a setting of the project itself.
_STRUCTURE_KEYS = (*INCLUDED_KEYS, "version", "annotations", "env", "include_paths", "requires_meltano")
_SETTING_KEYS = (
    "default_environment",
    "send_anonymous_usage_stats",
    "keep_logs_days",
    "share_extractor_secrets",
    "disable_tracking",
    "project_id",
    "database_uri",
    "database_max_retries",
    "database_retry_timeout",
    "project_readonly",
    "python",
    "venv",
    "auto_install",
    "state_backend",
    "cli",
    "elt",
    "experimental",
    "ff",
    "hub_url",
    "hub_api_root",
    "hub_url_auth",
    "hub_offline",
    "snowplow",
)
TOP_LEVEL_KEYS = (*_STRUCTURE_KEYS, *_SETTING_KEYS)
_ENVIRONMENT_KEYS = ("name", "annotations", "env", "state_id_suffix", "config")
_JOB_KEYS = ("name", "tasks", "retries", "annotations")
# `start_date` has had no meaning since Meltano 4; files still carry it.
_SCHEDULE_KEYS = ("name", "interval", "env", "annotations", "job", "extractor", "loader", "transform", "start_date")


def find_root(start: Path) -> Path | None:
    """The nearest folder, from `start` upwards, that holds a project file; None when none does."""
    start = start.absolute()
    for folder in (start, *start.parents):
        if project_file(folder) is not None:
            return folder
    return None


def project_file(root: Path) -> Path | None:
    """The project file of a folder: `headwater.yml`, or failing that `meltano.yml`."""
    return next((path for name in (OWN_FILE, MELTANO_FILE) if (path := root / name).is_file()), None)


def load(root: Path) -> Project:
    """The project in the folder `root`, included files merged in.

    Raises InputError with file and line for whatever is wrong in them: `unknown-key`, `wrong-type`, `missing-key`,
    `bad-name`, `duplicate-name`, `include-outside-project`, and those of `base.yaml.read`.
    """
    with _collector_at_rest():
        return _load(root)


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    """Reading makes objects by the hundred thousand and hardly any garbage: looking for it is a third of the time."""
    is_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if is_on:
            gc.enable()


def _load(root: Path) -> Project:
    root = root.absolute()
    path = project_file(root)
    if path is None:
        raise InputError(
            "no-project",
            f"there is no {OWN_FILE} and no {MELTANO_FILE} in `{root}`",
            hint=f"headwater init {root}",
        )
    main = _open(path, path.name)
    _check_top_level(main)
    sections = [main, *_included(main, root, path)]
    environments = [item for section in sections for item in _environments(section)]
    project = Project(
        root=str(root),
        file=str(path),
        default_environment=main.text("default_environment"),
        project_id=main.text("project_id"),
        requires_meltano=main.text("requires_meltano"),
        env=main.env(),
        settings=_settings(main),
        plugins=tuple(item for section in sections for item in _plugins(section)),
        environments=tuple(environments),
        jobs=tuple(item for section in sections for item in _jobs(section)),
        schedules=tuple(item for section in sections for item in _schedules(section)),
        annotations=main.mapping("annotations"),
        lines={str(key): main.line(key) for key in main.data},
    )
    _refuse_duplicates(project)
    return project


def files(root: Path) -> list[Path]:
    """The project file and those it includes, in order. Raises InputError as `load`."""
    path = project_file(root.absolute())
    if path is None:
        return []
    main = _open(path, path.name)
    return [path, *(root.absolute() / section.document.file for section in _included(main, root.absolute(), path))]


def _open(path: Path, shown: str) -> Section:
    document = yaml.read(path, shown=shown)
    data = {} if document.data is None else document.data
    if not isinstance(data, dict):
        raise InputError(
            "wrong-type",
            f"`{shown}` must be a mapping, not a {'list' if isinstance(data, list) else 'single value'}",
            where=Where(shown, 1),
            hint="write `key: value` lines, such as `default_environment: dev`",
        )
    return Section(document, (), data, f"`{shown}`")


def _check_top_level(main: Section) -> None:
    # A project setting may also be written flat: `state_backend.uri: …`.
    unknown = [key for key in main.data if str(key).split(".", 1)[0] not in TOP_LEVEL_KEYS]
    main.check_typos(TOP_LEVEL_KEYS, unknown)
    if unknown and main.document.file == OWN_FILE:  # Meltano keeps keys it does not know as settings
        raise main.unknown_key(unknown[0], TOP_LEVEL_KEYS)


def _included(main: Section, root: Path, main_path: Path) -> Iterator[Section]:
    """The files that `include_paths` names, each once, in the order of the patterns and then of their names."""
    inside = root.resolve()
    seen = {main_path.resolve()}
    for index, pattern in enumerate(main.texts("include_paths")):
        for path in _matches(root, pattern, main.where("include_paths", index)):
            target = path.resolve()
            if target in seen or not target.is_file():
                continue
            shown = path.relative_to(root).as_posix()
            if not target.is_relative_to(inside):
                raise InputError(
                    "include-outside-project",
                    f"`include_paths` leads to `{shown}`, which is a link out of the project",
                    where=main.where("include_paths", index),
                    why=f"it points to {target}",
                    hint="copy the file into the project",
                )
            seen.add(target)
            section = _open(path, shown)
            for key in section.data:
                if key in TOP_LEVEL_KEYS and key not in INCLUDED_KEYS:
                    raise InputError(
                        "unknown-key",
                        f"`{key}` cannot stand in an included file",
                        where=section.where(key),
                        why="an included file holds `plugins`, `schedules`, `environments` and `jobs`",
                        hint=f"move it to {main_path.name}",
                    )
            section.check_keys(INCLUDED_KEYS)
            yield section


def _matches(root: Path, pattern: str, where: Where) -> list[Path]:
    if not pattern or pattern.startswith(("/", "~")) or ".." in Path(pattern).parts:
        raise InputError(
            "include-outside-project",
            f"`include_paths` holds `{pattern}`, which is not inside the project",
            where=where,
            hint="name files relative to the project folder, such as `conf/*.yml`",
        )
    return sorted(root.glob(pattern))


def _settings(main: Section) -> dict[str, Any]:
    return flatten({key: value for key, value in main.data.items() if key not in _STRUCTURE_KEYS})


def _plugins(section: Section) -> Iterator[Plugin]:
    plugins = section.section("plugins", "`plugins`")
    plugins.check_keys(SECTIONS)
    for key, kind in SECTIONS.items():
        for entry in plugins.sections(key, kind.value):
            yield read_plugin(entry, kind)


def _environments(section: Section) -> Iterator[Environment]:
    for entry in section.sections("environments", "environment"):
        entry.check_keys(_ENVIRONMENT_KEYS)
        config = entry.section("config", f"`config` of {entry.title}")
        plugins = config.section("plugins", f"`config.plugins` of {entry.title}")
        plugins.check_keys(SECTIONS)
        others = {key: value for key, value in config.data.items() if key != "plugins"}
        config.check_typos(("plugins", *_SETTING_KEYS), [key for key in others if key not in _SETTING_KEYS])
        yield Environment(
            name=entry.name(example="dev", forbid_colon=True),
            env=entry.env(),
            state_id_suffix=entry.text("state_id_suffix"),
            plugins=tuple(_environment_plugins(plugins)),
            settings=flatten(others),
            annotations=entry.mapping("annotations"),
            file=entry.document.file,
            line=entry.line(),
        )


def _environment_plugins(plugins: Section) -> Iterator[EnvironmentPlugin]:
    for key, kind in SECTIONS.items():
        for entry in plugins.sections(key, kind.value):
            yield read_environment_plugin(entry, kind)


def _jobs(section: Section) -> Iterator[Job]:
    for entry in section.sections("jobs", "job"):
        entry.check_keys(_JOB_KEYS)
        yield Job(
            name=entry.name(example="daily"),
            tasks=_tasks(entry),
            written=entry.data.get("tasks"),
            retries=_retries(entry),
            annotations=entry.mapping("annotations"),
            file=entry.document.file,
            line=entry.line(),
        )


def _tasks(entry: Section) -> tuple[tuple[str, ...], ...]:
    value = entry.data.get("tasks")
    if value is None:
        raise InputError(
            "missing-key",
            f"{entry.title} has no `tasks`",
            where=entry.where(),
            hint="add `tasks: [tap-github target-jsonl]`",
        )
    if isinstance(value, str):
        return (_words(entry, value, "tasks"),)
    tasks = []
    for index, task in enumerate(entry.sequence("tasks")):
        words = task if isinstance(task, list) else [task]
        for word in words:
            if not isinstance(word, str):
                raise entry.wrong_type(word, "text", "tasks", index)
        tasks.append(tuple(word for text in words for word in _words(entry, text, "tasks", index)))
    return tuple(tasks)


def _retries(entry: Section) -> int | None:
    value = entry.data.get("retries")
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
        return value
    raise entry.wrong_type(value, "a whole number from 0 on", "retries")


def _words(entry: Section, text: str, *below: Any) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise InputError(
            "bad-task",
            f"cannot split a task of {entry.title} into words: {str(error).lower()}",
            where=entry.where(*below),
            why=text,
            hint="close the quote",
        ) from error


def _schedules(section: Section) -> Iterator[Schedule]:
    for entry in section.sections("schedules", "schedule"):
        entry.check_keys(_SCHEDULE_KEYS)
        job, extractor, loader = entry.text("job"), entry.text("extractor"), entry.text("loader")
        if not job and not (extractor and loader):
            raise InputError(
                "missing-key",
                f"{entry.title} has neither a `job` nor an `extractor` with a `loader`",
                where=entry.where(),
                hint="add `job: NAME`",
            )
        if job and (extractor or loader):
            raise InputError(
                "wrong-type",
                f"{entry.title} has a `job` and also an `extractor` or `loader`",
                where=entry.where(),
                hint="keep either the job or the two plugins",
            )
        yield Schedule(
            name=entry.name(example="daily"),
            interval=entry.required_text("interval", example="'@daily'"),
            job=job,
            extractor=extractor,
            loader=loader,
            transform=entry.text("transform"),
            env=entry.env(),
            annotations=entry.mapping("annotations"),
            file=entry.document.file,
            line=entry.line(),
        )


def _refuse_duplicates(project: Project) -> None:
    named: list[tuple[str, Iterable[Any]]] = [
        *((kind.value, [item for item in project.plugins if item.kind is kind]) for kind in SECTIONS.values()),
        ("environment", project.environments),
        ("job", project.jobs),
        ("schedule", project.schedules),
    ]
    for title, items in named:
        first: dict[str, Any] = {}
        for item in items:
            other = first.setdefault(item.name, item)
            if other is not item:
                raise InputError(
                    "duplicate-name",
                    f"there are two {title}s named `{item.name}`",
                    where=Where(item.file, item.line),
                    why=f"the other one stands in {Where(other.file, other.line)}",
                    hint="rename or remove one of the two",
                )
