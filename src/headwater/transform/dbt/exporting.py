"""Models of ours as a dbt project: SELECTs with `ref` and `source`, seeds, snapshots, tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from headwater.base import yaml
from headwater.base.files import files_below
from headwater.base.yaml_write import render
from headwater.connect.destinations.history import VALID_FROM, VALID_TO
from headwater.transform import increments, references
from headwater.transform.dbt import checks
from headwater.transform.dbt.importing import Made
from headwater.transform.models import Model

Json = dict[str, Any]

_SNAPSHOT_COLUMNS = {"dbt_valid_from": VALID_FROM, "dbt_valid_to": VALID_TO}


def files(
    models: Sequence[Model],
    folder: Path,
    *,
    schema: str,
    name: str,
    dialect: str,
    query_of: Callable[[Json, str], str | None],
) -> Made:
    """The files of a dbt project below its folder. `folder` holds the models' YAML files; `query_of` answers with the
    SELECT of the rows that break a check of a relation, None for one that is no SELECT."""
    made = Made()
    by_name = {model.name.casefold(): model.name for model in models}
    snapshots: list[Json] = []
    sources: dict[str, set[str]] = {}
    for model in models:
        for source in model.sources:
            sources.setdefault(source.schema or "main", set()).add(source.table)
        if model.kind == "python":
            made.notes.append(f"{model.name}: Python models are left out, dbt has another form for them")
        elif model.kind == "seed":
            made.files[f"seeds/{model.path.name}"] = model.path.read_bytes()
        elif model.materialized == "snapshot":
            # What is read stands in a view: dbt's snapshots of today name a relation.
            rows = f"{model.name}_rows"
            made.files[f"models/{rows}.sql"] = _sql(model, by_name, schema, dialect, "view").encode()
            snapshots.append(_snapshot(model, rows))
        else:
            made.files[f"models/{model.name}.sql"] = _sql(model, by_name, schema, dialect, model.materialized).encode()
    entries = _yaml(models, folder, by_name, sources, schema, dialect, query_of, made)
    made.files["dbt_project.yml"] = render(_project(name, models)).encode()
    made.files["models/models.yml"] = render(entries).encode()
    if snapshots:
        made.files["snapshots/snapshots.yml"] = render({"snapshots": snapshots}).encode()
    return made


def _project(name: str, models: Sequence[Model]) -> Json:
    types = {
        model.name: {"+column_types": dict(model.types)} for model in models if model.kind == "seed" and model.types
    }
    project: Json = {
        "name": name,
        "version": "1.0.0",
        "profile": name,
        "model-paths": ["models"],
        "flags": {"send_anonymous_usage_stats": False},
    }
    return {**project, "seeds": {name: types}} if types else project


def _snapshot(model: Model, rows: str) -> Json:
    config: Json = {"unique_key": list(model.unique_key) if len(model.unique_key) > 1 else model.unique_key[0]}
    if model.updated_at:
        config |= {"strategy": "timestamp", "updated_at": model.updated_at}
    else:
        config |= {"strategy": "check", "check_cols": "all"}
    config["hard_deletes"] = "ignore" if model.keep_deleted else "invalidate"
    config["snapshot_meta_column_names"] = _SNAPSHOT_COLUMNS
    return {"name": model.name, "relation": f"ref('{rows}')", "config": config}


def _sql(model: Model, by_name: Mapping[str, str], schema: str, dialect: str, materialized: str) -> str:
    text = model.path.read_text(encoding="utf-8")
    config = f"materialized='{materialized}'"
    if materialized == "incremental" and model.unique_key:
        config += f", unique_key={list(model.unique_key)!r}"
    body = _with_calls(text, model.file, by_name, schema, dialect)
    lines, inside = [], False
    for line in body.rstrip().rstrip(";").split("\n"):
        is_marked = materialized == "incremental" and increments.is_marked(line)
        if is_marked != inside:
            lines.append("{% if is_incremental() %}" if is_marked else "{% endif %}")
        inside = is_marked
        lines.append(line)
    if inside:
        lines.append("{% endif %}")
    return f"{{{{ config({config}) }}}}\n" + "\n".join(lines) + "\n"


def _with_calls(text: str, file: str, by_name: Mapping[str, str], schema: str, dialect: str) -> str:
    """The SQL with every table as a call of `ref` or `source`."""
    places = references.read(text, file, dialect).places
    calls = [(start, end, _call(words, by_name, schema)) for words, found in places.items() for start, end in found]
    for start, end, call in sorted(calls, reverse=True):
        text = f"{text[:start]}{call}{text[end + 1 :]}"
    return text


def _call(words: str, by_name: Mapping[str, str], schema: str) -> str:
    if words == increments.THIS:
        return "{{ this }}"
    place, _, table = words.rpartition(".")
    if place in ("", schema.casefold()) and table in by_name:
        return f"{{{{ ref('{by_name[table]}') }}}}"
    return f"{{{{ source('{place or 'main'}', '{table}') }}}}"


def _yaml(
    models: Sequence[Model],
    folder: Path,
    by_name: Mapping[str, str],
    sources: Mapping[str, set[str]],
    schema: str,
    dialect: str,
    query_of: Callable[[Json, str], str | None],
    made: Made,
) -> Json:
    def relation_of(words: str) -> str:
        call = _call(words.casefold(), by_name, schema)
        return call.strip("{} ")

    sections: dict[str, list[Json]] = {"models": [], "seeds": []}
    tables: dict[str, dict[str, Json]] = {
        name: {one: {"name": one} for one in sorted(own)} for name, own in sources.items()
    }
    snapshots = {model.name for model in models if model.materialized == "snapshot"}
    for path in files_below(folder, ".yml", ".yaml"):
        data = yaml.read(path).data or {}
        for section, into in sections.items():
            for entry in data.get(section) or []:
                told, alone = checks.to_dbt(entry, relation_of)
                _tests(alone, f"{schema}.{entry['name']}", query_of, by_name, schema, dialect, made)
                if entry["name"] not in snapshots and len(told) > 1:
                    into.append(told)
        for source in data.get("sources") or []:
            for table in source.get("tables") or []:
                told, alone = checks.to_dbt(table, relation_of)
                _tests(alone, f"{source['name']}.{table['name']}", query_of, by_name, schema, dialect, made)
                tables.setdefault(source["name"], {})[table["name"]] = told
    listed = [{"name": name, "tables": list(own.values())} for name, own in tables.items()]
    return {key: value for key, value in {**sections, "sources": listed}.items() if value}


def _tests(
    alone: Sequence[Json],
    relation: str,
    query_of: Callable[[Json, str], str | None],
    by_name: Mapping[str, str],
    schema: str,
    dialect: str,
    made: Made,
) -> None:
    """A test of dbt's is a SELECT, too: what has no words there becomes one."""
    for one in alone:
        sql = query_of(one, relation)
        if sql is None:
            made.notes.append(f"{relation}: the check `{one['kind']}` is left out, it compares with former runs")
            continue
        name = "".join(sign if sign.isalnum() else "_" for sign in str(one.get("name") or f"{relation}_{one['kind']}"))
        config = "{{ config(severity='warn') }}\n" if one.get("severity") == "warn" else ""
        file = f"tests/{name}.sql"
        if file in made.files:
            file = f"tests/{name}_{one.get('column') or len(made.files)}.sql"
        made.files[file] = f"{config}{_with_calls(sql, file, by_name, schema, dialect)}\n".encode()
