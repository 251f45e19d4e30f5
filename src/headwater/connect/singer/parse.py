"""Singer lines to the contract's messages. No I/O: bytes come in, messages go out, in order.

Between two control messages the rows of each stream come together in batches of Arrow. A state vouches for all rows
before it; of several states in one block of lines the last is enough, unless a record between them is bad.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import compress, count, groupby, repeat
from operator import attrgetter, ne
from typing import Any, Literal

from msgspec import Raw, Struct, field

from headwater.base.errors import HeadwaterError, InputError, RunFailedError
from headwater.base.text import did_you_mean
from headwater.connect.contract import ActivateVersion, Checkpoint, Message, Rejected, Rows, Schema
from headwater.connect.singer import envelope, lines, schema, shape
from headwater.connect.singer.lines import Block, Decoded, Envelope, Marked
from headwater.connect.singer.records import BadRecordsError, Builder
from headwater.connect.singer.shape import Shape

Notice = Callable[[str], None]
_KINDS = frozenset({"RECORD", "STATE", "SCHEMA", "ACTIVATE_VERSION", "BATCH"})


class ParseOptions(Struct, frozen=True, kw_only=True):
    """`batch_bytes` bounds a batch, `max_message_bytes` one line, `max_columns` a stream. `on_bad_record` says what
    becomes of a record that cannot be loaded as it is: the run fails, or the record comes out as Rejected.
    `flatten_depth` 0 keeps objects as JSON. `open_batch` answers the records of a BATCH file as chunks of JSON lines;
    None refuses BATCH."""

    batch_bytes: int = 8 << 20
    max_message_bytes: int = 128 << 20
    max_columns: int = 10_000
    on_bad_record: Literal["fail", "quarantine"] = "fail"
    flatten_depth: int = schema.FLATTEN_DEPTH
    check_required: bool = True
    tolerate_stdout_noise: bool = False
    replace_invalid_utf8: bool = False
    open_batch: Callable[[str, dict[str, Any]], Iterable[bytes]] | None = None


def messages(
    chunks: Iterable[bytes], options: ParseOptions, notice: Notice, decode: Callable[..., Decoded] = lines.decode
) -> Iterator[Message]:
    """The messages of a tap's output. `chunks` may cut lines anywhere; large ones (1 to 8 MiB) are read fastest.
    `decode` does what `lines.decode` does, for a program that writes other lines than Singer's.

    A Schema comes before the rows it describes, and again only when it really changed. Before an error is raised,
    everything up to the last state has been given out, so a consumer may commit that. Raises RunFailedError for
    output that is not Singer, InputError for keys that the stream does not have.
    """
    parser = _Parser(options, notice, decode)
    for block in lines.blocks(chunks, size=options.batch_bytes, longest=options.max_message_bytes):
        yield from parser.take(block)
    yield from parser.finish()


class _Stream(Struct):
    """What is known of a stream; `seen` are schema messages already taken over, `line` is the last of them, `sent` the
    schema given out last."""

    builder: Builder
    seen: set[int] = field(default_factory=set)
    line: bytes = b""
    sent: Schema | None = None


class _Parser:
    def __init__(self, options: ParseOptions, notice: Notice, decode: Callable[..., Decoded]) -> None:
        self.options = options
        self.notice = notice
        self.decode = decode
        self.streams: dict[str, _Stream] = {}
        self.told: set[str] = set()
        self.pending: list[Envelope] = []
        self.states: list[tuple[int, bytes]] = []  # how many pending records each of them covers
        self.blocks: list[Block] = []  # where the pending records came from
        self.size = 0

    def take(self, block: Block) -> Iterator[Message]:
        decoded = self.decode(
            block,
            noise=self._noise if self.options.tolerate_stdout_noise else None,
            replace=self._replaced if self.options.replace_invalid_utf8 else None,
        )
        self.blocks.append(block)
        self.size += len(block.data)
        error = decoded.error
        try:
            yield from self._sort(decoded.messages)
        except HeadwaterError as problem:
            error = problem
        if error is not None:
            yield from self._flush()
            raise error
        if self.states:
            yield from self._settle()
        if self.size >= self.options.batch_bytes:
            yield from self._flush()

    def finish(self) -> Iterator[Message]:
        yield from self._flush()
        yield from self._schemas()

    def _sort(self, found: list[Envelope]) -> Iterator[Message]:
        """Records wait, control messages act."""
        kinds = list(map(attrgetter("type"), found))
        if not _KINDS.issuperset(kinds):
            kinds = [kind.upper() for kind in kinds]
        start = 0
        for position in compress(count(), map(ne, kinds, repeat("RECORD"))):
            self.pending.extend(found[start:position])
            start = position + 1
            yield from self._control(kinds[position], found[position])
        self.pending.extend(found[start:])

    def _control(self, kind: str, message: Envelope) -> Iterator[Message]:
        match kind:
            case "STATE":
                self.states.append((len(self.pending), envelope.state(message)))
            case "SCHEMA":
                yield from self._schema(message)
            case "ACTIVATE_VERSION":
                yield from self._activate(message)
            case "BATCH":
                yield from self._batch(message)
            case _:
                self._tell_once(f"messages of type `{message.type}` are ignored")

    # Schemas ---------------------------------------------------------------------------------------------------------

    def _schema(self, message: Envelope) -> Iterator[Message]:
        name = envelope.named(message)
        text = b"\0".join(map(bytes, (message.schema, message.key_properties, message.bookmark_properties)))
        stream = self.streams.get(name)
        if stream is not None and hash(text) in stream.seen:
            return
        stated = envelope.content(message, message.schema)
        if not isinstance(stated, dict):
            raise RunFailedError("bad-schema", f"the SCHEMA message of stream `{name}` has no schema")
        keys = self._names(name, "key_properties", envelope.content(message, message.key_properties))
        cursor = self._names(
            name, "bookmark_properties", envelope.content(message, message.bookmark_properties), wanted=False
        )
        try:
            leaves = schema.leaves(stated, whole=keys, depth=self.options.flatten_depth)
        except RunFailedError as error:
            raise RunFailedError(
                error.reference, f"stream `{name}`: {error.what}", why=error.why, hint=error.hint
            ) from None
        if len(leaves) > self.options.max_columns:
            raise _too_many_columns(name, len(leaves), self.options.max_columns)
        _check_keys(name, keys, [leaf.path[0] for leaf in leaves])
        yield from self._flush()
        stream = stream or self.streams.setdefault(name, _Stream(Builder(Shape(name))))
        stream.seen.add(hash(text))
        stream.line = envelope.line(message)
        shape.adopt(
            stream.builder.shape,
            leaves,
            keys=keys,
            cursor=cursor[0] if len(cursor) == 1 else None,
            required=schema.required(stated) if self.options.check_required else frozenset(),
        )

    def _names(self, stream: str, member: str, value: Any, *, wanted: bool = True) -> tuple[str, ...]:
        if isinstance(value, list) and all(isinstance(name, str) for name in value):
            return tuple(value)
        if isinstance(value, str):
            self._tell_once(f"stream `{stream}`: `{member}` is one name, not a list; it is taken as `[{value}]`")
            return (value,)
        if wanted or value is not None:
            self._tell_once(f"stream `{stream}`: its SCHEMA has no list of `{member}`; it is loaded as if it had none")
        return ()

    def _schemas(self) -> Iterator[Schema]:
        for stream in self.streams.values():
            yield from _fresh(stream)

    # Rows ------------------------------------------------------------------------------------------------------------

    def _settle(self) -> Iterator[Message]:
        """Give out everything up to the last state that came."""
        covered, state = self.states[-1]
        sent = {name: stream.sent for name, stream in self.streams.items()}
        try:
            rows = self._rows(self.pending[:covered])
        except HeadwaterError:
            # Something is bad among these records: the states before it still hold.
            for name, schema_sent in sent.items():
                self.streams[name].sent = schema_sent
            yield from self._settle_one_by_one()
            raise
        yield from rows
        yield from self._schemas()
        yield Checkpoint(state=state)
        self._forget(covered)

    def _settle_one_by_one(self) -> Iterator[Message]:
        start = 0
        for covered, state in self.states:
            try:
                rows = self._rows(self.pending[start:covered])
            except HeadwaterError:
                break
            yield from rows
            yield from self._schemas()
            yield Checkpoint(state=state)
            start = covered
        self.pending, self.states = [], []

    def _flush(self) -> Iterator[Message]:
        if self.states:
            yield from self._settle()
        if self.pending:
            rows, self.pending = self.pending, []
            yield from self._rows(rows)
        self.blocks, self.size = self.blocks[-1:], 0

    def _forget(self, covered: int) -> None:
        """What is left after a state came with the last block."""
        self.pending, self.states = self.pending[covered:], []
        self.blocks = self.blocks[-1:]
        self.size = len(self.blocks[0].data) if self.pending else 0

    def _rows(self, records: Sequence[Envelope]) -> list[Message]:
        """Rows of each stream, with a Schema before them where it changed."""
        out: list[Message] = []
        owner = attrgetter("stream", "version")
        if len(set(map(owner, records))) > 1:
            envelope.all_named(records)
            records = sorted(records, key=attrgetter("stream"))
        for (name, version), group in groupby(records, owner):
            members = list(group)
            marked = Marked in set(map(type, members))
            texts = list(map(attrgetter("record"), members))
            out.extend(
                self._batch_of(envelope.named(members[0]), texts, envelope.version(version, str(name)), marked=marked)
            )
        return out

    def _batch_of(self, name: str, texts: list[Raw], version: int | None, *, marked: bool) -> Iterator[Message]:
        stream = self.streams.get(name)
        if stream is None:
            raise RunFailedError(
                "record-before-schema",
                f"the tap sent a record of stream `{name}` before its SCHEMA",
                hint="the tap breaks the Singer specification; report it to the tap's author",
            )
        while texts:
            try:
                built = stream.builder.build(texts, marked=marked)
            except BadRecordsError as bad:
                if self.options.on_bad_record == "fail":
                    row = min(bad.reasons)
                    raise self._bad_record(name, texts[row], bad.reasons[row], marked=marked) from None
                for row, reason in sorted(bad.reasons.items()):
                    yield Rejected(
                        stream=name,
                        record=envelope.original(texts[row], marked=marked),
                        reason=reason,
                        schema=stream.line,
                        version=version,
                    )
                texts = [text for row, text in enumerate(texts) if row not in bad.reasons]
                continue
            if built.batch.num_rows != len(texts):
                raise RunFailedError(
                    "bad-message",
                    f"a RECORD message of stream `{name}` has no `record`",
                    hint="the tap breaks the Singer specification; report it to the tap's author",
                )
            into = stream.builder.shape.extra_name or ""
            for path in built.extras:
                dotted = schema.SEPARATOR.join(path)
                self.notice(f"stream `{name}`: the field `{dotted}` is not in its schema; it is kept in `{into}`")
            yield from _fresh(stream)
            yield Rows(
                stream=name,
                batch=built.batch,
                missing=built.missing,
                version=version,
                repaired=built.repaired,
                size=sum(map(len, texts)),
            )
            return

    def _bad_record(self, name: str, record: Raw, reason: str, *, marked: bool) -> RunFailedError:
        line = self._line_of(envelope.original(record, marked=marked))
        return RunFailedError(
            "bad-record",
            f"line {line} of the tap's output: a record of stream `{name}` cannot be loaded"
            if line
            else f"a record of stream `{name}` cannot be loaded",
            why=reason,
            hint="fix it at the source, or load the others: headwater config set TAP _on_bad_record quarantine",
        )

    def _line_of(self, record: bytes) -> int | None:
        for block in self.blocks:
            place = block.data.find(record)
            if record and place >= 0:
                return block.line + block.data.count(b"\n", 0, place)
        return None

    # Versions and batches --------------------------------------------------------------------------------------------

    def _activate(self, message: Envelope) -> Iterator[Message]:
        name = envelope.named(message)
        version = envelope.version(message.version, name)
        if name not in self.streams:
            self._tell_once(f"ACTIVATE_VERSION of stream `{name}` is ignored: the stream has no SCHEMA")
            return
        if version is None:
            raise RunFailedError("bad-message", f"ACTIVATE_VERSION of stream `{name}` has no version")
        yield from self._flush()
        yield from _fresh(self.streams[name])
        yield ActivateVersion(stream=name, version=version)

    def _batch(self, message: Envelope) -> Iterator[Message]:
        name = envelope.named(message)
        yield from self._flush()
        if self.options.open_batch is None:
            raise RunFailedError(
                "batch-not-supported",
                f"stream `{name}` comes as BATCH files, and no folder is allowed to hold them",
                hint="headwater config set TAP _batch_roots '[\"FOLDER\"]', or remove `batch_config` from the tap",
            )
        encoding, manifest = envelope.content(message, message.encoding), envelope.content(message, message.manifest)
        if not isinstance(manifest, list) or not isinstance(encoding, dict):
            raise RunFailedError("bad-message", f"the BATCH message of stream `{name}` has no manifest or encoding")
        for path in manifest:
            chunks = self.options.open_batch(str(path), encoding)
            for block in lines.blocks(chunks, size=self.options.batch_bytes, longest=self.options.max_message_bytes):
                yield from self._batch_of(name, envelope.records(block, str(path)), None, marked=False)

    # Words -----------------------------------------------------------------------------------------------------------

    def _tell_once(self, text: str) -> None:
        if text not in self.told:
            self.told.add(text)
            self.notice(text)

    def _noise(self, line: str) -> None:
        self.notice(f"the tap wrote to stdout: {line}")

    def _replaced(self, times: int) -> None:
        self.notice(f"{times} invalid UTF-8 bytes were replaced by U+FFFD")


def _fresh(stream: _Stream) -> Iterator[Schema]:
    """The stream's Schema when it is not the one given out last."""
    known = stream.builder.shape
    columns, sent = shape.arrow_schema(known), stream.sent
    if sent is None or (sent.keys, sent.cursor) != (known.keys, known.cursor) or not shape.same(sent.columns, columns):
        stream.sent = Schema(stream=known.stream, columns=columns, keys=known.keys, cursor=known.cursor)
        yield stream.sent


def _too_many_columns(stream: str, count: int, most: int) -> InputError:
    return InputError(
        "too-many-columns",
        f"stream `{stream}` has {count:,} columns, and at most {most:,} are taken",
        hint="leave some out: headwater select TAP; keep objects as JSON: headwater config set TAP _flatten_depth 0; "
        "or allow more: headwater config set TAP _max_columns N",
    )


def _check_keys(stream: str, keys: Sequence[str], properties: list[str]) -> None:
    for key in keys:
        if key not in properties:
            guess = did_you_mean(key, properties)
            raise InputError(
                "unknown-key",
                f"stream `{stream}` has no property `{key}`, which is its key",
                hint=f"did you mean `{guess}`?" if guess else "correct `table-key-properties` in the metadata",
            )
