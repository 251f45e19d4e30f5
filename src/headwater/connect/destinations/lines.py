"""What files of lines share, and how DuckDB makes their text from Arrow."""

from __future__ import annotations

import threading

import duckdb
import pyarrow as pa


class Engine:
    """A DuckDB for the files of one session; it is started by the first. Each file is made by a connection of its own,
    in whatever thread."""

    def __init__(self) -> None:
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._lock = threading.Lock()

    def connection(self) -> duckdb.DuckDBPyConnection:
        with self._lock:
            if self._connection is None:
                self._connection = duckdb.connect()
                self._connection.execute("set global TimeZone = 'UTC'")
            return self._connection.cursor()


class Writer:
    """Writes what `line` (SQL, text with its line end) says of each row."""

    def __init__(
        self,
        engine: Engine,
        sink: pa.NativeFile,
        schema: pa.Schema,
        line: str,
        *,
        packed: bool,
    ) -> None:
        # No time in the gzip header: the same rows give the same bytes.
        self._sink = pa.CompressedOutputStream(sink, "gzip") if packed else sink
        self._is_packed = packed
        self._columns = [column(index) for index in range(len(schema))]  # the names themselves may clash in SQL
        self._line = line
        self._engine = engine
        self._connection: duckdb.DuckDBPyConnection | None = None

    def put(self, text: str) -> None:
        self._sink.write(text.encode())

    def write(self, batch: pa.RecordBatch) -> int:
        connection = self._connection = self._connection or self._engine.connection()
        connection.register("batch", batch.rename_columns(self._columns))
        for found in connection.sql(f"select {self._line} from batch").to_arrow_reader():
            self._sink.write(joined(found.column(0)))
        connection.unregister("batch")
        return 0

    def close(self) -> None:
        if self._is_packed:
            self._sink.close()
        if self._connection is not None:
            self._connection.close()


def column(index: int) -> str:
    return f"c{index}"


def escaped(text: str) -> str:
    """For between quotes in SQL."""
    return text.replace("'", "''")


def base64(values: pa.Array) -> pa.Array:
    with duckdb.connect() as connection:
        connection.register("batch", pa.table([values.cast(pa.binary())], ["v"]))
        found = connection.sql("select base64(v) from batch").to_arrow_table().column(0)
        return pa.concat_arrays([chunk.cast(pa.string()) for chunk in found.chunks] or [pa.array([], pa.string())])


def joined(texts: pa.Array) -> pa.Buffer:
    """The values of an Arrow text column lie one after another: they are the file's content."""
    texts = texts.cast(pa.large_string())
    offsets = memoryview(texts.buffers()[1]).cast("q")[texts.offset : texts.offset + len(texts) + 1]
    return texts.buffers()[2].slice(offsets[0], offsets[-1] - offsets[0])
