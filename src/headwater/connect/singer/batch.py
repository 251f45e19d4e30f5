"""Files a BATCH message points to: JSON lines or Parquet, from allowed folders only."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import unquote, urlsplit

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headwater.base.errors import RunFailedError

_CHUNK = 4 << 20
_ROWS = 16_384
_JSON = msgspec.json.Encoder(decimal_format="number")


def opener(roots: Sequence[Path]) -> Callable[[str, dict[str, Any]], Iterator[bytes]]:
    """Reads BATCH files that lie in one of `roots`; symbolic links are followed before that is decided.

    The files are only read. Whoever deletes them does so after the rows are durable.
    """
    allowed = [root.resolve() for root in roots]

    def read(path: str, encoding: dict[str, Any]) -> Iterator[bytes]:
        form = encoding.get("format")
        compression = encoding.get("compression") or "none"
        if form not in ("jsonl", "parquet") or (form == "jsonl" and compression not in ("gzip", "zstd", "none")):
            raise RunFailedError(
                "batch-not-supported",
                f"BATCH files of format `{form}` with compression `{compression}` are not read",
                hint="set the tap's `batch_config` to format `parquet`, or `jsonl` with `gzip`, `zstd` or `none`",
            )
        file = _inside(path, allowed)
        try:
            yield from _parquet(file) if form == "parquet" else _lines(file, compression)
        except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
            raise RunFailedError("batch-file", f"the BATCH file `{file}` can't be read", why=str(error)) from error

    return read


def named_roots(config: dict[str, Any], folder: Path) -> list[Path]:
    """The folder for BATCH files that the settings of a program name, if they do. Relative ones start at `folder`."""
    storage = (config.get("batch_config") or {}).get("storage") or {}
    return [folder / str(storage["root"]).removeprefix("file://")] if "root" in storage else []


def _lines(file: Path, compression: str) -> Iterator[bytes]:
    with _unpacked(file, compression) as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk


def _unpacked(file: Path, compression: str) -> BinaryIO:
    if compression == "zstd":
        return cast("BinaryIO", pa.CompressedInputStream(str(file), "zstd"))
    return cast("BinaryIO", gzip.open(file)) if compression == "gzip" else file.open("rb")


def _parquet(file: Path) -> Iterator[bytes]:
    """The rows as JSON lines: what they become then says the stream's schema, for every format alike."""
    with pq.ParquetFile(file) as parquet:
        for batch in parquet.iter_batches(batch_size=_ROWS):
            columns = [_json_values(column) for column in batch.columns]
            yield _JSON.encode_lines([*map(dict, map(partial(zip, batch.schema.names), zip(*columns, strict=True)))])


def _json_values(values: pa.Array) -> list[Any]:
    """Objects that are written exactly: decimals with all their digits, moments with all their fractions."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        return _json_values(values.dictionary_decode())
    if pa.types.is_timestamp(kind):
        return pc.strftime(values, "%Y-%m-%dT%H:%M:%SZ").to_pylist()  # type: ignore[no-any-return]  # untyped
    if pa.types.is_time(kind):
        return values.cast(pa.string()).to_pylist()  # type: ignore[no-any-return]  # untyped
    return values.to_pylist(maps_as_pydicts="strict")  # type: ignore[no-any-return]  # untyped


def _inside(path: str, allowed: Sequence[Path]) -> Path:
    address = urlsplit(path)
    if address.scheme not in ("", "file") or address.netloc not in ("", "localhost"):
        raise RunFailedError("batch-not-supported", f"BATCH files are read from local folders only, not from `{path}`")
    file = Path(unquote(address.path) if address.scheme else path).resolve()
    if not any(file.is_relative_to(root) for root in allowed):
        raise RunFailedError(
            "batch-outside-roots",
            f"the BATCH file `{path}` lies outside of the allowed folders",
            hint="if you trust the tap with it: headwater config set TAP _batch_roots '[\"FOLDER\"]'",
        )
    return file
