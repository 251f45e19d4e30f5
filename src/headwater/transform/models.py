"""Models: one file, one table or view. The file's stem is the model's name.

An SQL file holds one SELECT, a Python file a function `model`, a seed is a CSV file.

What SQL can't say (table or view, what it means, its checks) stands in YAML files beside them, see `properties`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from headwater.base.errors import InputError, Where
from headwater.base.files import files_below
from headwater.connect.names import quote
from headwater.transform import increments, python_models
from headwater.transform.properties import Properties, read_properties
from headwater.transform.references import Reference, read

DEFAULT_SCHEMA = "analytics"


class Model(Struct, frozen=True, kw_only=True):
    """What becomes a table or view. `file` is relative to the folder that holds the models folder, as people write it
    (`models/orders.sql`), `path` is where it is. `kind` is `sql`, `python` or `seed`.

    `sql` is the SELECT of all rows, `new_sql` that of the rows that an incremental model adds. `inputs` are the queries
    behind a Python model's parameters, `types` those of a seed's columns that are declared. `parents` are the models it
    reads, `sources` the tables it reads that no model makes. `code` changes when the text or what YAML says of the
    table changes. `unsteady` models are built in every run.
    """

    name: str
    file: str
    path: Path
    kind: str
    materialized: str
    sql: str = ""
    new_sql: str = ""
    inputs: dict[str, str] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    unique_key: tuple[str, ...] = ()
    updated_at: str | None = None
    keep_deleted: bool = False
    description: str = ""
    parents: tuple[str, ...] = ()
    sources: tuple[Reference, ...] = ()
    unsteady: bool = False
    code: str

    @property
    def relation(self) -> str:
        """What stands in the warehouse: `table` or `view`."""
        return "view" if self.materialized == "view" else "table"


def plan_models(
    folder: Path, *, schema: str = DEFAULT_SCHEMA, seeds: Path | None = None, dialect: str = "duckdb"
) -> tuple[Model, ...]:
    """Every model below `folder` and every CSV file below `seeds`, each after those it reads, otherwise in order of
    name.

    `schema` is where the models are built: `schema.name` means the model too. `dialect` is sqlglot's name of the
    warehouse's SQL. Raises InputError: `no-models`, `model-name`, `model-twice`, `bad-sql`, `not-a-select`,
    `bad-incremental`, `bad-model`, `model-cycle`, and those of `read_properties`.
    """
    files = files_below(folder, ".sql", ".py")
    of_seeds = files_below(seeds, ".csv") if seeds is not None and seeds.is_dir() else []
    if not files and not of_seeds:
        raise InputError(
            "no-models",
            f"no model in `{folder}`",
            hint=f"write a SELECT into {folder.name}/first_model.sql",
        )
    names = _names([*files, *of_seeds], folder.parent)
    properties = read_properties(
        folder, [path.stem for path in names if path.suffix != ".csv"], [path.stem for path in of_seeds]
    )
    plan = _Reading(folder.parent, {name.casefold(): name for name in names.values()}, schema, dialect)
    return _ordered([plan.model(path, properties.get(name) or Properties()) for path, name in names.items()])


def _names(files: Sequence[Path], root: Path) -> dict[Path, str]:
    """Names are compared as databases do: case does not count."""
    first: dict[str, Path] = {}
    for path in files:
        shown = _shown(path, root)
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
                why=f"the other one is {_shown(other, root)}",
                hint="rename one of them",
            )
    return {path: path.stem for path in files}


def _shown(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


class _Reading(Struct, frozen=True):
    """What is the same for all files. `models` maps names in small letters to those that were written."""

    root: Path
    models: dict[str, str]
    schema: str
    dialect: str

    def model(self, path: Path, told: Properties) -> Model:
        file = _shown(path, self.root)
        kinds = {".py": "python", ".csv": "seed"}
        kind = kinds.get(path.suffix, "sql")
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise InputError("bad-sql", f"`{file}` is not UTF-8 text", where=Where(file), why=str(error)) from error
        code = repr((told.materialized, told.unique_key, told.updated_at, told.keep_deleted, told.types, text))
        made = Model(
            name=path.stem,
            file=file,
            path=path,
            kind=kind,
            materialized="seed" if kind == "seed" else told.materialized,
            types=told.types,
            unique_key=told.unique_key,
            updated_at=told.updated_at,
            keep_deleted=told.keep_deleted,
            description=told.description,
            code=hashlib.sha256(code.encode()).hexdigest()[:16],
        )
        if kind == "seed":
            return made
        return self._python(made, text) if kind == "python" else self._sql(made, text)

    def _sql(self, made: Model, text: str) -> Model:
        new = ""
        sql = text
        if made.materialized == "incremental":
            table = f"{quote(self.schema)}.{quote(made.name)}"
            reads, new = increments.reads(text, made.file, table, self.dialect)
            sql = increments.whole(text)
            if not made.unique_key and sql == text:
                raise _appends_all(made)
        else:
            reads = read(text, made.file, self.dialect)
        parents, sources = self._split(reads.tables)
        return replace(made, sql=sql, new_sql=new, parents=parents, sources=sources, unsteady=reads.unsteady)

    def _python(self, made: Model, text: str) -> Model:
        if made.materialized == "view":
            raise InputError(
                "bad-model",
                f"`{made.name}` is Python and can't be a view",
                where=Where(made.file),
                hint="materialized: table",
            )
        if made.materialized == "incremental" and not made.unique_key:
            raise _appends_all(made)
        inputs = python_models.inputs(text, made.file)
        tables: list[Reference] = []
        unsteady = False
        for query, line in inputs.values():
            found = read(query, made.file, self.dialect)
            tables += [Reference(one.catalog, one.schema, one.table, line) for one in found.tables]
            unsteady = unsteady or found.unsteady
        parents, sources = self._split(tables)
        queries = {name: query for name, (query, _) in inputs.items()}
        return replace(made, inputs=queries, parents=parents, sources=sources, unsteady=unsteady)

    def _split(self, tables: Sequence[Reference]) -> tuple[tuple[str, ...], tuple[Reference, ...]]:
        parents, sources = [], []
        for table in tables:
            model = None if table.catalog else self.models.get(table.table.casefold())
            if model is not None and table.schema.casefold() in ("", self.schema.casefold()):
                parents.append(model)
            else:
                sources.append(table)
        return tuple(dict.fromkeys(parents)), tuple(sources)


def _appends_all(made: Model) -> InputError:
    return InputError(
        "bad-incremental",
        f"`{made.name}` would add all of its rows again and again",
        where=Where(made.file),
        why="it has no `unique_key`, and no line of it ends with `-- incremental`",
        hint="give it a `unique_key`, or mark the lines that keep only what is new",
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
    hint = "name the schema of a loaded table (`schema.table`), or move what they share into a model of its own"
    if len(models) == 1 and models[0].materialized == "incremental":
        hint = "an incremental model reads its own table as `this`, on a line that ends with `-- incremental`"
    return InputError(
        "model-cycle",
        what,
        where=Where(models[0].file),
        why=way,
        hint=hint,
    )
