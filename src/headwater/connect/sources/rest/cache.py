"""Answers that are kept for a while, for who works on a source and runs it again and again. Never on by default.

What is kept is private to the user (modes 0700 and 0600). A file's name says nothing of the call: it is keyed with a
secret of the folder.
"""

from __future__ import annotations

import contextlib
import hmac
import secrets
from pathlib import Path

import msgspec

from headwater.base import clock
from headwater.base.files import private_folder, write_atomic
from headwater.connect.http_calls import Reply
from headwater.connect.sources.rest.call import Call

FOLDER = Path(".headwater") / "rest-cache"


class Cache:
    """`whose` stands for the credentials: answers to one user are not given to another."""

    def __init__(self, root: Path, *, seconds: float, whose: bytes) -> None:
        self._folder = private_folder(root / FOLDER)
        self._seconds = seconds
        self._whose = whose
        key = self._folder / "key"
        if not key.exists():
            write_atomic(key, secrets.token_bytes(32), mode=0o600)
        self._key = key.read_bytes()
        self._wipe()

    def get(self, call: Call) -> Reply | None:
        """The answer to an equal call that is not too old."""
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            path = self._path(call)
            if self._is_fresh(path):
                kept = msgspec.msgpack.decode(path.read_bytes(), type=Reply)
                return msgspec.structs.replace(kept, url=call.url)
        return None

    def put(self, call: Call, reply: Reply) -> None:
        # Addresses may hold secrets.
        kept = msgspec.structs.replace(reply, url="")
        write_atomic(self._path(call), msgspec.msgpack.encode(kept), mode=0o600)

    def _path(self, call: Call) -> Path:
        asked = msgspec.json.encode([call]) + b"\0" + self._whose
        return self._folder / f"{hmac.digest(self._key, asked, 'sha256').hex()}.answer"

    def _is_fresh(self, path: Path) -> bool:
        return 0 <= clock.now().timestamp() - path.stat().st_mtime < self._seconds

    def _wipe(self) -> None:
        for path in self._folder.glob("*.answer"):
            with contextlib.suppress(OSError):
                if not self._is_fresh(path):
                    path.unlink()
