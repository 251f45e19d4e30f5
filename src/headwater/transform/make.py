"""How a model's table or view comes to hold what the model says, in the transaction that is open."""

# ruff: noqa: S608 - names are quoted; a SELECT of the user is his own

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
from msgspec import Struct

from headwater.base.errors import InputError, RunFailedError, Where
from headwater.base.text import did_you_mean, listed
from headwater.connect.destinations.history import CURRENT, VALID_FROM, VALID_TO
from headwater.connect.names import quote
from headwater.connect.warehouses import Session
from headwater.transform import seeds
from headwater.transform.models import Model

_NEW = "headwater_new"
_TICK = "interval '1 microsecond'"
# What PostgreSQL can't compare.
_NOT_COMPARED = ("json", "xml")


class Order(Struct, frozen=True, kw_only=True):
    """What to make. `standing` is what is there: `table`, `view` or None. `moment` is when versions of a snapshot
    begin; `ours` are the names of all models, whose views may go with a table that they read. `made` is an Arrow stream
    with the rows of a Python model."""

    model: Model
    schema: str
    standing: str | None
    ours: frozenset[str]
    moment: str
    full_refresh: bool = False
    made: Path | None = None

    @property
    def table(self) -> str:
        return f"{quote(self.schema)}.{quote(self.model.name)}"


def make(session: Session, order: Order) -> int | None:
    """Answers with the rows that were written, None for a view.

    Raises SqlError, and InputError or RunFailedError that names the model's file: `no-columns`, `unknown-column`,
    `type-changed`, `bad-key`, and what a Python model or a seed raises.
    """
    model = order.model
    if model.materialized == "view":
        _check_columns(model, session.columns(model.sql))
        _drop(session, order)
        # No line break before the SELECT: the lines in the database's messages are then those of the file.
        session.run(f"create view {order.table} as {model.sql}")
        return None
    grows = model.materialized in ("incremental", "snapshot") and order.standing == "table" and not order.full_refresh
    if model.materialized == "snapshot":
        return _snapshot(session, order, grows=grows)
    return _add(session, order) if grows else _replace(session, order)


def _replace(session: Session, order: Order) -> int:
    """Beside the old table, so that readers wait for no more than the swap."""
    aside = f"{order.model.name[:40]}__new"
    _, count = _filled(session, order, f"table {quote(order.schema)}.{quote(aside)}", order.model.sql)
    _put_in_place(session, order, aside)
    return count


def _put_in_place(session: Session, order: Order, aside: str) -> None:
    _drop(session, order)
    session.run(f"alter table {quote(order.schema)}.{quote(aside)} rename to {quote(order.model.name)}")


def _drop(session: Session, order: Order) -> None:
    if order.standing is not None:
        session.drop(order.standing, order.schema, order.model.name, ours=order.ours)


def _filled(session: Session, order: Order, table: str, sql: str) -> tuple[dict[str, str], int]:
    """Make a table of the model's rows; its columns, and how many rows."""
    model = order.model
    name = table.removeprefix("temp ").removeprefix("table ")
    if model.kind == "sql":
        count = session.run(f"create {table} as {sql}")
    elif model.kind == "seed":
        rows = seeds.rows(model.path, model.file, model.types)
        count = session.create(table, rows.schema, rows.to_batches())
    else:
        assert order.made is not None
        with pa.memory_map(str(order.made)) as file, pa.ipc.open_stream(file) as rows:
            _check_columns(model, rows.schema.names)
            count = session.create(table, rows.schema, rows)
    columns = session.columns(f"select * from {name}")
    _check_columns(model, columns)
    return columns, count


def _check_columns(model: Model, columns: Sequence[str] | Mapping[str, str]) -> None:
    if not columns:
        raise InputError(
            "no-columns",
            f"the model `{model.name}` returns no columns",
            where=Where(model.file, 1),
            hint="name at least one column behind SELECT" if model.kind == "sql" else "return a table with columns",
        )
    for key in (*model.unique_key, *([model.updated_at] if model.updated_at else ())):
        if key not in columns:
            guess = did_you_mean(key, columns)
            raise InputError(
                "unknown-column",
                f"the model `{model.name}` has no column `{key}`, which its description names",
                where=Where(model.file, 1),
                why=None if guess else f"it has {listed(list(columns))}",
                hint=f"did you mean `{guess}`?" if guess else None,
            )


