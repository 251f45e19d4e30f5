"""Projects drawn by chance resolve to the same config, extras and variables of a plugin under both programs."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from random_projects import GONE, Drawn, draw

from drop_in import _OURS, ANSWERS, MODE, OURS, VARIABLES
from headwater.base.errors import HeadwaterError
from headwater.model.plugin import PluginKind
from headwater.ops import planning, workspace
from headwater.plan import programs, settled

SEEDS = 150
ANSWER = ANSWERS / "random-projects.jsonl.gz"
# Where Meltano stops with an error of its own code, there is nothing to be like: a child that sets what its parent
# does not know, or that leaves it unset.
CRASHES = {"KeyError", "TypeError"}
# Differences that are meant, besides those of `VARIABLES`.
MEANT = {
    "an alias": "a value under an alias is the setting's; Meltano also hands it on as a setting of its own",
    "a part": "each key of an object is a variable of its own, wherever the object comes from; "
    "Meltano does so for what stands in files alone",
    "an empty object": "where `{}` stands above keys of a weaker place, Meltano writes these into the config and `{}` "
    "into the variable",
    "a secret": "a plugin does not find the secrets of another",
    "of the project": "`env:` of the project is expanded for plugins, too; Meltano hands `${NAME}` on as it stands",
}
# Not settings: who calls, and from where.
_AROUND = re.compile(
    r"PYTHONWARNINGS|LOGGING_CONF_FILE|SINGER_SDK_LOG_CONFIG|HEADWATER_\w+|MELTANO_JOB_TRIGGER|MELTANO_LOADER_VARIANT"
)
_OBJECTS = re.compile(r"_(FILTERS|HEADERS|_METADATA|_SCHEMA)(_\w+)?$")


def test_the_projects_are_the_same_each_time():
    assert msgspec.to_builtins(draw(7)) == msgspec.to_builtins(draw(7))
    drawn = [draw(seed) for seed in range(SEEDS)]
    everything = "".join(text for one in drawn for text in one.files.values())
    for word in ("inherit_from", "aliases", "null", "${" + GONE + "}", "\\$", "metadata", "stringify", "env:"):
        assert word in everything


@pytest.fixture(scope="session")
def theirs(request):
    """Meltano's answers, by seed."""
    if MODE in ("record", "live"):
        program = Path(request.getfixturevalue("meltano")[0])
        lines = "".join(f"{msgspec.json.encode(draw(seed)).decode()}\n" for seed in range(SEEDS))
        script = [program.parent / "python", Path(__file__).with_name("meltano_answers.py")]
        done = subprocess.run(script, input=lines, capture_output=True, text=True, check=True)
        answers = [
            {plugin: _kept(answer) for plugin, answer in json.loads(line).items()} for line in done.stdout.splitlines()
        ]
        text = "".join(f"{json.dumps(answer, sort_keys=True)}\n" for answer in answers)
        if MODE == "record":
            ANSWER.write_bytes(gzip.compress(text.encode(), mtime=0))
        assert _recorded() == text, "Meltano's answers are not those that are kept"
    return [json.loads(line) for line in _recorded().splitlines()]


@pytest.mark.parametrize("seed", range(SEEDS))
def test_both_resolve_alike(seed, theirs, tmp_path, monkeypatch):
    drawn = draw(seed)
    for plugin, answer in _resolved(drawn, tmp_path, monkeypatch).items():
        other = theirs[seed][plugin]
        if other.get("refused") in CRASHES:
            continue
        ours = _kept(answer)
        assert "refused" not in other, f"{plugin}: Meltano refuses it ({other})"
        assert "refused" not in ours, f"{plugin}: {ours}"
        assert ours["config"] == other["config"], plugin
        assert ours["extras"] == other["extras"], plugin
        assert _comparable(ours["env"], other["env"], drawn) == _comparable(other["env"], ours["env"], drawn), plugin


def _recorded():
    return gzip.decompress(ANSWER.read_bytes()).decode()


def _resolved(drawn: Drawn, folder: Path, monkeypatch):
    """Our answer, in the form of Meltano's."""
    for name, text in drawn.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for name in os.environ:
        monkeypatch.delenv(name)
    for name, value in {**drawn.environ, "HEADWATER_HUB_OFFLINE": "1"}.items():
        monkeypatch.setenv(name, value)
    facts = planning.facts(found := workspace.find(folder, environment=drawn.environment, default_environment=False))
    answers = {}
    for kind, name in drawn.plugins:
        try:
            ready = settled.ready(facts, planning.plugin(found, name, PluginKind(kind)))
            env = programs.block(facts, ready).env
        except HeadwaterError as error:
            answers[f"{kind} {name}"] = {"refused": error.reference, "what": error.what}
            continue
        extras = {name: value.value for name, value in ready.values.items() if name.startswith("_")}
        answers[f"{kind} {name}"] = {"config": ready.config, "extras": extras, "env": env}
    text = json.dumps(answers)
    for path, shown in ((str(folder), "<project>"), (str(folder).upper(), "<PROJECT>")):
        text = text.replace(path, shown)
    return json.loads(text)


def _kept(answer):
    """What is compared of an answer: without what is not about settings, and without what `MEANT` says of aliases."""
    if "refused" in answer:
        return answer
    env = {
        name: value
        for name, value in answer["env"].items()
        if name not in VARIABLES
        and not _AROUND.fullmatch(name)
        and not re.search(_OURS, name)
        and "ALIAS" not in name
        and not re.match(r"MELTANO_(?!EXTRACT|LOAD|ENVIRONMENT)", name)
    }
    return {
        "config": {name: value for name, value in answer["config"].items() if not name.endswith("_alias")},
        "extras": {name: value for name, value in answer["extras"].items() if "." not in name and name not in OURS},
        "env": env,
    }


def _comparable(env, other, drawn):
    """Variables without those in which a difference is meant; what is JSON as what it is."""
    foreign = set(other) ^ set(env)
    found = {}
    for name, value in env.items():
        if name in foreign and (_OBJECTS.search(name) or _is_secret(name, drawn)):
            continue
        if name == "ROOT_WORD" and "$" in (value + other.get(name, "")):
            continue
        if _OBJECTS.search(name) and "{}" in (value, other.get(name)):
            continue
        found[name] = _decoded(value)
    return found


def _is_secret(name, drawn):
    """Whether it belongs to a setting that a definition calls a secret."""
    named = re.findall(
        r'name"?: "?([\w.]+)"?[^-}]*?(?:sensitive"?: true|kind"?: "?password)', "".join(drawn.files.values())
    )
    return any(name.endswith(setting.replace(".", "_").upper()) for setting in named)


def _decoded(text):
    try:
        return json.loads(text)
    except ValueError:
        return text


if __name__ == "__main__":  # show one: python tests/drop_in/test_random_projects.py SEED
    for name, text in draw(int(sys.argv[1])).files.items():
        sys.stdout.write(f"--- {name}\n{text}\n")
