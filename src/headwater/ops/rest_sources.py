"""`tap new rest`: an API is asked once or twice, and a YAML file says what was seen."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

import msgspec
from msgspec import Struct

from headwater.base import yaml
from headwater.base.errors import InputError, RunFailedError
from headwater.base.text import env_name
from headwater.connect.sources.rest import spec_file, trial
from headwater.connect.sources.rest.guess import Finding, Guess
from headwater.model.plugin import PluginKind
from headwater.ops import own_sources, settings
from headwater.ops.workspace import Workspace

Login = Literal["none", "bearer", "basic", "api_key"]
_SECRET_NAME = re.compile(r"(token|secret|passw|api_?key|apikey|access_?key|signature|auth|^key$)", re.IGNORECASE)
_SETTINGS = ("token", "username", "password", "api_key")
_NOT_A_NAME = re.compile(r"[^a-z0-9_]+")


class Wish(Struct, frozen=True, kw_only=True):
    """`url` is the address of one list of records, as a browser would take it. `secret` goes into `.env`; with `basic`
    it is `user:password`. `header` is the one of an API key. `records` is the path of the records, where it is known.
    Without `is_tried` nothing is asked."""

    url: str
    login: Login = "none"
    secret: str | None = None
    header: str = "X-API-Key"
    stream: str | None = None
    records: str | None = None
    is_tried: bool = True


class Made(Struct, frozen=True, kw_only=True):
    """`trouble` says why the API could not be asked: then what stands in the file is what was wished only."""

    plugin: str
    file: str
    stream: str
    stored: tuple[str, ...]
    findings: tuple[Finding, ...]
    trouble: str | None = None


def new(workspace: Workspace, name: str, wish: Wish) -> Made:
    """Write `sources/NAME.yml` and its entry in the project file, an extractor `tap-NAME`; secrets go into `.env`.

    Raises InputError (`bad-name`, `plugin-exists`, `bad-url`); then nothing was written.
    """
    place = own_sources.place(workspace, name, ".yml", "rest")
    if place.is_there:
        raise InputError(
            "plugin-exists", f"there is a file `{place.file}` already", hint=f"headwater tap test {place.plugin}"
        )
    parts = urlsplit(wish.url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise InputError(
            "bad-url",
            "the address begins with `https://` and holds no user",
            hint="headwater tap new rest NAME --url https://api.example.com/orders",
        )
    stream = wish.stream or _stream_name(parts.path)
    config, parameters, auth = _taken_apart(wish, parse_qsl(parts.query, keep_blank_values=True))
    known = {name: text for name in _SETTINGS if (text := _variable(workspace, place.plugin, name)) is not None}
    found, trouble = Guess(records=wish.records or ""), None
    head, _, path = parts.path.rstrip("/").rpartition("/")
    base_url = f"{parts.scheme}://{parts.netloc}{head}"
    if wish.is_tried:
        draft = {"path": f"/{path}", "parameters": parameters}
        found, trouble = _look(workspace, base_url, auth, stream, draft, config | known, found)
        if wish.records is not None:
            found.records = wish.records
    text = written(base_url, f"/{path}", stream, auth, parameters, found)
    spec_file.checked(yaml.parse(text, place.file))  # what is written can be read
    target = workspace.root / place.file
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    own_sources.add_entry(workspace, place)
    after = workspace.again()
    for setting, value in config.items():
        settings.set_value(after, place.plugin, PluginKind.EXTRACTOR, (setting,), value)
    return Made(
        plugin=place.plugin,
        file=place.file,
        stream=stream,
        stored=tuple(config),
        findings=tuple(found.findings),
        trouble=trouble,
    )


def _stream_name(path: str) -> str:
    last = path.rstrip("/").rpartition("/")[2].lower()
    return _NOT_A_NAME.sub("_", last.removesuffix(".json")).strip("_") or "records"


def has_secret(workspace: Workspace, name: str, login: Login) -> bool:
    """Whether what the login needs is set for the plugin that the name stands for."""
    plugin = f"tap-{name.removeprefix('tap-')}"
    needed = {"bearer": ["token"], "basic": ["username", "password"], "api_key": ["api_key"]}.get(login, [])
    return all(_variable(workspace, plugin, one) is not None for one in needed)


def _variable(workspace: Workspace, plugin: str, name: str) -> str | None:
    """A secret that stands in the environment already, or in `.env`."""
    variable = env_name(plugin, name)
    return workspace.environ.get(variable) or workspace.dotenv.get(variable)


def _taken_apart(
    wish: Wish, query: list[tuple[str, str]]
) -> tuple[dict[str, str], dict[str, Any], dict[str, Any] | None]:
    """The settings to store, the plain parameters, and `auth`. A parameter that is called like a secret becomes one."""
    config: dict[str, str] = {}
    parameters: dict[str, Any] = {}
    auth: dict[str, Any] | None = None
    if wish.login == "bearer":
        auth = {"type": "bearer", "token": "{{ config.token }}"}
        config = {} if wish.secret is None else {"token": wish.secret}
    elif wish.login == "basic":
        auth = {"type": "basic", "username": "{{ config.username }}", "password": "{{ config.password }}"}
        user, _, password = (wish.secret or "").partition(":")
        config = {} if wish.secret is None else {"username": user, "password": password}
    elif wish.login == "api_key":
        auth = {"type": "api_key", "name": wish.header, "value": "{{ config.api_key }}"}
        config = {} if wish.secret is None else {"api_key": wish.secret}
    for name, value in query:
        if auth is None and _SECRET_NAME.search(name):
            auth = {"type": "api_key", "in": "query", "name": name, "value": "{{ config.api_key }}"}
            config["api_key"] = value
        else:
            parameters[name] = value
    return config, parameters, auth


def _look(
    workspace: Workspace,
    base_url: str,
    auth: dict[str, Any] | None,
    stream: str,
    draft: dict[str, Any],
    config: Mapping[str, str],
    otherwise: Guess,
) -> tuple[Guess, str | None]:
    data = {"base_url": base_url, "streams": {stream: draft}} | ({"auth": auth} if auth else {})
    source = spec_file.checked(yaml.parse(msgspec.json.encode(data).decode(), "the address"))
    source = msgspec.structs.replace(source, limits=trial.draft_limits())
    try:
        secrets = tuple(config.values())
        return trial.look(source, stream, config, root=workspace.root, secrets=secrets), None
    except (RunFailedError, InputError) as error:
        return otherwise, f"{error.what}" + (f": {error.why}" if error.why else "")


def written(
    base_url: str, path: str, stream: str, auth: dict[str, Any] | None, parameters: Mapping[str, Any], found: Guess
) -> str:
    """The YAML, with words on what else there is."""
    lines = [
        "# A source described in YAML. `{{ config.NAME }}` is a setting of the plugin: headwater config set",
        f"base_url: {_said(base_url)}",
        "",
    ]
    if auth is not None:
        lines += ["auth:", *(f"  {name}: {_said(value)}" for name, value in auth.items()), ""]
    else:
        lines += ['# auth: {type: bearer, token: "{{ config.token }}"}', ""]
    if found.pagination is not None:
        pagination = {name: value for name, value in found.pagination.items() if value is not None}
        lines += ["pagination:", *(f"  {name}: {_said(value)}" for name, value in pagination.items())]
    else:
        lines += ["# pagination: {type: page, size: 100, size_parameter: per_page}"]
    lines += [
        "# limits: {requests: 10, per: second}",
        "",
        "streams:",
        f"  {_said(stream)}:",
        f"    path: {_said(path)}",
    ]
    lines += [f"    records: {_said(found.records)}" if found.records else "    # records: data.items"]
    if found.key is not None:
        lines += [f"    keys: {_said(found.key)}"]
    if parameters:
        lines += ["    parameters:", *(f"      {name}: {_said(value)}" for name, value in parameters.items())]
    if found.cursor is not None and found.key is not None:
        lines += [
            "    # Only what changed since the last run is loaded. So that the API sends no more than that, tell it:",
            '    #   parameters: {updated_since: "{{ start }}"}',
            "    incremental:",
            f"      cursor: {_said(found.cursor)}",
        ]
    else:
        lines += ["    # incremental: {cursor: updated_at, start: 2024-01-01}"]
    return "\n".join(lines) + "\n"


def _said(value: Any) -> str:
    """A value as YAML on one line: plain where it means the same, else quoted."""
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z/][\w./:-]*", value) and yaml.plain(value) == value:
        return value if not value.endswith(":") else msgspec.json.encode(value).decode()
    return msgspec.json.encode(value).decode()
