"""A source of dlt in the process that runs it: its resources, their rows, and its state before and after.

No pipeline of dlt's takes part. Resources that draw on the same parent are read together, so that the parent is asked
once; apart from that one follows the other. What dlt keeps for a source (`dlt.current.source_state()`, the last value
of an `incremental`) is put in before the function is called, and sent on whenever all rows so far are covered by it.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import typing
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import Any

import dlt
import pyarrow as pa
from dlt.common.configuration.container import Container
from dlt.common.configuration.exceptions import ConfigFieldMissingException
from dlt.common.configuration.resolve import inject_section
from dlt.common.configuration.specs.config_section_context import ConfigSectionContext
from dlt.common.json import json
from dlt.common.pipeline import StateInjectableContext
from dlt.extract import DltResource, DltSource
from dlt.extract.decorators import SourceInjectableContext, SourceSchemaInjectableContext
from dlt.extract.incremental import Incremental, IncrementalResourceWrapper
from dlt.extract.pipe_iterator import PipeIterator

from headwater.sources import dlt_values, rows
from headwater.sources.declared import DeclarationError

Json = dict[str, Any]
Send = Callable[..., None]
Encode = Callable[[pa.RecordBatch], Any]
_SECONDS = 1.0  # after which rows are handed on, however few they are


def serve(request: Json, send: Send, encode: Encode) -> None:
    """Describe the source, or read from it; `encode` makes a payload of a batch.

    Raises DeclarationError for a name that leads to no source and for arguments that it does not take; what the code
    itself raises comes without dlt's words around it."""
    try:
        _serve(request, send, encode)
    except ConfigFieldMissingException as error:
        missing = ", ".join(f"`{name}`" for name in error.fields)
        raise DeclarationError(f"`{request['function']}` needs {missing}, which is not set", 0) from None
    except Exception as error:  # noqa: BLE001 - raised again, without what dlt puts around it
        cause: BaseException = error
        while type(cause).__module__.startswith("dlt.") and cause.__cause__ is not None:
            cause = cause.__cause__
        raise cause from None


def _serve(request: Json, send: Send, encode: Encode) -> None:
    sys.path.insert(1, str(Path(request["root"]) / "sources"))
    function = _function(request["function"])
    state: Json = {"sources": json.typed_loads(json.dumps(request.get("state") or {}))}
    source = _source(function, request, state)
    if request["do"] == "describe":
        for resource in source.selected_resources.values():
            _describe(resource, send)
        for group in _groups(source, dict.fromkeys(source.selected_resources, False)):
            _sample(_source(function, request, {"sources": {}}), group, request, send, encode)
        return
    wanted = {one["name"]: bool(one["full"]) for one in request["streams"]}
    if gone := next((name for name in wanted if name not in source.resources), None):
        raise DeclarationError(f"`{request['function']}` has no resource `{gone}` any more", 0)
    for name, is_full in wanted.items():
        if is_full:
            for kept in state["sources"].values():
                kept.get("resources", {}).pop(name, None)
    for group in _groups(source, wanted):
        for name in group:
            send("begin", stream=name)
        _Delivery(source, group, request, send, encode).deliver(state)
        for name in group:
            send("end", stream=name)
        send("state", value=_said(state))


def _function(reference: str) -> Any:
    module_name, _, name = reference.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise DeclarationError(f"neither `sources` nor a package has a module `{module_name}`", 0) from None
        raise
    if not hasattr(module, name):
        raise DeclarationError(f"the module `{module_name}` has no function `{name}`", 0)
    return getattr(module, name)


