"""A dbt project as models of ours: SELECTs without Jinja, CSV files, and one YAML file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from headwater.base.errors import InputError, Where
from headwater.base.yaml_write import render
from headwater.connect.destinations.history import VALID_FROM, VALID_TO
from headwater.transform.dbt import checks, jinja
from headwater.transform.dbt.reading import Node, Project, settings

Json = dict[str, Any]

_YAML = "models/models.yml"
_MATERIALIZED = {"table": "table", "incremental": "incremental"}  # everything else is a view
_RENAMED = {"dbt_valid_from": VALID_FROM, "dbt_valid_to": VALID_TO}
_ONLY_DBT = re.compile(r"\bdbt_(scd_id|updated_at|is_deleted)\b")
_STRATEGIES = (None, "append", "merge", "delete+insert")
# Words of SQL types as a seed's `column_types` may have them.
_TYPES = (
    (r"(var)?char.*|text|string", "text"),
    (r"(big|small|tiny|huge)?int(eger)?\d?", "integer"),
    (r"decimal.*|numeric.*|number.*", "decimal"),
    (r"double.*|float.*|real", "float"),
    (r"bool(ean)?", "boolean"),
    (r"date", "date"),
    (r"timestamp.*|datetime", "timestamp"),
)


class Made(Struct, kw_only=True):
    """Files by their path below a project, and in words what dbt did that we do not."""

    files: dict[str, bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class _Unread(Struct, frozen=True):
    where: Where
    what: str


def files(project: Project, *, schema: str, dialect: str) -> Made:
    """What the project becomes; `schema` is where its models will be built, `dialect` what dbt calls the adapter.

    Raises InputError (`dbt-unreadable`) with every place that only dbt can read.
    """
    return _Import(project, schema, dialect).made()


class _Import:
    def __init__(self, project: Project, schema: str, dialect: str) -> None:
        self._project = project
        self._schema = schema
        self._dialect = dialect
        self._made = Made()
        self._unread: list[_Unread] = []
        self._entries: dict[str, list[Json]] = {"models": [], "seeds": [], "sources": []}
        self._places = {
            (source["name"], table["name"]): f"{source.get('schema') or source['name']}."
            f"{table.get('identifier') or table['name']}"
            for source in project.sources
            for table in source.get("tables") or []
        }
        self._words = jinja.Words(table=str, source=self._source, variables=project.variables)
        # A check is asked from anywhere, so it names the schema.
        self._outside = jinja.Words(
            table=lambda name: f"{schema}.{name}", source=self._source, variables=project.variables
        )

    def made(self) -> Made:
        for name, node in self._project.models.items():
            self._model(name, node)
        for name, node in self._project.snapshots.items():
            self._snapshot(name, node)
        for name, node in self._project.seeds.items():
            self._seed(name, node)
        for source in self._project.sources:
            self._tables(source)
        for name, node in self._project.tests.items():
            self._test(name, node)
        if self._unread:
            first, *_ = self._unread
            raise InputError(
                "dbt-unreadable",
                f"{len(self._unread)} files of the dbt project hold what only dbt can read",
                where=first.where,
                why="\n".join(f"{one.where}: {one.what}" for one in self._unread),
                hint=f"dbt compile --project-dir {self._project.root}, and import it again",
            )
        entries = {key: value for key, value in self._entries.items() if value}
        self._made.files[_YAML] = render(entries).encode()
        return self._made

    def _source(self, source: str, table: str) -> str:
        return self._places.get((source, table), f"{source}.{table}")

    def _read(self, node: Node, words: jinja.Words, *, is_grown: bool = False) -> jinja.Plain | None:
        assert node.path is not None
        text = node.path.read_text(encoding="utf-8")
        try:
            found = jinja.plain(text, words)
        except jinja.UnreadableError as error:
            read = self._rendered(text, words) or self._compiled(node, text, words, is_grown=is_grown)
            if read is None:
                self._unread.append(_Unread(Where(str(node.path), error.line), str(error)))
                return None
            found = read
        for theirs, ours in _RENAMED.items():
            found.sql = re.sub(rf"\b{theirs}\b", ours, found.sql)
        if (odd := _ONLY_DBT.search(found.sql)) is not None:
            self._made.notes.append(f"{node.path.name}: reads `{odd[0]}`, a column that only dbt makes")
        return found

    def _rendered(self, text: str, words: jinja.Words) -> jinja.Plain | None:
        from headwater.transform.dbt import macros  # noqa: PLC0415 - Jinja, for projects that need it

        known = {
            package: dict(one for file in files for one in macros.found(file))
            for package, files in self._project.macros.items()
        }
        try:
            return macros.rendered(text, words, known, self._dialect)
        except jinja.UnreadableError:
            return None

    def _own_test(self, relation: str, kind: str, given: Json, column: str | None) -> str | None:
        """The SELECT of a test that the project or a package defines."""
        package, _, name = kind.rpartition(".")
        if not any(f"test {name}" in text for text in self._project.macros.get(package, ())):
            return None
        where = given.pop("where", None)
        given["model"] = f"(select * from {relation} where {where}) as dbt_subquery" if where else relation  # noqa: S608 - the user's own
        if column is not None:
            given["column_name"] = column
        for key, value in given.items():
            if isinstance(value, str) and (names := jinja.name_of(value, "ref")):
                given[key] = self._outside.table(names[-1])
            elif isinstance(value, str) and len(names := jinja.name_of(value, "source")) == 2:
                given[key] = self._source(*names)
        words = ", ".join(f"{key}={value!r}" for key, value in given.items())
        called = f"{package}.test_{name}" if package else f"test_{name}"
        found = self._rendered(f"{{{{ {called}({words}) }}}}", self._outside)
        return found.sql if found is not None else None

    def _compiled(self, node: Node, text: str, words: jinja.Words, *, is_grown: bool) -> jinja.Plain | None:
        """What dbt itself made of it, the last time."""
        compiled = self._project.compiled.get(node.name)
        if compiled is None or is_grown or "is_incremental" in text:
            return None
        for ours, theirs in self._project.relations.items():
            compiled = compiled.replace(theirs, words.table(ours) if "." not in ours else ours)
        return jinja.Plain(sql=f"{compiled.strip()}\n", config=_config(text))

    def _model(self, name: str, node: Node) -> None:
        found = self._read(node, self._words)
        if found is None:
            return
        config = settings(node, found.config)
        if config.get("enabled") is False:
            self._made.notes.append(f"{name}: left out, it is not enabled")
            return
        materialized = _MATERIALIZED.get(config.get("materialized", "view"), "view")
        entry: Json = {"name": name, "materialized": materialized}
        if materialized == "incremental":
            if config.get("unique_key"):
                entry["unique_key"] = config["unique_key"]
            if config.get("incremental_strategy") not in _STRATEGIES:
                self._made.notes.append(f"{name}: `{config['incremental_strategy']}` is not done here")
        self._told(name, config, ("pre_hook", "post_hook", "pre-hook", "post-hook", "contract"))
        self._add("models", node, entry)
        self._made.files[f"models/{name}.sql"] = found.sql.encode()

    def _snapshot(self, name: str, node: Node) -> None:
        if node.path is None:
            relation = str(node.told["relation"])
            names, source = jinja.name_of(relation, "ref"), jinja.name_of(relation, "source")
            table = names[-1] if names else self._source(*source) if source else relation
            found: jinja.Plain | None = jinja.Plain(sql=f"select * from {table}\n")  # noqa: S608 - the user's own
        else:
            found = self._read(node, self._words, is_grown=True)
        if found is None:
            return
        config = settings(node, found.config)
        entry: Json = {"name": name, "materialized": "snapshot", "unique_key": config.get("unique_key")}
        if config.get("strategy") == "timestamp":
            entry["updated_at"] = config.get("updated_at")
        elif config.get("check_cols", "all") != "all":
            self._made.notes.append(f"{name}: a change of any column makes a version, not only of `check_cols`")
        deletes = config.get("hard_deletes") or ("invalidate" if config.get("invalidate_hard_deletes") else "ignore")
        if deletes == "ignore":
            entry["keep_deleted"] = True
        self._add("models", node, entry)
        self._made.files[f"models/{name}.sql"] = found.sql.encode()

    def _seed(self, name: str, node: Node) -> None:
        assert node.path is not None
        types = settings(node, {}).get("column_types") or {}
        self._add("seeds", node, {"name": name}, types=types)
        self._made.files[f"seeds/{node.path.name}"] = node.path.read_bytes()

    def _tables(self, source: Json) -> None:
        tables = []
        for table in source.get("tables") or []:
            place = self._source(source["name"], table["name"])
            made, missing = checks.of_entry(table, self._words, lambda *test, of=place: self._own_test(of, *test))
            made["name"] = table.get("identifier") or table["name"]
            self._made.notes += [f"{source['name']}.{table['name']}: {what} is left out" for what in missing]
            if len(made) > 1:
                tables.append(made)
        if tables:
            self._entries["sources"].append({"name": source.get("schema") or source["name"], "tables": tables})

    def _test(self, name: str, node: Node) -> None:
        found = self._read(node, self._outside)
        if found is None:
            return
        severity = {"severity": "warn"} if str(found.config.get("severity", "")).lower() == "warn" else {}
        check = {"sql": {"name": name, "query": found.sql, **severity}}
        sections = [entry for section in ("models", "seeds") for entry in self._entries[section]]
        of = next((entry for wanted in found.refs for entry in sections if entry["name"] == wanted), None)
        if of is None:
            self._made.notes.append(f"{name}: the test is left out, it reads no model")
        else:
            of.setdefault("checks", []).append(check)

    def _add(self, section: str, node: Node, entry: Json, *, types: Json | None = None) -> None:
        place = self._outside.table(node.name)
        told, missing = checks.of_entry(node.told, self._words, lambda *test: self._own_test(place, *test))
        for column in told.get("columns") or []:
            if types and column["name"] in types:
                column["type"] = _type(types[column["name"]])
        named = [column["name"] for column in told.get("columns") or []]
        for column, written in (types or {}).items():
            if column not in named:
                told.setdefault("columns", []).append({"name": column, "type": _type(written)})
        self._made.notes += [f"{node.name}: {what} is left out" for what in missing]
        self._entries[section].append({**entry, **{key: told[key] for key in told if key != "name"}})

    def _told(self, name: str, config: Json, keys: tuple[str, ...]) -> None:
        self._made.notes += [f"{name}: `{key}` is left out" for key in keys if config.get(key)]


def _config(text: str) -> Json:
    """The configuration of a file that can't be read otherwise."""
    found = re.search(r"\{\{-?\s*(config\(.*?\))\s*-?\}\}", text, re.DOTALL)
    if found is None:
        return {}
    words = jinja.Words(table=str, source=lambda source, table: f"{source}.{table}", variables={})
    try:
        return jinja.plain(found[0], words).config
    except jinja.UnreadableError:
        return {}


def _type(written: str) -> str:
    return next((ours for form, ours in _TYPES if re.fullmatch(form, str(written).strip().lower())), "text")


def existing(root: Path, made: Made) -> list[str]:
    """The files that stand there already and hold something else."""
    return [
        name for name, content in made.files.items() if (root / name).exists() and (root / name).read_bytes() != content
    ]
