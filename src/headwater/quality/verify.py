"""The step of `headwater verify`: the streams of a pipeline, at the source and where they were loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from threading import Thread
from typing import Any

from msgspec import Struct

from headwater.base.clock import monotonic
from headwater.base.errors import InputError, RunFailedError
from headwater.base.text import did_you_mean
from headwater.connect import registry
from headwater.connect.contract import ReadRequest
from headwater.connect.digest import Relation, SqlSide, Tables
from headwater.connect.stages.select import taken
from headwater.model.catalog import Catalog
from headwater.model.event import Checked, Level, Outcome, StreamFigures
from headwater.model.plan import ExtractLoad
from headwater.quality.compare import Compared, Key, NoPositionError, compare
from headwater.quality.pairing import Pairing, paired
from headwater.run import copy, legs, native
from headwater.run.cancel import Cancel
from headwater.run.discover import selected_catalog
from headwater.run.keeping import Keeping
from headwater.run.looking import Patience
from headwater.run.runner import Executor, Run


class Wanted(Struct, frozen=True, kw_only=True):
    """`streams` are patterns; none are all. Of each stream up to `sample` rows are named. `values` has their values
    shown, `counts` has only numbers of rows compared."""

    streams: tuple[str, ...] = ()
    sample: int = 20
    values: bool = False
    counts: bool = False


class Verdict(Struct, frozen=True, kw_only=True):
    """How a stream compares. `place` is where it was loaded, None when it never was; `keys` are the names of what the
    named rows' keys are; `left_out` are columns that were not compared, and why."""

    stream: str
    place: str | None
    keys: tuple[str, ...]
    compared: Compared
    left_out: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def differences(self) -> int:
        found = self.compared
        return found.missing + found.extra + found.differing


def executor(keeping: Keeping, wanted: Wanted, tell: Callable[[Verdict], None]) -> Executor:
    """The executor for ExtractLoad steps that are to be verified, not done. `tell` hears of each stream."""

    def execute(step: ExtractLoad, run: Run) -> tuple[StreamFigures, ...]:
        _refuse(step, run)
        with keeping.folders.opened(run.plan.run_id) as folder:
            return _verify(step, run, keeping, folder, wanted, tell)

    return execute


def _refuse(step: ExtractLoad, run: Run) -> None:
    """Raises InputError for a pipeline whose rows nobody can ask for in SQL, at both ends and in the same shape."""
    if step.extractor.native not in registry.SOURCE_DIGESTS:
        raise InputError(
            "not-verifiable",
            f"`{step.extractor.name}` can't be asked for checksums: it is a program that only sends rows",
            where=step.extractor.where,
            why="a native source of the same database can: `tap-sql` reads most, by their drivers",
            hint="see what its last run read and loaded: headwater logs; or extract with a native variant",
        )
    if step.loader.native not in registry.DESTINATION_DIGESTS:
        raise InputError(
            "not-verifiable",
            f"`{step.loader.name}` can't be asked for checksums: it is a program that only takes rows",
            where=step.loader.where,
            hint="load with a native loader: headwater add target-duckdb",
        )
    if step.mappers or any(legs.stages(step, leg, run) for leg in legs.legs(step)):
        raise InputError(
            "verify-with-stages",
            f"the rows of `{step.name}` are changed on their way, so they can't equal those of their source",
            where=step.extractor.where,
            why="it has a mapper, stream maps or stages, which rename, filter or mask",
            hint="load a copy without them to compare, or look at the figures of its last run: headwater logs",
        )


def _verify(
    step: ExtractLoad, run: Run, keeping: Keeping, folder: Path, wanted: Wanted, tell: Callable[[Verdict], None]
) -> tuple[StreamFigures, ...]:
    catalog = _chosen(_catalog(step, run, keeping), wanted.streams)
    root = Path(run.plan.root)
    loaded = native.loaded_tables(
        step.loader,
        root=root,
        source=copy.source_of(step),
        pipeline=step.state_id,
        folder=folder / "loader",
        on_wait=lambda who: run.tell(step.name, Level.INFO, f"waiting for {who}"),
    )
    verdicts: list[Verdict] = []
    with closing(loaded):
        request = ReadRequest(
            catalog=catalog,
            state=loaded.checkpoint(),
            folder=folder / "extractor",
            should_stop=run.cancel.is_set,
        )
        source = native.source_tables(step.extractor, request, root=root)
        with closing(source), _interrupted(run.cancel, source, loaded):
            for entry in catalog.streams:
                run.cancel.check()
                verdict = _stream(entry.name, entry.tap_stream_id, source, loaded, wanted, run)
                verdicts.append(verdict)
                tell(verdict)
                run.emit(_event(step, verdict))
    differing = [verdict for verdict in verdicts if verdict.differences]
    if differing:
        raise RunFailedError(
            "rows-differ",
            f"{len(differing)} of {len(verdicts)} streams differ",
            why="\n".join(f"`{verdict.stream}`: {says(verdict)}" for verdict in differing),
            hint="see the values: headwater verify --values; load anew: "
            f"headwater run --full-refresh {step.extractor.name} {step.loader.name}",
        )
    return ()


@contextmanager
def _interrupted(cancel: Cancel, *ends: Tables) -> Iterator[None]:
    """Queries end when the run is to end, and its reason is what is raised then."""

    def end() -> None:
        for tables in ends:
            tables.interrupt()

    def begin() -> None:
        Thread(target=end, name="interrupt", daemon=True).start()

    with cancel.watched(begin, begin):
        try:
            yield
        except Exception:
            cancel.check()
            raise


