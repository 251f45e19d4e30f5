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
      - row_count_change: 20%
sources:
  - name: tap_shop            # the schema that a tap loads into
    tables:
      - name: orders
        columns: …
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from msgspec import Struct
from msgspec.structs import replace

from headwater.base import yaml
from headwater.base.errors import InputError
from headwater.base.files import files_below
from headwater.base.text import did_you_mean, listed
from headwater.quality import given as words
from headwater.quality.checks import Check, Relation

# Whatever stands in these mappings: what is not a check is read with the models.
SEED_KEYS = ("name", "description", "columns", "checks")
MODEL_KEYS = (*SEED_KEYS, "materialized", "unique_key", "updated_at", "keep_deleted")
_COLUMN_KEYS = ("name", "description", "type", "pii", "checks")
_OPTIONS = ("name", "severity", "where")
_SEVERITIES = ("error", "warn")
_WORDS_OF_DBT = {"tests": "checks", "data_tests": "checks"}


class _Kind(Struct, frozen=True):
    """`parameters` are its keys; `short` names the one that a bare value or list stands for. `on` says where the
    check may be written: below a column, below the table. `severity` is what it has unless another is given."""

    parameters: tuple[str, ...]
    on: tuple[str, ...]
    short: str | None = None
    severity: str = "error"


_ANOMALY = _Kind(("runs", "least", "tolerance", "since"), ("table",), severity="warn")
KINDS = {
    "not_null": _Kind((), ("column",)),
    "unique": _Kind(("columns",), ("column", "table"), "columns"),
    "accepted_values": _Kind(("values",), ("column",), "values"),
    "range": _Kind(("min", "max"), ("column",)),
    "relationship": _Kind(("to", "field"), ("column",)),
    "row_count": _Kind(("min", "max"), ("table",)),
    "freshness": _Kind(("max_age",), ("column",), "max_age"),
    "row_count_change": _Kind(("within", "min", "max", "since"), ("table",), "within"),
    "schema_drift": _Kind(("columns", "added", "since"), ("table",), "columns"),
    "volume_anomaly": _ANOMALY,
    "freshness_anomaly": _ANOMALY,
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
        found: list[Check] = []
        said: dict[str, bool] = {}
        for column_at in self._items(table, (*at, "columns")):
            column = self._mapping(column_at, _COLUMN_KEYS)
            name = self._name(column_at, column)
            if "pii" in column:
                said[name.casefold()] = self._flag((*column_at, "pii"))
            found += [self._check(relation, (name,), check) for check in self._items(column, (*column_at, "checks"))]
        found += [self._check(relation, (), check_at) for check_at in self._items(table, (*at, "checks"))]
        keys = _keys(table, found)
        yield from (replace(check, keys=keys, pii=said) for check in found)

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
        severity = given.get("severity", known.severity)
        if severity not in _SEVERITIES:
            self._refuse((*at, kind, "severity"), f"`severity` is one of {listed(_SEVERITIES)}, not `{severity}`")
        only = given.get("where")
        if only is not None and (not isinstance(only, str) or not only.strip()):
            self._refuse((*at, kind, "where"), "`where` is a condition in SQL", "where: state = 'open'")
        if only is not None and kind in ("sql", "schema_drift", "volume_anomaly", "freshness_anomaly"):
            self._refuse((*at, kind, "where"), f"`{kind}` takes no `where`: it does not look at single rows")
        if kind.endswith("_anomaly") and at[0] != "sources":
            self._refuse(at, f"`{kind}` judges loads: it stands below a table of `sources`", "row_count_change: 20%")
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
            only=only,
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
            case "freshness" | "row_count_change" | "schema_drift" | "volume_anomaly" | "freshness_anomaly":
                try:
                    return columns, words.READERS[kind](given)
                except words.WrongError as error:
                    self._refuse(at, error.what, error.hint)
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

    def _flag(self, at: tuple[Any, ...]) -> bool:
        value = self._value(at)
        if not isinstance(value, bool):
            self._refuse(at, f"`{at[-1]}` is true or false, not `{value}`")
        return value

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
        word = _WORDS_OF_DBT.get(str(at[-1]))
        guess = word if word in known else did_you_mean(str(at[-1]), known)
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


def _keys(table: dict[str, Any], checks: Sequence[Check]) -> tuple[str, ...]:
    """What names a row of a table: the key that its model has, else what is checked to be unique."""
    key = table.get("unique_key")
    if isinstance(key, str):
        return (key,)
    if isinstance(key, list) and _is_list(key, str):
        return tuple(key)
    return next((check.columns for check in checks if check.kind == "unique" and check.only is None), ())


def _is_list(value: Any, kinds: type | tuple[type, ...]) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, kinds) for item in value)
