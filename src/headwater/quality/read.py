"""Checks as people write them, in the YAML files of the models folder.

models:
  - name: orders_by_day
    columns:
      - name: day
        checks: [not_null, unique]
      - name: revenue
        checks:
          - range: {min: 0}
          - not_null: {severity: warn}
    checks:
      - row_count: {min: 1}
      - unique: [day, shop]
      - sql: {name: no day is missing, query: "select …"}
sources:
  - name: tap_shop            # the schema that a tap loads into
    tables:
      - name: orders
        columns: …
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from msgspec import Struct

from headwater.base import yaml
from headwater.base.errors import InputError
from headwater.base.files import files_below
from headwater.base.text import did_you_mean, listed
from headwater.quality.checks import Check, Relation

# Whatever stands in these mappings: what is not a check is read with the models.
SEED_KEYS = ("name", "description", "columns", "checks")
MODEL_KEYS = (*SEED_KEYS, "materialized", "unique_key", "updated_at", "keep_deleted")
_OPTIONS = ("name", "severity")
_SEVERITIES = ("error", "warn")


class _Kind(Struct, frozen=True):
    """`parameters` are its keys; `short` names the one that a bare value or list stands for. `on` says where the
    check may be written: below a column, below the table."""

    parameters: tuple[str, ...]
    on: tuple[str, ...]
    short: str | None = None


KINDS = {
    "not_null": _Kind((), ("column",)),
    "unique": _Kind(("columns",), ("column", "table"), "columns"),
    "accepted_values": _Kind(("values",), ("column",), "values"),
    "range": _Kind(("min", "max"), ("column",)),
    "relationship": _Kind(("to", "field"), ("column",)),
    "row_count": _Kind(("min", "max"), ("table",)),
    "sql": _Kind(("query",), ("table",), "query"),
}


def read_checks(folder: Path, schema: str) -> tuple[Check, ...]:
    """Every check below `folder`, in the order of files and lines. `schema` is where the models are built.

    Raises InputError with file and line: `bad-check` for a wrong key, value or shape, `unknown-check` for a kind
    that does not exist, and those of `base.yaml.read`.
    """
    files = files_below(folder, ".yml", ".yaml")
    found: dict[str, Check] = {}
    for path in files:
        document = yaml.read(path, shown=path.relative_to(folder.parent).as_posix())
        for check in _Reader(document, schema).checks() if document.data is not None else ():
            other = found.setdefault(check.name, check)
            if other is not check:
                raise InputError(
                    "bad-check",
                    f"two checks are called `{check.name}`",
                    where=check.where,
                    why=f"the first stands at {other.where}",
                    hint="remove one of the two, or give it a `name`",
                )
    return tuple(found.values())


class _Reader:
    """One document. Paths are those of `yaml.Document`: keys and indices from its root."""

    def __init__(self, document: yaml.Document, schema: str) -> None:
        self._document = document
        self._schema = schema

    def checks(self) -> Iterator[Check]:
        root = self._mapping((), ("version", "models", "seeds", "sources"))
        for section, keys in (("models", MODEL_KEYS), ("seeds", SEED_KEYS)):
            for at in self._items(root, (section,)):
                model = self._mapping(at, keys)
                yield from self._of_table(Relation(self._schema, self._name(at, model)), at, model)
        for at in self._items(root, ("sources",)):
            source = self._mapping(at, ("name", "description", "tables"))
            name = self._name(at, source)
            for table_at in self._items(source, (*at, "tables")):
                table = self._mapping(table_at, ("name", "description", "columns", "checks"))
                yield from self._of_table(Relation(name, self._name(table_at, table)), table_at, table)

    def _of_table(self, relation: Relation, at: tuple[Any, ...], table: dict[str, Any]) -> Iterator[Check]:
        for column_at in self._items(table, (*at, "columns")):
            column = self._mapping(column_at, ("name", "description", "type", "checks"))
            name = self._name(column_at, column)
            for check_at in self._items(column, (*column_at, "checks")):
                yield self._check(relation, (name,), check_at)
        for check_at in self._items(table, (*at, "checks")):
            yield self._check(relation, (), check_at)

    def _check(self, relation: Relation, columns: tuple[str, ...], at: tuple[Any, ...]) -> Check:
        kind, given = self._written(at)
        place = "column" if columns else "table"
        if kind not in KINDS:
            guess = did_you_mean(kind, KINDS)
            raise InputError(
                "unknown-check",
                f"there is no check `{kind}`",
                where=self._document.where(*at),
                why=f"there are {listed(list(KINDS))}",
                hint=f"did you mean `{guess}`?" if guess else "write anything else as `sql: select …`",
            )
        known = KINDS[kind]
        if place not in known.on:
            self._refuse(at, f"`{kind}` checks a {known.on[0]}, not a {place}")
        if not isinstance(given, dict):
            given = {known.short: given} if known.short and given is not None else {}
        for key in given:
            if key not in (*known.parameters, *_OPTIONS):
                self._refuse_key((*at, kind, key), (*known.parameters, *_OPTIONS))
        severity = given.get("severity", "error")
        if severity not in _SEVERITIES:
            self._refuse((*at, kind, "severity"), f"`severity` is one of {listed(_SEVERITIES)}, not `{severity}`")
        parameters = {key: value for key, value in given.items() if key in known.parameters}
        columns, parameters = self._checked(kind, columns, parameters, at)
        default = ".".join([relation.words, *(["+".join(columns)] if columns else []), kind])
        return Check(
            name=str(given.get("name") or default),
            kind=kind,
            relation=relation,
            columns=columns,
            parameters=parameters,
            severity=severity,
            where=self._document.where(*at),
        )

    def _checked(
        self, kind: str, columns: tuple[str, ...], given: dict[str, Any], at: tuple[Any, ...]
    ) -> tuple[tuple[str, ...], dict[str, Any]]:
        """The columns and parameters in their final form, or an error."""
        match kind:
            case "unique":
                own = given.get("columns") or []
                own = [own] if isinstance(own, str) else own
                if columns and own:
                    self._refuse(at, "`unique` below a column takes no columns of its own")
                if not columns and not _is_list(own, str):
                    self._refuse(at, "`unique` of a table needs its columns", "unique: [first, second]")
                return columns or tuple(own), {}
            case "accepted_values":
                if not _is_list(given.get("values"), (str, int, float)):
                    self._refuse(at, "`accepted_values` needs a list of values", "accepted_values: [open, closed]")
            case "range" | "row_count":
                if all(given.get(side) is None for side in ("min", "max")):
                    self._refuse(at, f"`{kind}` needs `min`, `max` or both", f"{kind}: {{min: 1}}")
                if not all(isinstance(bound, int | float | str | None) for bound in given.values()):
                    self._refuse(at, f"the bounds of `{kind}` must be single values")
            case "relationship":
                if not isinstance(given.get("to"), str) or not isinstance(given.get("field"), str):
                    self._refuse(
                        at, "`relationship` needs `to` and `field`", "relationship: {to: customers, field: id}"
                    )
                schema, _, table = given["to"].rpartition(".")
                return columns, {"to": Relation(schema or self._schema, table), "field": given["field"]}
            case "sql":
                if not isinstance(given.get("query"), str) or not given["query"].strip():
                    self._refuse(at, "`sql` needs a query that finds the rows that are wrong", "sql: select …")
        return columns, given

    def _written(self, at: tuple[Any, ...]) -> tuple[str, Any]:
        """`not_null` and `{not_null: {…}}` are both fine."""
        value = self._value(at)
        if isinstance(value, str):
            return value, None
        if not isinstance(value, dict) or len(value) != 1:
            self._refuse(at, "a check is a word or a mapping of one key", "`- not_null` or `- range: {min: 0}`")
        kind, given = next(iter(value.items()))
        return str(kind), given

    def _value(self, at: tuple[Any, ...]) -> Any:
        value = self._document.data
        for part in at:
            value = value[part]
        return value

    def _mapping(self, at: tuple[Any, ...], known: tuple[str, ...]) -> dict[str, Any]:
        value = self._value(at)
        if not isinstance(value, dict):
            self._refuse(at, "a mapping is expected here")
        for key in value:
            if key not in known:
                self._refuse_key((*at, key), known)
        return value

    def _items(self, parent: dict[str, Any], at: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
        value = parent.get(at[-1])
        if value is not None and not isinstance(value, list):
            self._refuse(at, f"`{at[-1]}` must be a list")
        return ((*at, index) for index in range(len(value or [])))

    def _name(self, at: tuple[Any, ...], entry: dict[str, Any]) -> str:
        name = entry.get("name")
        if not isinstance(name, str):
            self._refuse((*at, "name"), "`name` is missing here" if name is None else f"`{name}` is no name: quote it")
        return name

    def _refuse_key(self, at: tuple[Any, ...], known: tuple[str, ...]) -> NoReturn:
        guess = did_you_mean(str(at[-1]), known)
        hint = f"did you mean `{guess}`?" if guess else None
        raise InputError(
            "bad-check",
            f"unknown key `{at[-1]}`",
            where=self._document.where(*at),
            why=f"known here: {listed(known)}",
            hint=hint,
        )

    def _refuse(self, at: tuple[Any, ...], what: str, hint: str | None = None) -> NoReturn:
        raise InputError("bad-check", what, where=self._document.where(*at), hint=hint)


def _is_list(value: Any, kinds: type | tuple[type, ...]) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, kinds) for item in value)
