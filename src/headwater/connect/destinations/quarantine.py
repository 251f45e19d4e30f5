"""The rejects in the books of a database. Its tables and its way to ask are each database's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from headwater.connect.contract import Rejected
from headwater.connect.rejects import Chosen, Count, Origin, Reject, moment_of


class Words(Struct, frozen=True, kw_only=True):
    """What a database calls things. `declared` asks for the columns of a stream and their types. `mark` stands for a
    value, `micros` is SQL for the microseconds of the moment `{}`; `written` and `unwritten` lead from a stream's name
    to how the books hold it, and back."""

    rejects: str
    shapes: str
    declared: str
    mark: str
    micros: str
    written: Callable[[str], str] = lambda name: name
    unwritten: Callable[[str], str] = lambda name: name


class BookedQuarantine:
    """As `rejects.Quarantine` says. `ask` answers a query's rows, and none when there are no books yet."""

    def __init__(
        self,
        words: Words,
        ask: Callable[[str, Sequence[Any]], list[tuple[Any, ...]]],
        *,
        schema: str | None = None,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        """`schema` is the one that `declared` asks for, where there are several."""
        self._words = words
        self._ask = ask
        self._schema = schema
        self.close = close

    def counts(self, chosen: Chosen) -> list[Count]:
        where, values = self._where(chosen)
        found = self._ask(
            f"select pipeline, run_id, stream, count(*), {self._micros('max(rejected_at)')} as latest "
            f"from {self._words.rejects}{where} group by pipeline, run_id, stream order by latest desc, run_id, stream",
            values,
        )
        return [
            Count(
                pipeline=pipeline,
                run_id=run_id,
                stream=self._words.unwritten(stream),
                count=count,
                rejected_at=moment_of(at),
            )
            for pipeline, run_id, stream, count, at in found
        ]

    def commits(self, chosen: Chosen) -> list[tuple[str | None, Origin]]:
        where, values = self._where(chosen)
        found = self._ask(
            f"select pipeline, run_id, sequence, {self._micros('max(since)')}, "
            f"{self._micros('max(rejected_at)')} as latest from {self._words.rejects}{where} "
            "group by pipeline, run_id, sequence order by latest desc, sequence desc, run_id",
            values,
        )
        return [(pipeline, _origin(run_id, sequence, since, at)) for pipeline, run_id, sequence, since, at in found]

    def rejects(self, chosen: Chosen, limit: int | None = None) -> list[Reject]:
        where, values = self._where(chosen, "r.")
        rejected_at, since = self._micros("r.rejected_at"), self._micros("r.since")
        found = self._ask(
            f"select r.id, r.pipeline, r.run_id, r.sequence, {since}, {rejected_at}, r.stream, r.record, r.reason, "
            f"r.version, r.stages, s.line from {self._words.rejects} r "
            f"left join {self._words.shapes} s on s.shape = r.shape{where} "
            f"order by r.rejected_at desc, r.sequence desc, r.run_id, r.position, r.id"
            f"{'' if limit is None else f' limit {limit:d}'}",
            values,
        )
        return [
            Reject(
                id=name,
                pipeline=pipeline,
                origin=_origin(run_id, sequence, since, at),
                rejected=Rejected(
                    stream=self._words.unwritten(stream),
                    record=record.encode("utf-8", "surrogatepass"),
                    reason=reason,
                    schema=(line or "").encode("utf-8", "surrogatepass"),
                    version=version,
                    stages=stages,
                ),
            )
            for name, pipeline, run_id, sequence, since, at, stream, record, reason, version, stages, line in found
        ]

    def declared(self, pipeline: str | None, stream: str) -> dict[str, str]:
        del pipeline  # the columns are those of a table, whoever loads it
        values = [self._words.written(stream), *([] if self._schema is None else [self._schema])]
        return {self._words.unwritten(name): declared for name, declared in self._ask(self._words.declared, values)}

    def _micros(self, moment: str) -> str:
        return self._words.micros.format(moment)

    def _where(self, chosen: Chosen, of: str = "") -> tuple[str, list[Any]]:
        mark = self._words.mark
        terms: list[str] = []
        values: list[Any] = []

        def add(term: str, *given: Any) -> None:
            terms.append(term)
            values.extend(given)

        if chosen.pipeline is not None:
            add(f"{of}pipeline = {mark}", chosen.pipeline)
        if chosen.stream is not None:
            add(f"{of}stream = {mark}", self._words.written(chosen.stream))
        for column, start in (("run_id", chosen.run_id), ("id", chosen.id)):
            if start is not None:
                add(f"left({of}{column}, {len(start)}) = {mark}", start)
        if chosen.commit is not None:
            add(f"{of}run_id = {mark} and {of}sequence = {mark}", *chosen.commit)
        return (f" where {' and '.join(terms)}" if terms else ""), values


def _origin(run_id: str, sequence: int, since: int, rejected_at: int) -> Origin:
    return Origin(run_id=run_id, sequence=sequence, since=moment_of(since), rejected_at=moment_of(rejected_at))
