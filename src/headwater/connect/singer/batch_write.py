"""Rows into files that BATCH messages point to, for targets that would rather read a file than a line for each row."""

from __future__ import annotations

import gzip
import secrets
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec import Struct, field

from headwater.base.errors import InputError
from headwater.base.files import write_atomic
from headwater.connect.contract import Message, Rows
from headwater.connect.singer.write import Writer

# Below this a file costs more than its lines do.
_LEAST_ROWS = 1000
_PACKED: dict[str, Literal["gzip", "none"]] = {"gzip": "gzip", "none": "none"}


class BatchFiles(Struct, frozen=True, kw_only=True):
    """Where the files go, as `batch_config` says it: `root` is a folder of this machine."""

    root: Path
    prefix: str = ""
    compression: Literal["gzip", "none"] = "gzip"


class _Encoding(Struct):
    format: str = "jsonl"
    compression: str | None = "gzip"


class _Storage(Struct):
    root: str
    prefix: str | None = None


class _Config(Struct):
    storage: _Storage
    encoding: _Encoding = field(default_factory=_Encoding)


def configured(config: dict[str, Any], folder: Path) -> BatchFiles | None:
    """What the setting `batch_config` asks for; None without it. Relative roots start at `folder`.

    Raises InputError (`bad-batch-config`) for what we do not write: another format, another place than a folder.
    """
    given = config.get("batch_config")
    if not given:
        return None
    try:
        stated = msgspec.convert(given, _Config)
    except msgspec.ValidationError as error:
        raise _bad("`batch_config` can't be understood", str(error)) from error
    packed = _PACKED.get(stated.encoding.compression or "none")
    if stated.encoding.format != "jsonl" or packed is None:
        raise _bad(f"`batch_config` asks for {stated.encoding.format} with compression {stated.encoding.compression}")
    address = urlsplit(stated.storage.root)
    if address.scheme not in ("", "file"):
        raise _bad(f"`batch_config` names `{stated.storage.root}`, which is no folder of this machine")
    root = folder / (unquote(address.path) if address.scheme else stated.storage.root)
    return BatchFiles(root=root, prefix=stated.storage.prefix or "", compression=packed)


class BatchWriter:
    """As `Writer`, with a file for each batch of many rows. A file is whole before its message is given out.

    Rows with a table version, which BATCH has no word for, come as RECORD lines.
    """

    def __init__(self, files: BatchFiles) -> None:
        self._files = files
        self._writer = Writer()
        self._run = secrets.token_hex(8)
        self._written: list[Path] = []

    def encode(self, message: Message) -> bytes:
        if not isinstance(message, Rows) or message.version is not None or message.batch.num_rows < _LEAST_ROWS:
            return self._writer.encode(message)
        packed = self._files.compression == "gzip"
        data = self._writer.records(message)
        # In one folder, whatever the stream is called: some targets look at the last part of a path only.
        name = f"{self._files.prefix}{self._run}-{len(self._written)}.jsonl{'.gz' if packed else ''}"
        path = (self._files.root / name).resolve()
        write_atomic(path, gzip.compress(data, 6, mtime=0) if packed else data, mode=0o600)
        self._written.append(path)
        line = {
            "type": "BATCH",
            "stream": message.stream,
            "encoding": {"format": "jsonl", "compression": self._files.compression},
            "manifest": [path.as_uri()],
        }
        return msgspec.json.encode(line) + b"\n"

    def remove(self) -> None:
        """Delete the files. To be called when their reader has ended, well or not."""
        for path in self._written:
            path.unlink(missing_ok=True)


def _bad(what: str, why: str | None = None) -> InputError:
    return InputError(
        "bad-batch-config",
        what,
        why=why,
        hint="write {storage: {root: file:///FOLDER}, encoding: {format: jsonl, compression: gzip}}",
    )
