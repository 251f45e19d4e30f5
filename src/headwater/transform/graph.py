"""What reads what, what stands in the warehouse, and what of it is out of date."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from headwater.base.errors import InputError, Where
from headwater.base.text import did_you_mean
from headwater.connect.warehouses import Session
from headwater.model.event import Lineage, LineageNode
from headwater.transform.built import Built, inputs, recorded, version
from headwater.transform.gates import Gate, Place
from headwater.transform.increments import THIS
from headwater.transform.models import Model
from headwater.transform.references import Reference


class Look(Struct, frozen=True, kw_only=True):
    """What was found before anything was built. `versions` are those of the loaded tables that models read, by their
    words; None for one that can't be read."""

    present: dict[Place, str]
    before: dict[str, Built]
    versions: dict[str, str | None]


def look(session: Session, models: Sequence[Model], schema: str, main: str) -> Look:
    """Raises InputError (`unknown-table`) for a table that is neither a model nor in the warehouse."""
    present = session.relations()
    for model in models:
        for source in model.sources:
            _check_source(source, model, models, present, schema, main)
    sources = {source.words: source for model in models for source in model.sources}
    # Whatever changes between this look and the build is built again by the next run: the record is never too new.
    versions = {words: version(session, source) for words, source in sources.items()}
    return Look(present=present, before=recorded(session, schema), versions=versions)


def out_of_date(models: Sequence[Model], found: Look, schema: str, *, full_refresh: bool) -> set[str]:
    stale: set[str] = set()
    for model in models:
        built = found.before.get(model.name)
        if (
            full_refresh
            or built is None
            or model.unsteady
            or model.code != built.code
            or found.present.get((schema.casefold(), model.name.casefold())) != built.relation
            or any(name in stale for name in model.parents)
            or inputs(model, found.before, found.versions) != built.inputs
        ):
            stale.add(model.name)
    return stale


def place_of(source: Reference, main: str) -> Place:
    return (source.schema or main).casefold(), source.table.casefold()


def made_before(models: Sequence[Model], schema: str) -> dict[Place, frozenset[Place]]:
    """For each model those that it reads, directly or not: they stand when it is made."""
    found: dict[str, frozenset[Place]] = {}
    for model in models:
        own = {(schema.casefold(), name.casefold()) for name in model.parents}
        found[model.name] = frozenset(own).union(*(found[name] for name in model.parents))
    return {(schema.casefold(), name.casefold()): places for name, places in found.items()}


def lineage(step: str, models: Sequence[Model], schema: str, gates: Mapping[Place, Sequence[Gate]]) -> Lineage:
    """What the models read, in the words in which dbt tells it."""
    nodes: dict[str, LineageNode] = {}
    keys = {model.name: f"{_type(model)}.{model.name}" for model in models}
    for model in models:
        sources = [f"source.{source.words}" for source in model.sources]
        for key, source in zip(sources, model.sources, strict=True):
            nodes[key] = LineageNode(key=key, name=source.table, type="source", place=source.words)
        key = keys[model.name]
        needs = (*(keys[name] for name in model.parents), *sources)
        place = f"{schema}.{model.name}"
        nodes[key] = LineageNode(key=key, name=model.name, type=_type(model), place=place, file=model.file, needs=needs)
    by_place = {tuple((node.place or "").casefold().split(".")): node.key for node in nodes.values()}
    for found in gates.values():
        for gate in found:
            needs = tuple(by_place[place] for place in sorted(gate.needs) if place in by_place)
            nodes[f"test.{gate.name}"] = LineageNode(key=f"test.{gate.name}", name=gate.name, type="test", needs=needs)
    return Lineage(step=step, nodes=tuple(nodes.values()))


def _type(model: Model) -> str:
    return model.materialized if model.materialized in ("seed", "snapshot") else "model"


def _check_source(
    source: Reference, model: Model, models: Sequence[Model], present: dict[Place, str], schema: str, main: str
) -> None:
    """Refuse a table that is neither a model nor in the warehouse, before anything is built."""
    if source.catalog or source.schema.casefold() in ("information_schema", "pg_catalog"):
        return  # an attached database, a view of the system: the warehouse will say
    if place_of(source, main) in present:
        return
    names = [item.name for item in models]
    loaded = [f"{place}.{name}" for place, name in present if place not in ("_headwater", schema.casefold())]
    same_name = [words for words in loaded if words.endswith(f".{source.table.casefold()}")]
    guess = same_name[0] if same_name else None
    if guess is None and (not source.schema or source.schema.casefold() in {place for place, _ in present}):
        guess = did_you_mean(source.words, [*names, *loaded])
    hint = f"did you mean `{guess}`?" if guess else "load it first, or correct the name"
    if source.words == THIS and model.materialized != "incremental":
        hint = f"`{THIS}` is the table of an incremental model: say `materialized: incremental` of `{model.name}`"
    raise InputError(
        "unknown-table",
        f"`{source.words}` is neither a model nor a table in the warehouse",
        where=Where(model.file, source.line),
        hint=hint,
    )
