"""Whether a plugin's settings work, tried on the plugin itself: the first record of an extractor, the start of a
loader. No run is recorded, no state read or written."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

from headwater.base.errors import HeadwaterError, InputError, RunFailedError, Where
from headwater.model.event import Emit
from headwater.model.plan import Block, ExtractLoad
from headwater.model.plugin import Plugin, PluginKind
from headwater.ops import planning, plugins
from headwater.ops.runs import Aside, aside
from headwater.ops.selection import offered_catalog
from headwater.ops.workspace import Workspace
from headwater.plan import build, programs, settled
from headwater.plan import settings as plan_settings
from headwater.plan.options import Options
from headwater.plan.select import without_logs
from headwater.run import discover
from headwater.run.cancel import Cancel
from headwater.run.chain import Chain, Start, write
from headwater.run.singer_files import catalog_arguments, config_arguments

STREAM = "headwater_test"
_IDLE_SECONDS = 600.0
_MESSAGES = (
    b'{"type":"SCHEMA","stream":"headwater_test","key_properties":["id"],'
    b'"schema":{"type":"object","properties":{"id":{"type":"integer"}}}}\n'
    b'{"type":"RECORD","stream":"headwater_test","record":{"id":1}}\n'
    b'{"type":"STATE","value":{"headwater_test":1}}\n'
)


class Trial(Struct, frozen=True, kw_only=True):
    """What was seen of a plugin whose settings work."""

    plugin: str
    kind: PluginKind
    seen: str


class _Line(Struct):
    """Of a Singer message what tells that there are data."""

    type: str
    stream: str | None = None


def attempt(
    workspace: Workspace,
    name: str,
    kind: PluginKind | None = None,
    *,
    emit: Emit,
    cancel: Cancel,
    write_row: bool = False,
    install: str | None = None,
) -> Trial:
    """Try the plugin; raises what is wrong with it as a HeadwaterError.

    An extractor is started with its catalog, streams of a log in full, and stopped at its first record (`no-record`
    when there is none). A native loader is opened and left without a commit. A Singer loader is started with no input;
    with `write_row` it gets one row for the stream `headwater_test`, which stays where it loads to.
    """
    plugin = planning.plugin(workspace, name, kind)
    if plugin.kind not in (PluginKind.EXTRACTOR, PluginKind.LOADER):
        raise InputError(
            "not-testable",
            f"`{name}` is a {plugin.kind}: only extractors and loaders can be tested",
            where=Where(plugin.file, plugin.line),
            hint=f"headwater invoke {name}",
        )
    plugins.install_as_asked(workspace, [plugin], install, emit=emit)
    with aside(workspace, emit=emit, cancel=cancel) as lab:
        try:
            if plugin.kind is PluginKind.EXTRACTOR:
                seen = _extractor(workspace, plugin, lab)
            else:
                seen = _loader(workspace, plugin, lab, write_row=write_row)
        except RunFailedError as error:
            raise _hinted(error, name) from error
    return Trial(plugin=name, kind=plugin.kind, seen=seen)


def _hinted(error: HeadwaterError, name: str) -> RunFailedError:
    """The usual hint of a failed plugin is to test it, which has just been done."""
    hint = error.hint
    if hint is None or hint.startswith("headwater config test"):
        hint = f"headwater config list {name}"
    return RunFailedError(error.reference, error.what, where=error.where, why=error.why, hint=hint)


def _extractor(workspace: Workspace, plugin: Plugin, lab: Aside) -> str:
    step = build.extract(planning.facts(workspace), plugin, Options())
    catalog = discover.selected_catalog(step, lab.run, lambda: offered_catalog(step, lab))
    if catalog is not None:  # to read a log would move the pipeline's place in it, or make one for nobody
        catalog, _ = without_logs(catalog)
    if step.extractor.native is not None:
        return _native_rows(step, catalog, lab)
    block = step.extractor
    args = (*config_arguments(block, lab.folder), *catalog_arguments(block, catalog, lab.folder))
    with Chain([Start(block=block, args=args)], step=step.name, run=lab.run, idle_seconds=_IDLE_SECONDS) as chain:
        stream = _first_record(chain.chunks(_nothing))
        if stream is not None:
            return f"the first record came from stream `{stream}`"
        _end(chain, lab)
    raise _no_record(plugin.name)


def _first_record(chunks: Iterable[bytes]) -> str | None:
    """The stream of the first record or batch; None when there is none. Lines that are no messages are left alone."""
    rest = b""
    for data in chunks:
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            try:
                message = msgspec.json.decode(line, type=_Line)
            except msgspec.DecodeError:
                continue
            if message.type in ("RECORD", "BATCH"):
                return message.stream or "?"
    return None


def _native_rows(step: ExtractLoad, catalog: dict[str, object] | None, lab: Aside) -> str:
    # Arrow and the drivers are loaded for native plugins only.
    from headwater.connect.contract import ReadRequest, Rows  # noqa: PLC0415 - see above
    from headwater.run import native  # noqa: PLC0415 - see above

    request = ReadRequest(
        catalog=native.decoded_catalog(catalog or {"streams": []}),
        state=None,
        folder=lab.folder,
        should_stop=lab.run.cancel.is_set,
    )
    for message in native.read(step.extractor, root=Path(lab.run.plan.root), request=request):
        if isinstance(message, Rows) and message.batch.num_rows:
            return f"the first rows ({message.batch.num_rows:,}) came from stream `{message.stream}`"
    lab.run.cancel.check()
    raise _no_record(step.extractor.name)


def _no_record(name: str) -> RunFailedError:
    return RunFailedError(
        "no-record",
        f"`{name}` ended well but sent no record",
        why="its source may be empty, or nothing in it is selected",
        hint=f"headwater select {name} --list",
    )


def _loader(workspace: Workspace, plugin: Plugin, lab: Aside, *, write_row: bool) -> str:
    facts = planning.facts(workspace)
    ready = settled.ready(facts, plugin)
    plan_settings.check_required(ready.resolved, ready.values)
    block = programs.block(facts, ready)
    if block.native is not None:
        return opened(block, lab)
    start = Start(block=block, args=config_arguments(block, lab.folder))
    with Chain([start], step=plugin.name, run=lab.run, idle_seconds=_IDLE_SECONDS, fed=True) as chain:
        assert chain.inlet is not None
        os.set_blocking(chain.inlet, False)
        if write_row:
            write(chain.inlet, _MESSAGES, chain.is_first_dead)
        chain.close_inlet()
        for _ in chain.chunks(_nothing):
            pass  # states, which nobody keeps
        _end(chain, lab)
    if write_row:
        return f"it loaded one row into stream `{STREAM}`"
    return "it starts with its settings; whether it can write shows `--write`, which loads one row"


def opened(block: Block, lab: Aside) -> str:
    """Open a native destination and leave it without a commit; says so."""
    from headwater.connect.contract import OpenRequest  # noqa: PLC0415 - brings Arrow
    from headwater.run import native  # noqa: PLC0415 - likewise

    request = OpenRequest(pipeline=None, run_id=lab.run.plan.run_id, source=STREAM, folder=lab.folder)
    session = native.open_session(block, root=Path(lab.run.plan.root), request=request)
    session.close()
    return "it can be opened; nothing was written"


def _end(chain: Chain, lab: Aside) -> None:
    chain.wait()
    lab.run.cancel.check()
    failure = chain.failure()
    if failure is not None:
        raise failure


def _nothing() -> None:
    """Nobody waits for news."""