def _source(function: Any, request: Json, state: Json) -> DltSource:
    """Call the function with the settings. A resource alone is a source of one."""
    reference = request["function"]
    if not callable(function):
        raise DeclarationError(f"`{reference}` is no function", 0)
    signature = inspect.signature(function)
    given = _arguments(function, signature, request["config"])
    try:
        signature.bind(**given)
    except TypeError as error:
        raise DeclarationError(f"`{reference}` can't be called: {error}", 0) from None
    with Container().injectable_context(StateInjectableContext(state=state)):
        made = function(**given)
    if isinstance(made, DltSource):
        return made
    resources = list(made) if isinstance(made, list | tuple) else [made]
    if not resources or not all(isinstance(one, DltResource) for one in resources):
        raise DeclarationError(f"`{reference}` is no dlt source: it returns `{type(made).__name__}`", 0)
    name = reference.rpartition(".")[2]
    return DltSource(dlt.Schema(name), resources[0].section or name, resources)


def _arguments(function: Any, signature: inspect.Signature, config: Mapping[str, Any]) -> Json:
    try:
        hints = typing.get_type_hints(inspect.unwrap(function))
    except (NameError, TypeError, AttributeError):
        hints = {name: one.annotation for name, one in signature.parameters.items()}
    return {name: dlt_values.argument(hints.get(name, Any), value) for name, value in config.items()}


def _groups(source: DltSource, wanted: Mapping[str, bool]) -> list[list[str]]:
    """Names of resources that are read together; groups with one that is replaced come last."""
    groups: dict[str, list[str]] = {}
    for name in wanted:
        pipe = _pipe(source.resources[name])
        while pipe.parent is not None:
            pipe = pipe.parent
        groups.setdefault(pipe.name, []).append(name)
    return sorted(groups.values(), key=lambda names: any(wanted[name] for name in names))


def _pipe(resource: DltResource) -> Any:
    return resource._pipe  # noqa: SLF001 - there is no other way to a resource's parents and its function


def _incremental(resource: DltResource) -> Incremental[Any] | None:
    """What a resource goes on by: it is known before its function runs from the function's own parameters."""
    found = resource.incremental
    if isinstance(found, IncrementalResourceWrapper) and found.incremental is None:
        parameter = IncrementalResourceWrapper.get_incremental_arg(inspect.signature(_pipe(resource).gen))
        found = None if parameter is None else parameter.default
    if isinstance(found, IncrementalResourceWrapper):
        found = found.incremental
    return found if isinstance(found, Incremental) else None


def _describe(resource: DltResource, send: Send) -> None:
    try:
        table: Mapping[str, Any] = resource.compute_table_schema()
    except Exception:  # noqa: BLE001 - hints that only a row can tell
        table = {"write_disposition": resource.write_disposition}
    columns = table.get("columns") or {}
    disposition = table.get("write_disposition")
    incremental = _incremental(resource)
    cursor = None
    if incremental is not None and (incremental.last_value_func, incremental.on_cursor_value_missing) == (max, "raise"):
        cursor = incremental.cursor_path
    schema = dlt_values.declared(columns)
    send(
        "stream",
        b"" if schema is None else schema.serialize(),
        declared=schema is not None,
        stream=resource.name,
        keys=[name for name, column in columns.items() if column.get("primary_key")],
        merge_keys=[name for name, column in columns.items() if column.get("merge_key")],
        cursor=cursor if cursor and cursor.isidentifier() else None,
        ordered=incremental is not None and incremental.row_order == "asc",
        disposition=disposition if isinstance(disposition, str) else "append",
    )


def _sample(source: DltSource, group: list[str], request: Json, send: Send, encode: Encode) -> None:
    """The first rows. Where the code fails after some rows, these do: a read will tell."""
    delivery = _Delivery(source, group, request, send, encode, most=request["sample"])
    try:
        delivery.deliver({"sources": {}})
    except BrokenPipeError:
        raise
    except Exception:
        if not delivery.sent:
            raise


