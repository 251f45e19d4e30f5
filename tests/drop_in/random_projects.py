"""Projects drawn by chance from a seed: what plugins know, and everything that may say something of their settings.

The same seed gives the same project, on every machine and Python. What both programs refuse by design (values that
are no value of their kind, two variables for one setting) is not drawn: each has a case of its own elsewhere.

Nor is what Meltano 4.4.1 gets wrong and Headwater does not:

- an object given in one piece (a variable, JSON as a text) and keys of it given in files: Meltano mixes them, and
  says so in the config but not in the variables;
- objects in objects that are inherited or defaults, or stand under an alias: the inner ones are lost;
- what only an environment says of a parent, of keys that no definition has: it is not inherited;
- a text for a key that no definition has and the parent gives as a boolean: it becomes false.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import yaml
from msgspec import Struct

# Names of settings and extras, by kind. A dot is nesting.
SETTINGS: dict[str, tuple[str, ...]] = {
    "string": ("url", "auth.user", "auth.key.id", "region"),
    "integer": ("page_size", "limits.rows"),
    "boolean": ("strict", "limits.hard"),
    "decimal": ("ratio",),
    "array": ("tags", "auth.scopes"),
    "object": ("filters", "headers"),
    "options": ("mode",),
    "date_iso8601": ("since",),
    "password": ("secret_word",),
    "file": ("key_file",),
    "email": ("contact",),
}
CHOICES = ("fast", "slow", "careful")
# Variables by the place that sets them; GONE is set nowhere.
SHELL = {"SHELL_HOST": "shell.example", "SHELL_NUMBER": "17", "shell_lower": "low", "SHELL_EMPTY": ""}
DOTENV = {"DOTENV_HOST": "dotenv.example", "DOTENV_WORD": "dot word"}
LEVELS = ("ROOT_WORD", "STAGE_WORD", "PLUGIN_WORD", "STAGE_PLUGIN_WORD")
NAMED = ("MELTANO_ENVIRONMENT", "MELTANO_EXTRACTOR_NAMESPACE", "MELTANO_PROJECT_ROOT", "MELTANO_EXTRACTOR_NAME")
GONE = "NOWHERE_SET"


class Drawn(Struct, frozen=True, kw_only=True):
    """`plugins` are those to compare, as kind and name; `environ` is all of the process environment."""

    seed: int
    files: dict[str, str]
    environ: dict[str, str]
    environment: str | None
    plugins: list[tuple[str, str]]


def draw(seed: int) -> Drawn:
    chance = random.Random(seed)  # noqa: S311 - no secret, and the same each time
    chain = _definition(chance)
    definition, parent, children, locked = chain
    names = [parent["name"], *(child["name"] for child in children)]
    loader = _loader(chance)
    project: dict[str, Any] = {
        "version": 1,
        "project_id": "6f2d0a6e-6b1b-4a3a-9a3c-0d6a34f6a001",
        "default_environment": "dev",
        "plugins": {"extractors": [parent, *children], "loaders": [loader]},
        "environments": [{"name": "dev"}, _environment(chance, names, definition["settings"])],
        "schedules": [
            {
                "name": "nightly",
                "interval": "@daily",
                "extractor": names[-1],
                "loader": loader["name"],
                "transform": "skip",
            }
        ],
    }
    if chance.random() < 0.5:
        project["env"] = _env(chance, "ROOT_WORD", SHELL)
    environ = {"PATH": "/usr/bin:/bin", "HOME": "/nowhere", "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "false", **SHELL}
    prefixes = [chance.choice([names[0], definition["namespace"]]), *names[1:]]
    environ.update(_variables(chance, prefixes, definition["settings"]))
    if chance.random() < 0.4:  # what a schedule says is said before anything is started
        project["schedules"][0]["env"] = _variables(chance, prefixes[-1:], definition["settings"])
        environ.update(project["schedules"][0]["env"])
    dotenv = {**DOTENV, **_variables(chance, prefixes, definition["settings"])}
    files = {
        "meltano.yml": yaml.safe_dump(project, sort_keys=False),
        ".env": "".join(f"{name}='{value}'\n" for name, value in dotenv.items()),
    }
    if locked:
        files[f"plugins/extractors/{definition['name']}--chance.lock"] = json.dumps(definition)
    plugins = [("extractor", name) for name in names] + [("loader", loader["name"])]
    return Drawn(
        seed=seed,
        files=files,
        environ=environ,
        environment=chance.choice([None, "dev", "prod", "prod"]),
        plugins=plugins,
    )


def _definition(chance: random.Random) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]], bool]:
    """What is known of the extractor, its entry, the entries that inherit from it, and whether it is in a lock file."""
    name, namespace = "tap-chance", chance.choice(["tap_chance", "chance_space"])
    kinds = [(kind, setting) for kind, names in SETTINGS.items() for setting in names]
    settings = [_setting(chance, kind, setting) for kind, setting in chance.sample(kinds, chance.randint(3, 9))]
    definition = {
        "plugin_type": "extractors",
        "name": name,
        "namespace": namespace,
        "variant": "chance",
        "executable": "./bin/tap",
        "capabilities": ["catalog", "discover", "state"],
        "settings": settings,
    }
    locked = chance.random() < 0.5
    parent: dict[str, Any] = {"name": name, "variant": "chance"}
    if not locked:
        parent = {**definition}
        del parent["plugin_type"]
    parent |= _said(chance, settings, ["PLUGIN_WORD"])
    if chance.random() < 0.4:
        parent["env"] = _env(chance, "PLUGIN_WORD", ())
    children = []
    above = name
    for number in range(chance.randint(0, 2)):
        child = {"name": f"{name}--{number}", "inherit_from": above, **_said(chance, settings, ["PLUGIN_WORD"])}
        if chance.random() < 0.3:
            kind, setting = chance.choice(kinds)
            child["settings"] = [_setting(chance, kind, setting)]
            child.setdefault("config", {})[setting] = _value(chance, kind, [])
        above = child["name"]
        children.append(child)
    return definition, parent, children, locked


def _setting(chance: random.Random, kind: str, name: str) -> dict[str, Any]:
    setting: dict[str, Any] = {"name": name}
    if kind != "string" or chance.random() < 0.5:
        setting["kind"] = kind
    if kind == "options":
        setting["options"] = [{"label": choice.title(), "value": choice} for choice in CHOICES]
    if chance.random() < 0.4:
        setting["value"] = _value(chance, kind, [])
    if kind != "object" and chance.random() < 0.2:
        setting["aliases"] = [f"{name.replace('.', '_')}_alias"]
    if chance.random() < 0.15:
        setting["env"] = f"OWN_{name.replace('.', '_').upper()}"
    if chance.random() < 0.1 and kind == "string":
        setting["sensitive"] = True
    if kind == "string" and chance.random() < 0.15:
        setting["value_processor"] = "upcase_string"
    if kind == "array" and chance.random() < 0.15:
        setting["value_post_processor"] = "stringify"
    return setting


def _said(
    chance: random.Random, settings: Sequence[dict[str, Any]], levels: Sequence[str], *, unlisted: bool = True
) -> dict[str, Any]:
    """`config` and extras of an entry; `unlisted`: also what no definition lists."""
    config: dict[str, Any] = {}
    for setting in settings:
        if chance.random() < 0.45:
            kind = setting.get("kind", "string")
            name = chance.choice([setting["name"], *setting.get("aliases", ())])
            value = None if name == setting["name"] and chance.random() < 0.1 else _value(chance, kind, levels)
            _put(config, name, value, nested=chance.random() < 0.5)
        elif setting.get("kind") == "object" and chance.random() < 0.4:
            config[f"{setting['name']}.part"] = _value(chance, "string", levels)
    if unlisted and chance.random() < 0.3:
        config["unlisted"] = _text(chance, levels)
    if unlisted and chance.random() < 0.2:
        config["unlisted_number"] = chance.choice([0, 12])
    if unlisted and chance.random() < 0.2:
        _put(config, "unlisted_group.first", _value(chance, "string", levels), nested=chance.random() < 0.5)
    said: dict[str, Any] = {"config": config} if config else {}
    if chance.random() < 0.3:
        said["select"] = chance.sample(["*.*", "notes.*", "!notes.secret", "people.$SHELL_NUMBER"], 2)
    if unlisted and chance.random() < 0.25:
        said["metadata"] = chance.choice(
            [
                {"notes": {"replication-method": "INCREMENTAL"}},
                {"notes.replication-key": "id"},
                {"*": {"selected": True}, "notes": {"key": "${SHELL_HOST}"}},
            ]
        )
    if chance.random() < 0.2:
        said["load_schema"] = chance.choice(["raw", "$SHELL_NUMBER", "x_$MELTANO_EXTRACTOR_NAMESPACE", f"${{{GONE}}}"])
    if unlisted and chance.random() < 0.15:
        said["schema"] = {"notes": {"id": {"type": ["string", "null"]}}}
    if chance.random() < 0.1:
        said["use_cached_catalog"] = False
    return said


def _put(config: dict[str, Any], name: str, value: Any, *, nested: bool) -> None:
    if not nested or "." not in name:
        config[name] = value
        return
    *groups, last = name.split(".")
    for group in groups:
        below = config.setdefault(group, {})
        if not isinstance(below, dict):
            return
        config = below
    config[last] = value


def _value(chance: random.Random, kind: str, levels: Sequence[str]) -> Any:
    match kind:
        case "integer":
            return chance.choice([0, 7, 250, "12", "$SHELL_NUMBER", f"${{{GONE}}}"])
        case "boolean":
            return chance.choice([True, False, "true", "0"])
        case "decimal":
            return chance.choice([0.5, 2, "1.25"])
        case "array":
            return chance.choice([[], ["a", "b"], ["$SHELL_HOST", 3, [None]], '["x", "y"]', "$SHELL_LIST"])
        case "object":
            return chance.choice([{}, {"a": 1}, {"b": "$SHELL_HOST", "c": [1]}, {"part": "whole"}])
        case "options":
            return chance.choice(CHOICES)
        case "date_iso8601":
            return chance.choice(["2026-01-31", "2026-01-31T10:00:00Z"])
        case _:
            return _text(chance, levels)


def _text(chance: random.Random, levels: Sequence[str]) -> str:
    name = chance.choice([*SHELL, *DOTENV, *NAMED, *levels, GONE])
    plain = name.isupper()
    return chance.choice(
        [
            "plain text",
            "",
            "a=b#c",
            f"${{{name}}}",
            f"${name}" if plain else "$lower",
            f"before-${name}-after" if plain else f"before-${{{name}}}-after",
            rf"\${name}",
            f"${{{GONE}}}${name}" if plain else "${" + GONE + "}",
        ]
    )


def _env(chance: random.Random, name: str, above: Sequence[str]) -> dict[str, str]:
    """An `env:` key that sets `name`."""
    named = chance.choice(["", *(f"${{{other}}}" for other in above)])
    return {name: chance.choice(["word", "two words", f"with-{named}"])}


def _environment(chance: random.Random, names: Sequence[str], settings: Sequence[dict[str, Any]]) -> dict[str, Any]:
    environment: dict[str, Any] = {"name": "prod"}
    plugins = []
    for name in names:
        if chance.random() < 0.6:
            known = settings if name == names[-1] else [item for item in settings if item.get("kind") != "object"]
            entry = {"name": name, **_said(chance, known, ["STAGE_WORD"], unlisted=name == names[-1])}
            if chance.random() < 0.3:
                entry["env"] = _env(chance, "STAGE_PLUGIN_WORD", ())
            plugins.append(entry)
    if plugins:
        environment["config"] = {"plugins": {"extractors": plugins}}
    if chance.random() < 0.5:
        environment["env"] = _env(chance, "STAGE_WORD", ("ROOT_WORD",))
    return environment


def _variables(chance: random.Random, prefixes: Sequence[str], settings: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Variables that set settings, at most one for each."""
    found = {}
    for setting in settings:
        if setting.get("kind") != "object" and chance.random() < 0.2:
            name = [setting["name"], *setting.get("aliases", ())][-1]
            value = _value(chance, setting.get("kind", "string"), [])
            if not (isinstance(value, str) and "$" in value):  # a variable is taken as it is
                found[_variable(chance.choice(prefixes), name)] = value if isinstance(value, str) else json.dumps(value)
    if chance.random() < 0.15:
        found[_variable(prefixes[0], "_select")] = '["from_variable.*"]'
    return found


def _variable(prefix: str, name: str) -> str:
    return "".join(char if char.isalnum() else "_" for char in f"{prefix}_{name}").upper()


def _loader(chance: random.Random) -> dict[str, Any]:
    settings = [_setting(chance, "string", "folder"), _setting(chance, "string", "schema")]
    loader: dict[str, Any] = {
        "name": "target-chance",
        "namespace": "target_chance",
        "executable": "./bin/target",
        "settings": settings,
    }
    if chance.random() < 0.5:
        loader["config"] = {"folder": _text(chance, [])}
    return loader
