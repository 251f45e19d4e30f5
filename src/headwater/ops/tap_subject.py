"""The extractor that the checks of `tap_checks` are tried on, to be read again and again."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from headwater.connect.contract import Message, ReadRequest
from headwater.connect.singer import parse
from headwater.model.catalog import Catalog
from headwater.model.plan import ExtractLoad
from headwater.ops.runs import Aside
from headwater.ops.tap_seen import Seen
from headwater.run import native, parsing
from headwater.run.chain import Chain, Start
from headwater.run.legs import Leg
from headwater.run.singer_files import catalog_arguments, config_arguments, state_arguments

# Small, so that there are many places to be killed at.
_BATCH_BYTES = 64 << 10


class BrokenError(Exception):
    """The promise does not hold."""


class SkippedError(Exception):
    """There is nothing that the promise could be tried on."""


class Subject:
    """The extractor, to be read again and again; what the first whole read showed is kept for the checks after it."""

    def __init__(self, step: ExtractLoad, lab: Aside) -> None:
        self.step = step
        self.lab = lab
        self.raw: dict[str, Any] | None = None
        self.whole: Seen | None = None
        self.is_unknown = False  # what it offers could not be found out

    @property
    def catalog(self) -> Catalog:
        return native.decoded_catalog(self.raw or {"streams": []})

    def first(self) -> Seen:
        if self.whole is None:
            raise SkippedError("it could not be read")
        return self.whole

    def messages(
        self, state: bytes | None, should_stop: Callable[[], bool] = lambda: False
    ) -> Generator[Message, None, None]:
        block = self.step.extractor
        if block.native is not None:
            request = ReadRequest(
                catalog=self.catalog,
                state=state,
                folder=self.lab.folder,
                batch_bytes=_BATCH_BYTES,
                should_stop=lambda: should_stop() or self.lab.run.cancel.is_set(),
                idle_seconds=self.step.idle_timeout_seconds,
            )
            yield from native.read(block, root=Path(self.lab.run.plan.root), request=request)
            return
        text = None if state is None else state.decode()
        folder = self.lab.folder
        args = (
            *config_arguments(block, folder),
            *catalog_arguments(block, self.raw, folder),
            *state_arguments(block, text, folder),
        )
        with Chain(
            [Start(block=block, args=args)],
            step=self.step.name,
            run=self.lab.run,
            idle_seconds=self.step.idle_timeout_seconds,
        ) as chain:
            options = parsing.options(self.step, Leg(programs=(block,), is_last=True), Path(self.lab.run.plan.root))
            strict = msgspec.structs.replace(options, batch_bytes=_BATCH_BYTES, tolerate_stdout_noise=False)
            for message in parse.messages(chain.chunks(lambda: None), strict, lambda _text: None):
                yield message
                if should_stop():
                    return
            chain.wait()
            failure = chain.failure()
            if failure is not None:
                raise failure

    def read(self, state: bytes | None = None, stop_after: int | None = None) -> Seen:
        """What comes, to the end or up to so many batches of rows: then whatever runs is ended at once."""
        seen = Seen()
        with closing(self.messages(state)) as found:
            for message in found:
                seen.take(message)
                if stop_after is not None and seen.batches > stop_after:
                    break
        self.lab.run.cancel.check()
        return seen
