"""Files of lines, made by DuckDB from Arrow: it turns columns into text on all processors at once."""

from __future__ import annotations

import duckdb
import pyarrow as pa

from headwater.connect.warehouse import first_row


class Engine:
    """A DuckDB for the files of one session; it is started by the first."""

    def __init__(self) -> None:
        self._connection: duckdb.DuckDBPyConnection | None = None

    def connection(self) -> duckdb.DuckDBPyConnection:
        if self._connection is None:
            self._connection = duckdb.connect()
            self._connection.execute("set TimeZone = 'UTC'")
        return self._connection


class Writer:
    """Writes what `line` (SQL, text with its line end) says of each row; `lost` (SQL) counts values it changed."""

    def __init__(
        self,
        engine: Engine,
        sink: pa.NativeFile,
        schema: pa.Schema,
        line: str,
        *,
        packed: bool,
        lost: str | None = None,
    ) -> None:
        # No time in the gzip header: the same rows give the same bytes.
        self._sink = pa.CompressedOutputStream(sink, "gzip") if packed else sink
        self._is_packed = packed
        self._columns = [column(index) for index in range(len(schema))]  # the names themselves may clash in SQL
        self._line = line
        self._lost = lost
        self._engine = engine

    def put(self, text: str) -> None:
        self._sink.write(text.encode())

    def write(self, batch: pa.RecordBatch) -> int:
        """Answers how many values were changed."""
        connection = self._engine.connection()
        connection.register("batch", batch.rename_columns(self._columns))
        for found in connection.sql(f"select {self._line} from batch").to_arrow_reader():
            self._sink.write(_joined(found.column(0)))
        row = first_row(connection, f"select {self._lost} from batch") if self._lost else None
        connection.unregister("batch")
        return int(row[0]) if row else 0

    def close(self) -> None:
        if self._is_packed:
            self._sink.close()


def column(index: int) -> str:
    return f"c{index}"


def escaped(text: str) -> str:
    """For between quotes in SQL."""
    return text.replace("'", "''")


def _joined(texts: pa.Array) -> pa.Buffer:
    """The values of an Arrow text column lie one after another: they are the file's content."""
    texts = texts.cast(pa.large_string())
    offsets = memoryview(texts.buffers()[1]).cast("q")[texts.offset : texts.offset + len(texts) + 1]
    return texts.buffers()[2].slice(offsets[0], offsets[-1] - offsets[0])
