"""Build what is out of date, in dependency order and several at a time, one transaction a model."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from headwater.base.clock import iso, monotonic, now
from headwater.base.errors import HeadwaterError, InputError, RunFailedError, Where
from headwater.connect.warehouses import Session, SqlError, Warehouse
from headwater.model.event import Emit, Event, ModelBuilt, Outcome
from headwater.run.cancel import Cancel
from headwater.transform import gates as of_gates
from headwater.transform import graph, python_run
from headwater.transform.built import Built, inputs, note_checked, prepare, record
from headwater.transform.gates import Gate, Place
from headwater.transform.graph import Look
from headwater.transform.make import Order, make
from headwater.transform.models import Model
from headwater.transform.python_run import Place as PythonPlace

_Key = str | Place  # a model's name; the place of a loaded table that has checks


class Target(Struct, frozen=True, kw_only=True):
    """Where models are built: the schema of a warehouse. Up to `jobs` are built at a time; `python` is where the code
    of Python models runs."""

    warehouse: Warehouse
    schema: str
    python: PythonPlace
    jobs: int = 4


class _Done(Struct, frozen=True, kw_only=True):
    """How one model, or the checks of one table, ended. `trouble` is what ends the whole step."""

    key: _Key
    built: Built | None = None
    seconds: float = 0.0
    error: HeadwaterError | None = None
    checks_failed: bool = False
    trouble: BaseException | None = None


def build(
    models: Sequence[Model],
    target: Target,
    *,
    step: str,
    emit: Emit,
    cancel: Cancel,
    full_refresh: bool = False,
    gates: Sequence[Gate] = (),
) -> None:
    """Build every model that is out of date; `models` stand in dependency order.

    A model is out of date when its code, a model it reads or the rows of a table it reads changed since it was
    built, or when its table is gone; `full_refresh` takes all as such. Each is one transaction: readers see the old
    table or the new one. When nothing is out of date nothing is written.

    The checks of a loaded table are asked before it is read, those of a model when it was built; both also when they
    have not been passed since. A model that fails keeps its old table; what reads it, or a table that fails a check, is
    left as it is; all others are built. Then RunFailedError (`model-failed`, `checks-failed`) is raised. InputError
    (`unknown-table`) is raised before anything is built. A cancelled run raises its reason; models that were being
    built keep their old tables.
    """
    warehouse = target.warehouse
    with (warehouse.reading if warehouse.exists() else warehouse.writing)(target.schema) as session:
        look = graph.look(session, models, target.schema, warehouse.main)
    emit(graph.lineage(step, models, target.schema, of_gates.by_place(gates)))
    _Pass(models, target, look, gates, step=step, emit=emit, cancel=cancel, full_refresh=full_refresh).run()


class _Pass:
    """One pass over the models. Only the thread that made it changes its state; others get what they need."""

    def __init__(
        self,
        models: Sequence[Model],
        target: Target,
        look: Look,
        gates: Sequence[Gate],
        *,
        step: str,
        emit: Emit,
        cancel: Cancel,
        full_refresh: bool,
    ) -> None:
        self._models = {model.name: model for model in models}
        self._target = target
        self._look = look
        self._step, self._emit, self._cancel, self._full_refresh = step, emit, cancel, full_refresh
        self._built = dict(look.before)
        self._out_of_date = graph.out_of_date(models, look, target.schema, full_refresh=full_refresh)
        self._gates = of_gates.by_place(gates)
        self._early = of_gates.early(self._gates, graph.made_before(models, target.schema))
        self._failed: dict[_Key, HeadwaterError] = {}
        self._behind: dict[str, _Key] = {}  # a model that can't be built now, and the failure that it waits for
        self._inbox: queue.SimpleQueue[Event | _Done] = queue.SimpleQueue()
        self._moment = iso(now())
        self._ours = frozenset((*self._models, *look.before))

    def run(self) -> None:
        waits = self._waits()
        if self._out_of_date or any(self._is_work(name) for name in self._models):
            with self._target.warehouse.writing(self._target.schema) as session:
                prepare(session, self._target.schema)
        children: dict[_Key, list[_Key]] = {}
        for key, needed in waits.items():
            for one in needed:
                children.setdefault(one, []).append(key)
        ready = [key for key, needed in waits.items() if not needed]
        running = 0
        with ThreadPoolExecutor(self._target.jobs, thread_name_prefix="model") as pool:
            try:
                while ready or running:
                    for key in ready if not self._cancel.is_set() else ():
                        work = self._begun(key)
                        if work is None:
                            self._inbox.put(_Done(key=key))
                        else:
                            pool.submit(self._told, key, work)
                        running += 1
                    ready = []
                    if not running:
                        break
                    done = self._next()
                    running -= 1
                    self._settle(done)
                    for child in children.get(done.key, ()):
                        waits[child].discard(done.key)
                        if not waits[child]:
                            ready.append(child)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        self._cancel.check()
        self._ask_late()
        if self._failed:
            raise _first(self._failed, self._behind)

    def _waits(self) -> dict[_Key, set[_Key]]:
        """What each model waits for: those that it reads, and the checks of loaded tables that it reads."""
        asked: dict[_Key, set[_Key]] = {}
        waits: dict[_Key, set[_Key]] = {}
        for model in self._models.values():
            places = {graph.place_of(source, self._target.warehouse.main) for source in model.sources}
            gated = {place for place in places if self._early.get(place)} if self._is_work(model.name) else set()
            asked |= {place: set() for place in gated}
            waits[model.name] = {*model.parents, *gated}
        return {**asked, **waits}

    def _next(self) -> _Done:
        while not isinstance(found := self._inbox.get(), _Done):
            self._emit(found)
        if found.trouble is not None:
            raise found.trouble
        return found

    def _told(self, key: _Key, work: Callable[[], _Done]) -> None:
        try:
            self._inbox.put(work())
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            self._inbox.put(_Done(key=key, trouble=error))

    def _is_work(self, name: str) -> bool:
        wanted = self._to_pass(name)
        before = self._built.get(name)
        return name in self._out_of_date or bool(wanted and (before is None or before.checked != wanted))

    def _to_pass(self, name: str) -> str:
        """Identifies what a model has to pass: its own checks, and those of loaded tables that are asked before it is
        built. The age of what was loaded is asked only then."""
        main = self._target.warehouse.main
        places = dict.fromkeys(graph.place_of(source, main) for source in self._models[name].sources)
        before = [gate for place in places for gate in self._early.get(place, ()) if not gate.ages]
        return of_gates.code([*self._gates.get(self._place(name), ()), *before])

    def _begun(self, key: _Key) -> Callable[[], _Done] | None:
        """What is to be done of a model or table whose needs are settled; None when there is nothing to do."""
        if isinstance(key, tuple):
            return lambda: self._ask(key)
        model = self._models[key]
        needed: list[_Key] = [*model.parents]
        needed += [graph.place_of(source, self._target.warehouse.main) for source in model.sources]
        for one in needed:
            if one in self._failed:
                self._behind[key] = one
                return None
            if isinstance(one, str) and one in self._behind:
                self._behind[key] = self._behind[one]
                return None
        if not self._is_work(key):
            return None
        if key not in self._out_of_date:
            before = self._built[key]
            return lambda: self._ask(key, before)
        order = Order(
            model=model,
            schema=self._target.schema,
            standing=self._look.present.get(self._place(key)),
            ours=self._ours,
            moment=self._moment,
            full_refresh=self._full_refresh,
        )
        read = inputs(model, self._built, self._look.versions)
        return lambda: self._make(order, read)

    def _make(self, order: Order, read: str) -> _Done:
        """In a thread of its own."""
        started = monotonic()
        model = order.model
        try:
            refuse_foreign(order, self._look.before)
            with contextlib.ExitStack() as held:
                if model.kind == "python":
                    order = replace(order, made=held.enter_context(self._run_python(model)))
                session = held.enter_context(self._target.warehouse.writing(order.schema))
                held.enter_context(self._cancel.watched(session.interrupt, session.interrupt))
                session.rows("begin")
                self._cancel.check()
                rows = make(session, order)
                built = Built(model.materialized, model.code, read, iso(now()), rows)
                is_new = model.name not in self._look.before
                record(session, order.schema, model.name, built, is_new=is_new)
                session.rows("commit")
                seconds = monotonic() - started
                self._inbox.put(
                    ModelBuilt(step=self._step, model=model.name, outcome=Outcome.SUCCESS, rows=rows, seconds=seconds)
                )
                asked = self._asked(session, model.name, built)
            return _Done(key=model.name, built=built, error=asked, checks_failed=asked is not None)
        except SqlError as error:
            self._cancel.check()
            problem: HeadwaterError = RunFailedError(
                "model-failed",
                f"the model `{model.name}` can't be built",
                where=Where(model.file, error.line if model.kind == "sql" else 0),
                why=str(error),
                hint="put it right and run it again; what was built before is still there",
            )
        except (InputError, RunFailedError) as error:
            self._cancel.check()
            problem = error
        return _Done(key=model.name, seconds=monotonic() - started, error=problem)

    def _run_python(self, model: Model) -> AbstractContextManager[Path]:
        def session() -> AbstractContextManager[Session]:
            return self._target.warehouse.writing(self._target.schema)

        return python_run.made(model.path, model.inputs, self._target.python, session, self._cancel)

    def _ask(self, key: _Key, built: Built | None = None) -> _Done:
        """In a thread of its own: the checks of a table that stands."""
        with self._target.warehouse.writing(self._target.schema) as session:
            error = self._asked(session, key, built)
        return _Done(key=key, error=error, checks_failed=error is not None)

    def _asked(self, session: Session, key: _Key, built: Built | None) -> HeadwaterError | None:
        place = self._place(key) if isinstance(key, str) else key
        gates = self._early.get(place, [])
        errors = [error for gate in gates if (error := gate.ask(session, self._inbox.put)) is not None]
        is_whole = len(gates) == len(self._gates.get(place, ()))
        if built is not None and is_whole and not errors and (passed := self._to_pass(str(key))):
            note_checked(session, self._target.schema, str(key), passed)
        return _together(errors)

    def _settle(self, done: _Done) -> None:
        if done.error is not None:
            self._failed[done.key] = done.error
        if not isinstance(done.key, str):
            return
        name = done.key
        if name in self._behind:
            message = f"it needs `{_said(self._behind[name])}`, which failed"
            self._emit(ModelBuilt(step=self._step, model=name, outcome=Outcome.CANCELLED, message=message))
        elif done.built is not None:
            self._built[name] = done.built  # which is told already
        elif done.error is not None and not done.checks_failed:
            message = f"{done.error.where or self._models[name].file}: {done.error.why or done.error.what}"
            failed = ModelBuilt(
                step=self._step, model=name, outcome=Outcome.FAILED, seconds=done.seconds, message=message
            )
            self._emit(failed)
        else:
            rows = self._built[name].rows
            self._emit(ModelBuilt(step=self._step, model=name, outcome=Outcome.SUCCESS, rows=rows, skipped=True))

    def _ask_late(self) -> None:
        """Checks that look at tables which were made after their own."""
        names = {self._place(name): name for name in self._models}
        missing = {self._place(one) for one in (*self._behind, *self._failed) if isinstance(one, str)}
        for place, every in self._gates.items():
            late = [gate for gate in every if gate not in self._early[place] and not gate.needs & missing]
            if not any(self._is_work(names[one]) for gate in late for one in gate.needs if one in names):
                continue
            with self._target.warehouse.writing(self._target.schema) as session:
                errors = [error for gate in late if (error := gate.ask(session, self._emit)) is not None]
                if not errors and place in names and place not in missing:
                    note_checked(session, self._target.schema, names[place], self._to_pass(names[place]))
            if (problem := _together(errors)) is not None:
                self._failed[names.get(place, place)] = problem

    def _place(self, name: str) -> Place:
        return self._target.schema.casefold(), name.casefold()


def refuse_foreign(order: Order, before: Mapping[str, Built]) -> None:
    """A model replaces only what a model made. Raises InputError (`not-ours`)."""
    if order.standing is not None and order.model.name not in before:
        raise InputError(
            "not-ours",
            f"`{order.schema}.{order.model.name}` stands in the warehouse already and was not built from a model",
            where=Where(order.model.file),
            why="a model replaces only what a model made",
            hint=f"rename the model, drop the {order.standing}, or set another `schema`",
        )


def _said(key: _Key) -> str:
    return key if isinstance(key, str) else ".".join(key)


def _together(errors: Sequence[HeadwaterError]) -> HeadwaterError | None:
    if len(errors) < 2:
        return errors[0] if errors else None
    first, *others = errors
    said = [f"{': '.join(filter(None, (other.what, other.why)))} ({other.where})" for other in others]
    why = "\n".join(filter(None, [first.why, *said]))
    return type(first)(first.reference, first.what, where=first.where, why=why, hint=first.hint)


def _first(failed: Mapping[_Key, HeadwaterError], behind: Mapping[str, _Key]) -> HeadwaterError:
    """The first failure, with what else went wrong in its `why`."""
    first, *others = failed
    error = failed[first]
    lines = [error.why] if error.why else []
    for name in others:
        other = failed[name]
        lines.append(f"`{_said(name)}` failed too: {other.where}: {other.why or other.what}")
    if behind:
        lines.append(f"not built, because they need it: {', '.join(behind)}")
    return type(error)(error.reference, error.what, where=error.where, why="\n".join(lines), hint=error.hint)
