"""SQL models: one file, one SELECT, one table or view. The file's stem is the model's name.

What SQL can't say (table or view, what it means, its checks) stands in YAML files beside them, see `properties`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from headwater.base.errors import InputError, Where
from headwater.base.files import files_below
from headwater.transform.properties import Properties, read_properties
from headwater.transform.references import Reference, read

DEFAULT_SCHEMA = "analytics"


class Model(Struct, frozen=True, kw_only=True):
    """`file` is relative to the folder that holds the models folder, as people write it (`models/orders.sql`).

    `parents` are the models it reads, `sources` the tables it reads that no model makes. `code` changes when the
    text or the materialization changes. `unsteady` models are built in every run.
    """

    name: str
    file: str
    sql: str
    materialized: str
    description: str
    parents: tuple[str, ...]
    sources: tuple[Reference, ...]
    unsteady: bool
    code: str


def plan_models(folder: Path, *, schema: str = DEFAULT_SCHEMA) -> tuple[Model, ...]:
    """Every model below `folder`, each after those it reads, otherwise in order of name.

    `schema` is where the models are built: `schema.name` means the model too. Raises InputError: `no-models`,
    `model-name`, `model-twice`, `bad-sql`, `not-a-select`, `model-cycle`, and those of `read_properties`.
    """
    files = files_below(folder, ".sql")
    if not files:
        raise InputError(
            "no-models",
            f"no model in `{folder}`",
            hint=f"write a SELECT into {folder.name}/first_model.sql",
        )
    names = _names(files, folder)
    properties = read_properties(folder, set(names.values()))
    models = [
        _model(path, path.relative_to(folder.parent).as_posix(), names, properties.get(name) or Properties(), schema)
        for path, name in names.items()
    ]
    return _ordered(models)


def _names(files: Sequence[Path], folder: Path) -> dict[Path, str]:
    """Names are compared as DuckDB does: case does not count."""
    first: dict[str, Path] = {}
    for path in files:
        shown = path.relative_to(folder.parent).as_posix()
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", path.stem):
            raise InputError(
                "model-name",
                f"`{path.stem}` can't be a model's name",
                where=Where(shown),
                why="a name is letters, digits and underscores and starts with no digit",
                hint=f"mv {shown} {Path(shown).with_stem(re.sub(r'[^A-Za-z0-9_]', '_', path.stem)).as_posix()}",
            )
        other = first.setdefault(path.stem.casefold(), path)
        if other is not path:
            raise InputError(
                "model-twice",
                f"two files make the model `{path.stem}`",
                where=Where(shown),
                why=f"the other one is {other.relative_to(folder.parent).as_posix()}",
                hint="rename one of them",
            )
    return {path: path.stem for path in files}


def _model(path: Path, file: str, names: dict[Path, str], properties: Properties, schema: str) -> Model:
    try:
        sql = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError("bad-sql", f"`{file}` is not UTF-8 text", where=Where(file), why=str(error)) from error
    by_name = {name.casefold(): name for name in names.values()}
    reads = read(sql, file)
    parents, sources = [], []
    for table in reads.tables:
        model = None if table.catalog else by_name.get(table.table.casefold())
        if model is not None and table.schema.casefold() in ("", schema.casefold()):
            parents.append(model)
        else:
            sources.append(table)
    return Model(
        name=path.stem,
        file=file,
        sql=sql,
        materialized=properties.materialized,
        description=properties.description,
        parents=tuple(dict.fromkeys(parents)),
        sources=tuple(sources),
        unsteady=reads.unsteady,
        code=hashlib.sha256(f"{properties.materialized}\n{sql}".encode()).hexdigest()[:16],
    )


def _ordered(models: Sequence[Model]) -> tuple[Model, ...]:
    """Depth first, so that a model stands right behind what it needs; no recursion, so that depth has no limit."""
    by_name = {model.name: model for model in models}
    done: dict[str, Model] = {}
    for start in sorted(by_name):
        path = [start]
        while path:
            model = by_name[path[-1]]
            waiting = next((name for name in sorted(model.parents) if name not in done), None)
            if waiting in path:
                raise _cycle([by_name[name] for name in path[path.index(waiting) :]])
            if waiting is None:
                done.setdefault(path.pop(), model)
            else:
                path.append(waiting)
    return tuple(done.values())


def _cycle(models: Sequence[Model]) -> InputError:
    way = " → ".join([*(model.file for model in models), models[0].file])
    what = "models read each other in a circle" if len(models) > 1 else f"`{models[0].name}` reads itself"
    return InputError(
        "model-cycle",
        what,
        where=Where(models[0].file),
        why=way,
        hint="name the schema of a loaded table (`schema.table`), or move what they share into a model of its own",
    )
