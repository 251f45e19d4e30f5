"""A native source in front of Singer programs: its messages become lines, written from a thread of their own."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable

from headwater.connect.contract import Message, Rows
from headwater.connect.singer.batch_write import BatchWriter
from headwater.connect.singer.write import Writer
from headwater.run.chain import Chain, write


class Feeder:
    """Feeds `messages`, as `writer` puts them, to the chain's inlet and closes it at their end, whatever that was."""

    def __init__(
        self, messages: Callable[[], Iterable[Message]], chain: Chain, writer: Writer | BatchWriter | None = None
    ) -> None:
        assert chain.inlet is not None
        self.counts: Counter[str] = Counter()
        self._messages = messages
        self._writer = writer or Writer()
        self._chain = chain
        self._inlet = chain.inlet
        self._error: BaseException | None = None
        os.set_blocking(self._inlet, False)
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self._thread.start()

    def raise_failure(self) -> None:
        """After the chain has ended: raise what stopped the source, if anything did. That its reader died is for
        the chain to tell."""
        self._thread.join(10.0)
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """After the chain was closed: nobody reads the files of batches any more."""
        if isinstance(self._writer, BatchWriter):
            self._thread.join(10.0)
            self._writer.remove()

    def _run(self) -> None:
        try:
            for message in self._messages():
                if not write(self._inlet, self._writer.encode(message), self._chain.is_first_dead):
                    return
                if isinstance(message, Rows):
                    self.counts[message.stream] += message.batch.num_rows
        except BaseException as error:  # noqa: BLE001 - it is raised again where the run is waited for
            self._error = error
        finally:
            self._chain.close_inlet()