def _add(session: Session, order: Order) -> int:
    """Rows with a `unique_key` replace those of the same key, all others are added."""
    columns, _ = _filled(session, order, f"temp table {_NEW}", order.model.new_sql)
    _reach(session, order, columns)
    if keys := order.model.unique_key:
        listed_keys = ", ".join(map(quote, keys))
        session.run(f"delete from {order.table} where ({listed_keys}) in (select {listed_keys} from {_NEW})")
    names = ", ".join(map(quote, columns))
    count = session.run(f"insert into {order.table} ({names}) select {names} from {_NEW}")
    session.run(f"drop table {_NEW}")
    return count


def _reach(session: Session, order: Order, columns: Mapping[str, str]) -> None:
    """Give the table what columns the SELECT has in addition. No column is dropped, and no type changes unseen."""
    standing = session.columns(f"select * from {order.table}")
    for name, kind in columns.items():
        held = standing.get(name)
        if held is None:
            session.run(f"alter table {order.table} add column {quote(name)} {kind}")
        elif held != kind:
            raise RunFailedError(
                "type-changed",
                f"`{name}` of the model `{order.model.name}` is {kind} now, and {held} in its table",
                where=Where(order.model.file, 1),
                hint=f"cast it to {held}, or make the table anew: headwater run models --full-refresh",
            )


def _snapshot(session: Session, order: Order, *, grows: bool) -> int:
    """A version of a row is open from `__valid_from` to `__valid_to`; see `destinations.history`."""
    model = order.model
    columns, count = _filled(session, order, f"temp table {_NEW}", model.sql)
    _refuse_bad_keys(session, order)
    since = f"cast(n.{quote(model.updated_at)} as timestamptz)" if model.updated_at else _instant(order.moment)
    if not grows:
        aside = f"{model.name[:40]}__new"
        place = f"{quote(order.schema)}.{quote(aside)}"
        session.run(
            f"create table {place} as select n.*, {since} as {VALID_FROM}, cast(null as timestamptz) as {VALID_TO} "
            f"from {_NEW} as n"
        )
        _put_in_place(session, order, aside)
        session.run(f"drop table {_NEW}")
        return count
    _reach(session, order, columns)
    same = " and ".join(f"t.{quote(key)} = n.{quote(key)}" for key in model.unique_key)
    changed = f"{since} > t.{VALID_FROM}" if model.updated_at else _differs(model, columns)
    # Also when the clock was turned back: a version ends behind its beginning.
    end = f"greatest({since}, t.{VALID_FROM} + {_TICK})"
    session.run(
        f"update {order.table} as t set {VALID_TO} = {end} from {_NEW} as n "
        f"where t.{CURRENT} and {same} and ({changed})"
    )
    names = ", ".join(map(quote, columns))
    picked = ", ".join(f"n.{quote(name)}" for name in columns)
    last = f"(select max(t.{VALID_TO}) from {order.table} as t where {same})"
    begin = f"greatest({since}, {last})"
    count = session.run(
        f"insert into {order.table} ({names}, {VALID_FROM}) select {picked}, {begin} from {_NEW} as n "
        f"where not exists (select 1 from {order.table} as t where t.{CURRENT} and {same})"
    )
    if not model.keep_deleted:
        session.run(
            f"update {order.table} as t set {VALID_TO} = greatest({_instant(order.moment)}, t.{VALID_FROM} + {_TICK}) "
            f"where t.{CURRENT} and not exists (select 1 from {_NEW} as n where {same})"
        )
    session.run(f"drop table {_NEW}")
    return count


def _differs(model: Model, columns: Mapping[str, str]) -> str:
    terms = []
    for name, kind in columns.items():
        if name not in model.unique_key:
            cast = "::text" if kind.lower() in _NOT_COMPARED else ""
            terms.append(f"t.{quote(name)}{cast} is distinct from n.{quote(name)}{cast}")
    return " or ".join(terms) or "false"


def _refuse_bad_keys(session: Session, order: Order) -> None:
    keys = [quote(key) for key in order.model.unique_key]
    empty = " or ".join(f"{key} is null" for key in keys)
    found = session.rows(
        f"select count(*), {', '.join(keys)} from {_NEW} group by {', '.join(keys)} having count(*) > 1 or {empty} "
        f"order by 1 desc limit 1"
    )
    if found:
        count, *values = found[0]
        said = ", ".join(f"{key} = {value}" for key, value in zip(order.model.unique_key, values, strict=True))
        raise RunFailedError(
            "bad-key",
            f"`unique_key` does not identify the rows of the snapshot `{order.model.name}`",
            where=Where(order.model.file, 1),
            why=f"{count} row{'s' if count > 1 else ''} with {said}",
            hint="name the columns that do, or leave out the rows",
        )


def _instant(moment: str) -> str:
    return f"cast('{moment}' as timestamptz)"