class _Delivery:
    """The rows of a group of resources, gathered by resource until they are worth a batch."""

    def __init__(
        self,
        source: DltSource,
        group: list[str],
        request: Json,
        send: Send,
        encode: Encode,
        most: int | None = None,
    ) -> None:
        self._source = source.with_resources(*group)
        self._send = send
        self._encode = encode
        self._most = most
        self._held: dict[str, list[Any]] = {name: [] for name in group}
        self._unseen = set(group)
        seconds = 0.0 if most is not None else _SECONDS
        self._paces = {name: rows.Pace(request["batch_bytes"], seconds) for name in group}
        self._seconds = seconds
        self._coercions = {name: dlt_values.Coercion(self._source.resources[name]) for name in group}
        self._since = monotonic()
        self.sent = 0

    def deliver(self, state: Json) -> None:
        """Rows that came before an error are handed on before it. Changes `state`."""
        before = _said(state)
        try:
            with ExitStack() as stack:
                pipes = self._iterating(stack, state)
                for found in pipes:
                    if self._take(found.pipe.name, found.item) and self._is_covered(pipes):
                        self._send("state", value=_advanced(before, _said(state), list(self._held)))
                    if self._is_enough():
                        return
        except Exception:
            self._flush()
            raise
        self._flush()

    def _iterating(self, stack: ExitStack, state: Json) -> Any:
        source = self._source
        section = ConfigSectionContext(sections=("sources", source.section, source.name), source_state_key=source.name)
        stack.enter_context(inject_section(section))
        for context in (
            StateInjectableContext(state=state),
            SourceSchemaInjectableContext(source.schema),
            SourceInjectableContext(source),
        ):
            stack.enter_context(Container().injectable_context(context))
        return stack.enter_context(PipeIterator.from_pipes(source.resources.selected_pipes))

    def _take(self, name: str, item: Any) -> bool:
        """Keep what came. True when everything that came has been handed on."""
        if name not in self._held or item is None:
            return False
        held = self._held[name]
        if isinstance(item, list):
            held.extend(item)
        else:
            held.append(item)
        if not held:
            return False
        is_many = len(held) >= self._paces[name].rows or not isinstance(held[-1], dict)
        if is_many or monotonic() - self._since >= self._seconds:
            self._flush()
            return True
        return False

    def _is_enough(self) -> bool:
        """Of a sample, once each resource has shown some rows, or one of them very many."""
        if self._most is None or self.sent < self._most:
            return False
        return not self._unseen or self.sent >= 10 * self._most

    def _flush(self) -> None:
        for name, held in self._held.items():
            if not held:
                continue
            self._held[name] = []
            coercion = self._coercions[name]
            for piece in rows.pieces(coercion.of(held), coercion.schema, self._paces[name]):
                assert isinstance(piece, pa.RecordBatch)
                self.sent += piece.num_rows
                self._unseen.discard(name)
                self._send("rows", self._encode(piece), stream=name)
        self._since = monotonic()

    def _is_covered(self, pipes: Any) -> bool:
        """Whether the last value of the only resource covers all rows so far: it comes in order, and none is under
        way."""
        if self._most is not None or len(self._held) > 1:
            return False
        (name,) = self._held
        resource = self._source.resources[name]
        incremental = _incremental(resource)
        if resource.is_transformer or incremental is None or incremental.row_order != "asc":
            return False
        return bool(getattr(getattr(pipes, "_futures_pool", None), "empty", False))


def _said(state: Json) -> Json:
    """The state as plain JSON, with dlt's marks for what JSON has no word for."""
    found: Json = json.loads(json.typed_dumps(state["sources"]))
    return found


def _advanced(before: Json, now: Json, names: list[str]) -> Json:
    """The state before, with the last values of now: what else the code keeps is true at its end only."""
    whole: Json = json.loads(json.dumps(before))
    for source, kept in now.items():
        for name in names:
            if "incremental" in (found := kept.get("resources", {}).get(name, {})):
                resources = whole.setdefault(source, {}).setdefault("resources", {})
                resources.setdefault(name, {})["incremental"] = found["incremental"]
    return whole
