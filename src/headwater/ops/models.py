"""Models and their checks together: what is built on a table waits for what must hold of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec import Struct

from headwater.base.errors import HeadwaterError, InputError, RunFailedError, Where
from headwater.base.files import write_atomic
from headwater.connect.warehouses import Session
from headwater.model.event import Emit, StreamFigures
from headwater.model.plan import Build
from headwater.model.plugin import PluginKind
from headwater.ops import planning
from headwater.ops.workspace import Workspace
from headwater.plan import alone, settled
from headwater.quality import check as asking
from headwater.quality import history
from headwater.quality.checks import OF_HISTORY, Check, Relation, failing_rows
from headwater.quality.given import READERS
from headwater.quality.read import read_checks
from headwater.run.runner import Run
from headwater.transform import ready, references
from headwater.transform import step as models
from headwater.transform.dbt import exporting, importing, reading
from headwater.transform.definitions import READY_MADE
from headwater.transform.gates import Gate, Place
from headwater.transform.models import DEFAULT_SCHEMA, plan_models


def build(step: Build, run: Run) -> tuple[StreamFigures, ...]:
    """Build the models of a step, each behind the checks of what it reads. Raises what `transform.step` raises, and
    `bad-check`."""
    schema = str(step.block.config.get("schema") or DEFAULT_SCHEMA)
    checks = read_checks(Path(step.folder), schema)
    past = history.of_run(run, checks)
    return models.execute(step, run, [_gate(check, step, run, past) for check in checks])


def _gate(check: Check, step: Build, run: Run, past: history.Past) -> Gate:
    def ask(session: Session, emit: Emit) -> HeadwaterError | None:
        try:
            wrong = asking.ask(session, check, step=step.name, emit=emit, cancel=run.cancel, past=past)
        except InputError as error:
            try:
                asking.check_names(check, asking.known_columns(session))  # which says it better
            except InputError as better:
                return better
            return error
        if not wrong or check.severity != "error":
            return None
        return RunFailedError(
            "checks-failed",
            f"the check `{check.name}` failed",
            where=check.where,
            why=wrong,
            hint=asking.see(check),
        )

    schema, dialect = check.relation.schema, step.warehouse.native or ""
    # The age of a value changes while its table does not: such a check counts as another one in each run.
    ages = check.kind == "freshness"
    code = f"{check!r} {run.plan.run_id}" if ages else repr(check)
    return Gate(check.name, _place(schema, check.relation.name), _needs(check, dialect), code, ask, ages)


def _place(schema: str, name: str) -> Place:
    return schema.casefold(), name.casefold()


def _needs(check: Check, dialect: str) -> frozenset[Place]:
    found = {_place(check.relation.schema, check.relation.name)}
    if check.kind == "relationship":
        found.add(_place(check.parameters["to"].schema, check.parameters["to"].name))
    if check.kind == "sql":
        reads = references.read(check.parameters["query"], check.where.file, dialect)
        found |= {_place(table.schema or check.relation.schema, table.table) for table in reads.tables}
    return frozenset(found)


class Brought(Struct, frozen=True, kw_only=True):
    """Files that were written, relative to the project, and what dbt did that is not done here, or the reverse."""

    files: tuple[str, ...]
    notes: tuple[str, ...]


def import_dbt(workspace: Workspace, folder: Path) -> Brought:
    """Write the dbt project of a folder as models, seeds and checks of this project. Idempotent.

    Raises InputError: `no-dbt-project`, `dbt-unreadable`, and `file-exists` for files that hold something else; then
    nothing was written.
    """
    *_, dialect = _places(workspace)
    made = importing.files(reading.read(folder), schema=_schema(workspace), dialect=dialect)
    return _written(workspace.root, workspace.root, made)


def export_dbt(workspace: Workspace, folder: Path) -> Brought:
    """Write the project's models as a dbt project into a folder. Idempotent. Raises as `import_dbt`, and what
    `plan_models` raises."""
    plugin, models_folder, dialect = _places(workspace)
    schema = _schema(workspace)
    seeds = workspace.root / str((plugin.config.get("seeds") if plugin else None) or models.SEEDS)
    found = plan_models(models_folder, schema=schema, seeds=seeds, dialect=dialect)
    name = "".join(sign if sign.isalnum() else "_" for sign in workspace.root.name.lower()).strip("_") or "warehouse"
    made = exporting.files(found, models_folder, schema=schema, name=name, dialect=dialect, query_of=_query)
    return _written(folder, workspace.root, made)


class Copied(Struct, frozen=True, kw_only=True):
    """Files of a ready-made transform, relative to the project: `created`, and `kept` because they are there and
    differ. `has_models`: the project has what builds them."""

    created: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    has_models: bool


def bring(workspace: Workspace, name: str) -> Copied | None:
    """Bring the files of a ready-made transform into the project, into a folder of its own below the models; None for a
    transform of another kind. They are the project's from then on: one that is there stays as it is. Idempotent.

    Raises InputError (`wrong-dialect`).
    """
    found = settled.ready(planning.facts(workspace), planning.plugin(workspace, name, PluginKind.TRANSFORM))
    definition = found.resolved.definition
    if definition.native != READY_MADE:
        return None
    plugin, folder, dialect = _places(workspace)
    created, kept = [], []
    for file, content in ready.files(definition.name, dialect).items():
        path = folder / definition.namespace / file
        shown = path.relative_to(workspace.root).as_posix()
        if not path.exists():
            write_atomic(path, content)
            created.append(shown)
        elif path.read_bytes() != content:
            kept.append(shown)
    return Copied(created=tuple(created), kept=tuple(kept), has_models=plugin is not None)


def _query(check: dict[str, Any], relation: str) -> str | None:
    """None for a check that is no SELECT: it compares with former runs."""
    if check["kind"] in OF_HISTORY:
        return None
    schema, _, name = relation.rpartition(".")
    words = ("kind", "column", "name", "severity", "where")
    parameters = {key: value for key, value in check.items() if key not in words}
    if check["kind"] in READERS:
        parameters = READERS[check["kind"]](parameters)
    columns = parameters.pop("columns", None) or ([check["column"]] if check["column"] else [])
    if check["kind"] == "relationship":
        to_schema, _, to = parameters["to"].rpartition(".")
        parameters["to"] = Relation(to_schema or schema, to)
    return failing_rows(
        Check(
            name=str(check.get("name") or check["kind"]),
            kind=check["kind"],
            relation=Relation(schema, name),
            columns=tuple(columns),
            parameters=parameters,
            only=check.get("where"),
            where=Where(""),
        )
    )


def _written(root: Path, shown_from: Path, made: importing.Made) -> Brought:
    standing = importing.existing(root, made)
    if standing:
        raise InputError(
            "file-exists",
            f"{len(standing)} files stand in `{root}` already and hold something else",
            where=Where(standing[0]),
            why=", ".join(standing),
            hint="move them away, or take another folder",
        )
    for file, content in made.files.items():
        write_atomic(root / file, content)
    names = [root / file for file in made.files]
    shown = [str(path.relative_to(shown_from) if path.is_relative_to(shown_from) else path) for path in names]
    return Brought(files=tuple(sorted(shown)), notes=tuple(made.notes))


def _schema(workspace: Workspace) -> str:
    plugin, *_ = _places(workspace)
    return str((plugin.config.get("schema") if plugin else None) or DEFAULT_SCHEMA)


def _places(workspace: Workspace) -> tuple[settled.Ready | None, Path, str]:
    """The plugin `models`, its folder, and the dialect of its warehouse: DuckDB's where there is none yet."""
    facts = planning.facts(workspace)
    entries = [item for item in workspace.project.plugins if item.kind is PluginKind.TRANSFORMER]
    found = (settled.ready(facts, item) for item in entries)
    plugin = next((item for item in found if item.resolved.native == alone.MODELS), None)
    folder = workspace.root / str((plugin.config.get("folder") if plugin else None) or alone.MODELS)
    loaders = alone.warehouses(facts, plugin.config.get("loader") if plugin else None, of=alone.BUILT_IN)
    return plugin, folder, (loaders[0].resolved.native or "duckdb") if loaders else "duckdb"
