"""A road as legs: programs joined by pipes, then stages of ours, then the next programs.

source ─► stages ─► write ═ program ═ program ═► parse ─► stages ─► write ═ program …

Between two legs a thread reads the messages of the one, puts them through its stages and writes them to the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from headwater.base.errors import HeadwaterError
from headwater.connect.contract import Message, Rejected, Rows, Stage, staged
from headwater.connect.stages import flattening, mapper
from headwater.connect.stages.reshape import OnBadRecord, Reshape
from headwater.model.event import Level, StreamFigures
from headwater.model.plan import Block, ExtractLoad
from headwater.run.chain import Chain
from headwater.run.feed import Feeder
from headwater.run.runner import Run


class Leg(Struct, frozen=True):
    """Programs, and the blocks of ours whose stages come after them. The first leg of a native source has no
    programs; the last one leads to a native loader when `is_last`, else another leg follows or it ends in a target."""

    programs: tuple[Block, ...]
    ours: tuple[Block, ...] = ()
    is_last: bool = False


def legs(step: ExtractLoad) -> list[Leg]:
    """The road of a step, in order. A native source is no program, nor is a native loader; both may have stages."""
    made: list[Leg] = []
    programs: list[Block] = []
    ours: list[Block] = []
    for block in (step.extractor, *step.mappers, step.loader):
        if block.native is not None:
            ours.append(block)
            continue
        if ours:
            made.append(Leg(tuple(programs), tuple(ours)))
            programs, ours = [], []
        programs.append(block)
    made.append(Leg(tuple(programs), tuple(ours), is_last=step.loader.native is not None))
    return made


def stages(step: ExtractLoad, leg: Leg, run: Run) -> tuple[Reshape, ...]:
    """The stages of a leg. A row that they fail on can only be set aside where the loader is ours: Singer has no
    message for it."""
    wanted = step.extractor.extras.get("on_bad_record")
    on_bad_record: OnBadRecord = "quarantine" if leg.is_last and wanted == "quarantine" else "fail"
    made: list[Reshape] = []
    for block in leg.ours:
        if block.kind.value == "mapper":
            mapper.check_settings(block.config, name=block.name, where=block.where)
        made += mapper.stages(
            block.config,
            owner=f"{block.kind.value} `{block.name}`",
            where=block.where,
            on_bad_record=on_bad_record,
            tell=lambda text: run.tell(step.name, Level.WARNING, text),
        )
    return tuple(made)


def names(stages: Sequence[Stage]) -> Callable[[str], tuple[str, ...]]:
    """Under which names a stream comes out of the stages."""

    def names_of(stream: str) -> tuple[str, ...]:
        found: tuple[str, ...] = (stream,)
        for stage in stages:
            if isinstance(stage, Reshape):
                found = tuple(name for one in found for name in stage.names(one))
        return found

    return names_of


def flatten_depth(leg: Leg) -> int | None:
    """How deep the leg's stages and its destination want objects flattened; None leaves it to the parser. On the way
    to a program objects stay what they are: flattening is the target's to do."""
    wanted = [flattening.flatten_depth(block.config) for block in reversed(leg.ours) if block.kind.value != "extractor"]
    stated = next((depth for depth in wanted if depth is not None), None)
    return stated if stated is not None or leg.is_last else 0


class Passage:
    """Stages between two legs, and how many rows went in and out under each name."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._stages = stages
        self._names = names(stages)
        self.read: Counter[str] = Counter()
        self.given: Counter[str] = Counter()

    def take(self, message: Message) -> Sequence[Message]:
        for name in self._names(message.stream) or (message.stream,) if isinstance(message, Rows | Rejected) else ():
            self.read[name] += _rows(message)
        results = staged(message, self._stages)
        for result in results:
            if isinstance(result, Rows):
                self.given[result.stream] += result.batch.num_rows
        return results

    def figures(self) -> tuple[StreamFigures, ...]:
        return tuple(
            StreamFigures(stream=stream, read=count, filtered=count - self.given[stream])
            for stream, count in dict(self.read).items()
        )


def _rows(message: Message) -> int:
    return message.batch.num_rows if isinstance(message, Rows) else 1


def through(messages: Iterator[Message], passage: Passage, upstream: Chain | None) -> Iterator[Message]:
    """The messages after the passage. When they are not read to their end, the programs they come from are ended."""
    try:
        for message in messages:
            yield from passage.take(message)
    except BaseException:
        if upstream is not None and not upstream.at_end:
            upstream.end()
        raise


class Links:
    """The chains of a road and the feeders between them, the first ones first."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._chains: list[Chain] = []
        self._feeders: list[Feeder | None] = []

    def add(self, chain: Chain, feeder: Feeder | None) -> None:
        self._chains.append(chain)
        self._feeders.append(feeder)

    @property
    def last(self) -> Chain | None:
        return self._chains[-1] if self._chains else None

    def wait(self, idle: Callable[[], None]) -> None:
        """Until every program has ended."""
        for chain in reversed(self._chains):
            chain.wait(idle)

    def raise_failure(self) -> None:
        """After `wait`: raise what went wrong first on the way, or why the run was cancelled."""
        self._run.cancel.check()
        for chain, feeder in zip(self._chains, self._feeders, strict=True):
            if feeder is not None:
                feeder.raise_failure()
            failure: HeadwaterError | None = chain.failure()
            if failure is not None:
                raise failure

    def end(self) -> None:
        """End what still runs, the first ones first; idempotent."""
        for chain in self._chains:
            chain.end()

    def close(self) -> None:
        """End what still runs and free everything."""
        for chain in reversed(self._chains):
            chain.close()
        for feeder in self._feeders:
            if feeder is not None:
                feeder.close()
