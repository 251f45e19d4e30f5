"""Rows to the server: by LOAD DATA, or by INSERTs of many rows where it takes no LOAD DATA LOCAL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pymysql

from headwater.base.errors import RunFailedError
from headwater.connect.destinations.mysql import text_format
from headwater.connect.destinations.mysql.called import quote
from headwater.connect.destinations.mysql.connection import DUPLICATE, Connection, DuplicateKeyError
from headwater.connect.destinations.outgoing import ahead

# Rows are encoded and sent in pieces of about this size: small beside the memory, large beside the cost of a call.
_PIECE_BYTES = 8 << 20


class Outgoing(Protocol):
    """Rows for the columns (name and type) of a table."""

    columns: list[tuple[str, str]]

    def lines(self, form: text_format.Form, size: int) -> Iterator[pa.Array]:
        """Their text in pieces of about that size."""
        ...


def send(connection: Connection, into: str, outgoing: Outgoing) -> int:
    """The number of rows that the server took. Raises DuplicateKeyError, UnfitError, pymysql.err.Error."""
    names = ", ".join(quote(name) for name, _ in outgoing.columns)
    if connection.server.takes_files:
        return connection.run_exactly(
            f"load data local infile 'rows' into table {into} {text_format.LOAD_DATA_CLAUSE} ({names})",
            ahead(text_format.data(lines) for lines in outgoing.lines(text_format.LOAD_DATA, _PIECE_BYTES)),
        )
    # Half a packet, for what is quoted gets longer.
    taken = 0
    for lines in outgoing.lines(text_format.INSERT, min(_PIECE_BYTES, connection.server.packet // 4)):
        for piece in _pieces(lines, connection.server.packet // 2):
            statement = b"insert into %b (%b) values %b" % (into.encode(), names.encode(), bytes(piece)[:-1])
            try:
                taken += connection.run_exactly(statement)
            except pymysql.err.IntegrityError as error:
                if error.args[0] == DUPLICATE:  # of which LOAD DATA only warns
                    raise DuplicateKeyError(error.args[1]) from error
                raise
    return taken


def rows_text(stream: str, columns: Sequence[pa.Array], form: text_format.Form, packet: int) -> pa.Array:
    """As `text_format.rows`. Raises RunFailedError (`row-too-large`) for one that the server lets nobody read."""
    lines = text_format.rows(list(columns), form)
    longest = pc.max(pc.binary_length(lines)).as_py() or 0
    if longest > packet:
        raise RunFailedError(
            "row-too-large",
            f"a row of stream `{stream}` has {longest:,} bytes, and the server lets {packet:,} through",
            why="nobody could read it back",
            hint=f"raise the limit at the server: set global max_allowed_packet = {1 << longest.bit_length()}",
        )
    return lines


def _pieces(lines: pa.Array, limit: int) -> Iterator[memoryview]:
    """The lines' bytes, cut between rows so that each piece is at most about `limit` long."""
    if not len(lines):
        return
    data = text_format.data(lines)
    count = max(1, len(lines) * limit // max(len(data), limit))
    for start in range(0, len(lines), count):
        piece = pa.concat_arrays([lines.slice(start, count)])
        if len(piece) > 1 and piece.nbytes > limit:
            yield from _pieces(piece, limit // 2)
        else:
            yield text_format.data(piece)