def _catalog(step: ExtractLoad, run: Run, keeping: Keeping) -> Catalog:
    def offered() -> dict[str, Any]:
        return native.offered_catalog(
            step.extractor,
            root=Path(run.plan.root),
            catalogs=keeping.catalogs,
            patience=Patience(step.discovery_timeout_seconds, run.cancel),
            refresh=step.refresh_catalog,
        )

    return native.decoded_catalog(selected_catalog(step, run, offered) or {})


def _chosen(catalog: Catalog, patterns: Sequence[str]) -> Catalog:
    """The selected streams that one of the patterns names. Raises InputError (`unknown-stream`) for one that names
    none."""
    selected = [entry for entry in catalog.streams if taken(entry) is not None]
    names = [entry.name for entry in selected]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            guess = did_you_mean(pattern, names)
            raise InputError(
                "unknown-stream",
                f"no stream `{pattern}` is selected",
                hint=f"did you mean `{guess}`?" if guess else "headwater select EXTRACTOR --list",
            )
    if patterns:
        selected = [entry for entry in selected if any(fnmatchcase(entry.name, pattern) for pattern in patterns)]
    return Catalog(streams=selected)


def _stream(stream: str, id_: str, source: Tables, loaded: Tables, wanted: Wanted, run: Run) -> Verdict:
    started = monotonic()
    here, there = source.relation(id_), loaded.relation(stream)
    if here is None:
        raise InputError(
            "source-changed",
            f"the source has no stream `{stream}` any more",
            hint="headwater select EXTRACTOR --list",
        )
    if there is None or wanted.counts:
        rows = _count(source, here)
        others = 0 if there is None else _count(loaded, there)
        compared = Compared(
            source_rows=rows, destination_rows=others, missing=max(0, rows - others), extra=max(0, others - rows)
        )
        remark = "it was never loaded" if there is None else "only numbers of rows were compared"
        return Verdict(
            stream=stream,
            place=None if there is None else there.place,
            keys=here.keys,
            compared=compared,
            remarks=(*here.remarks, remark),
            seconds=monotonic() - started,
        )
    pairing = paired(here, there)
    remarks = [*here.remarks, *there.remarks]
    if not pairing.keys:
        remarks.append("it has no key: a row that changed is one missing and one extra, called by its digest")
    compared = _compared(pairing, (source, here), (loaded, there), wanted, run)
    keys = tuple(pairing.columns[number] for number in pairing.keys)
    return Verdict(
        stream=stream,
        place=there.place,
        keys=keys or ("row",),
        compared=compared,
        left_out=pairing.left_out,
        remarks=tuple(remarks),
        seconds=monotonic() - started,
    )


def _compared(
    pairing: Pairing, here: tuple[Tables, Relation], there: tuple[Tables, Relation], wanted: Wanted, run: Run
) -> Compared:
    words = (here[0].words, there[0].words)
    alike = words[0].alike if words[0] == words[1] else None
    is_brief = all(one.brief is not None for one in words)

    def side(end: tuple[Tables, Relation], items: Sequence[Any], *, indexed: bool) -> SqlSide:
        tables, relation = end
        keys = [items[number] for number in pairing.keys]
        brief = tables.words.brief if is_brief else None
        return SqlSide(tables.ask, tables.words, relation, items, keys, indexed=indexed, alike=alike, brief=brief)

    for indexed in (True, False) if pairing.is_indexed else (False,):
        try:
            return compare(
                side(here, pairing.source, indexed=indexed),
                side(there, pairing.destination, indexed=indexed),
                pairing.columns,
                most=wanted.sample,
                shown=wanted.values,
                check=run.cancel.check,
            )
        except NoPositionError:  # keys that are null have no place among numbers
            continue
    raise AssertionError


def _count(tables: Tables, relation: Relation) -> int:
    where = f" where {relation.where}" if relation.where else ""
    ((rows,),) = tables.ask(f"select count(*) from {relation.sql}{where}")  # noqa: S608 - put together by the tables
    return int(rows)


def _event(step: ExtractLoad, verdict: Verdict) -> Checked:
    return Checked(
        step=step.name,
        check=f"{verdict.stream} equals its source",
        outcome=Outcome.FAILED if verdict.differences else Outcome.SUCCESS,
        failing=verdict.differences,
        seconds=verdict.seconds,
        message=says(verdict) if verdict.differences else None,
    )


def says(verdict: Verdict) -> str:
    """What is wrong, in a clause: `2 rows missing, 1 extra, 3 differing (id=4, id=7 …)`."""
    found = verdict.compared
    counts = [
        f"{count:,} {what}"
        for count, what in ((found.missing, "missing"), (found.extra, "extra"), (found.differing, "differing"))
        if count
    ]
    least = "" if found.is_complete else "at least "
    named = [named_key(verdict.keys, row.key) for row in found.rows[:3]]
    more = " …" if len(found.rows) > len(named) else ""
    which = f" ({'; '.join(named)}{more})" if named else ""
    return f"{least}{', '.join(counts)}{which}"


def named_key(names: Sequence[str], key: Key) -> str:
    """`id=7`; a null is written `null`."""
    return ", ".join(f"{name}={'null' if text is None else text}" for name, text in zip(names, key, strict=True))
