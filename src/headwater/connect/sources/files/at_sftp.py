"""Files of SFTP servers. The server has to be known: its key is compared with that in a file of known hosts. Size and
time of change say whether a file is still the same."""

from __future__ import annotations

import io
import stat
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import SplitResult, unquote, urlsplit

from headwater.base.errors import EnvironmentProblemError, HeadwaterError, InputError
from headwater.connect.sources.files.globs import fixed_part, is_pattern, matcher
from headwater.connect.sources.files.places import BrokenOffError, Found, is_another
from headwater.connect.sources.files.settings import Settings

try:
    import paramiko
except ImportError as error:
    raise EnvironmentProblemError(
        "driver-missing",
        "files of SFTP servers need the package `paramiko`",
        hint="pip install 'headwater[sftp]', or uv tool install 'headwater[sftp]'",
    ) from error

_SECONDS = 30.0
_AT_ONCE = 6


def place(settings: Settings, pattern: str) -> Server:
    """As in `places.PlaceModule`."""
    return Server(urlsplit(_without_pattern(pattern)), settings)


class Server:
    """A `places.Place`. Connected when it is first asked."""

    def __init__(self, parts: SplitResult, settings: Settings) -> None:
        if not parts.hostname:
            raise InputError("bad-address", "`sftp://` names no server", hint="write sftp://USER@HOST/FOLDER/*.csv")
        self._parts = parts
        self._settings = settings
        self._root = f"sftp://{parts.netloc.rpartition('@')[2]}"
        self._lock = threading.Lock()
        self._client: paramiko.SSHClient | None = None
        # A channel serves one thread at a time, and servers let a connection have ten of them.
        self._free: list[paramiko.SFTPClient] = []
        self._places = threading.BoundedSemaphore(_AT_ONCE)

    def find(self, pattern: str) -> list[Found]:
        path = "/" + pattern.partition("://")[2].partition("/")[2]
        path = path.removeprefix("/~/")
        with self._channel() as files:
            if not is_pattern(path):
                return self._one(files, path)
            folder = fixed_part(path)
            is_match = matcher(path).match
            deep = "**" in path or "/" in path[len(folder) :]
            found = [one for one in self._below(files, folder, deep=deep) if is_match(one.address)]
            return sorted(found, key=lambda one: one.address)

    def open(self, found: Found, *, seeks: bool = False) -> BinaryIO:
        with ExitStack() as stack:
            files = stack.enter_context(self._channel())
            now = self._one(files, found.address)
            if not now or (now[0].size, now[0].mtime_ns) != (found.size, found.mtime_ns):
                raise is_another(found)
            file = stack.enter_context(files.open(found.address, "rb"))
            if not seeks:
                file.prefetch(found.size)
            return cast("BinaryIO", io.BufferedReader(_Bytes(self, file, found.size, stack.pop_all()), 1 << 18))
        raise AssertionError("a channel raises what it does not return")

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def trouble(self, error: Exception) -> HeadwaterError:
        """The error for one of the library's, behind the place's own calls."""
        return self._trouble(error)

    def _one(self, files: paramiko.SFTPClient, path: str) -> list[Found]:
        try:
            found = files.stat(path)
        except FileNotFoundError:
            return []
        return [self._found(path, found)] if stat.S_ISREG(found.st_mode or 0) else []

    def _below(self, files: paramiko.SFTPClient, folder: str, *, deep: bool) -> list[Found]:
        found = []
        try:
            entries = files.listdir_attr(folder or ".")
        except FileNotFoundError:
            return []
        for entry in entries:
            path = f"{folder}{entry.filename}"
            kind = entry.st_mode or 0
            if stat.S_ISLNK(kind):  # to a file is as good as the file; links to folders may go round
                found += self._one(files, path)
            elif stat.S_ISDIR(kind) and deep:
                found += self._below(files, f"{path}/", deep=deep)
            elif stat.S_ISREG(kind):
                found.append(self._found(path, entry))
        return found

    def _found(self, path: str, entry: paramiko.SFTPAttributes) -> Found:
        return Found(
            address=path,
            key=f"{self._root}/{path.lstrip('/')}" if path.startswith("/") else f"{self._root}/~/{path}",
            name=path.rpartition("/")[2],
            size=entry.st_size or 0,
            mtime_ns=(entry.st_mtime or 0) * 1_000_000_000,
        )

    @contextmanager
    def _channel(self) -> Iterator[paramiko.SFTPClient]:
        try:
            with self._places:
                files = self._opened()
                yield files
                self._free.append(files)  # not after a failure: an answer may still be on its way
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise self._trouble(error) from error

    def _opened(self) -> paramiko.SFTPClient:
        with self._lock:
            if self._free:
                return self._free.pop()
            self._client = self._client or self._login()
            files = self._client.open_sftp()
            channel = files.get_channel()
            if channel is not None:
                channel.settimeout(_SECONDS)
            return files

    def _login(self) -> paramiko.SSHClient:
        settings, parts = self._settings, self._parts
        client = paramiko.SSHClient()
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        known = settings.sftp_known_hosts
        try:
            if known:
                client.load_host_keys(str(Path(known).expanduser()))
            else:
                client.load_system_host_keys()
        except OSError as error:
            raise InputError(
                "invalid-setting",
                f"`sftp_known_hosts` names `{known}`, which can't be read",
                why=error.strerror,
                hint=f"ssh-keyscan -p {parts.port or 22} {parts.hostname}, and compare the key with its owner's",
            ) from error
        password = settings.sftp_password or (unquote(parts.password) if parts.password else None)
        key = settings.sftp_private_key
        client.connect(
            parts.hostname or "",
            port=parts.port or 22,
            username=unquote(parts.username) if parts.username else None,
            password=password,
            key_filename=str(Path(key).expanduser()) if key else None,
            passphrase=settings.sftp_passphrase,
            allow_agent=not (password or key),
            look_for_keys=not (password or key),
            timeout=_SECONDS,
            banner_timeout=_SECONDS,
            auth_timeout=_SECONDS,
        )
        return client

    def _trouble(self, error: Exception) -> HeadwaterError:
        host, port = self._parts.hostname, self._parts.port or 22
        if isinstance(error, paramiko.BadHostKeyException):
            return EnvironmentProblemError(
                "unknown-host",
                f"`{self._root}` shows another key than the one that is known of it",
                why="its key was changed, or somebody else answers",
                hint="ask its owner for the key; the known ones are in `sftp_known_hosts` or ~/.ssh/known_hosts",
            )
        if isinstance(error, paramiko.AuthenticationException | paramiko.PasswordRequiredException | PermissionError):
            return EnvironmentProblemError(
                "store-refused",
                f"`{self._root}` refuses this user",
                why=str(error),
                hint="set `sftp_private_key` or `sftp_password`, and the user in the address: sftp://USER@HOST/…",
            )
        if isinstance(error, paramiko.SSHException) and "known_hosts" in str(error):
            return EnvironmentProblemError(
                "unknown-host",
                f"the key of `{self._root}` is not known",
                hint=f"ssh-keyscan -p {port} {host} >> ~/.ssh/known_hosts, once its owner has confirmed the key",
            )
        return BrokenOffError(
            "store-unreachable",
            f"`{self._root}` can't be read",
            why=str(error) or type(error).__name__,
            hint="check network and address, then run it again",
        )


class _Bytes(io.RawIOBase):
    def __init__(self, server: Server, file: paramiko.SFTPFile, size: int, stack: ExitStack) -> None:
        self._server = server
        self._file = file
        self._stack = stack
        self._size = size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        start = (0, self.tell(), self._size)[whence]
        self._file.seek(start + offset)
        return self.tell()

    def tell(self) -> int:
        return int(self._file.tell())

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._file.read(len(buffer))
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise self._server.trouble(error) from error
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._stack.close()
        super().close()


def _without_pattern(address: str) -> str:
    """`#` and `?` are letters of a path here, not the beginning of something else."""
    scheme, _, rest = address.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"
