"""Files a BATCH message points to: JSON lines, plain or gzip, from allowed folders only."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from headwater.base.errors import RunFailedError

_CHUNK = 4 << 20


def opener(roots: Sequence[Path]) -> Callable[[str, dict[str, Any]], Iterator[bytes]]:
    """Reads BATCH files that lie in one of `roots`; symbolic links are followed before that is decided.

    The files are only read. Whoever deletes them does so after the rows are durable.
    """
    allowed = [root.resolve() for root in roots]

    def read(path: str, encoding: dict[str, Any]) -> Iterator[bytes]:
        compression = encoding.get("compression") or "none"
        if encoding.get("format") != "jsonl" or compression not in ("gzip", "none"):
            raise RunFailedError(
                "batch-not-supported",
                f"BATCH files of format `{encoding.get('format')}` with compression `{compression}` are not read",
                hint="set the tap's `batch_config` to format `jsonl`, compression `gzip` or `none`",
            )
        file = _inside(path, allowed)
        try:
            with gzip.open(file) if compression == "gzip" else file.open("rb") as stream:
                while chunk := stream.read(_CHUNK):
                    yield chunk
        except (OSError, EOFError, zlib.error) as error:
            raise RunFailedError("batch-file", f"the BATCH file `{file}` can't be read", why=str(error)) from error

    return read


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
