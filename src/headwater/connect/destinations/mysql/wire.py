"""PyMySQL's connection, made safe: it opens no files for a server, sends no password in clear text, and does not wait
for ever for a server that hangs."""

from __future__ import annotations

import contextlib
import io
import socket
import ssl
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import pymysql
from pymysql.constants import CLIENT, COMMAND, CR
from pymysql.protocol import FieldDescriptorPacket

from headwater.connect.alive import Patience, SessionLostError, Sign
from headwater.connect.destinations.mysql.settings import Settings
from headwater.connect.destinations.mysql.trouble import address

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_TICK_SECONDS = 0.5
_PACKET_BYTES = 1 << 20
# The server has rows for us that we do not take.
_WRITING = ("Writing to net", "Sending to client")
# What tells servers apart.
_THIS_SERVER = "concat_ws(':', @@hostname, @@port, @@server_id)"


class Watch(Protocol):
    """As `Patience`: told when a wait begins or anything arrives, and of every moment in which nothing does."""

    def begin(self) -> None: ...

    def tick(self) -> None: ...


class _Patient(io.RawIOBase):
    """What comes through a socket that has a time limit: a limit that passes is told to `watch`."""

    def __init__(self, sock: socket.socket, watch: Watch) -> None:
        self._sock = sock
        self._watch = watch

    def readable(self) -> bool:
        return True

    def readinto(self, into: WriteableBuffer) -> int:
        self._watch.begin()
        while True:
            try:
                return self._sock.recv_into(into)
            except TimeoutError:
                _tick(self._watch)


def _tick(watch: Watch) -> None:
    try:
        watch.tick()
    except SessionLostError as error:
        raise ConnectionResetError(str(error)) from error


class Wire(pymysql.connections.Connection):  # type: ignore[misc]  # PyMySQL has no types
    """PyMySQL's connection, which would open any file that a server asks for. This one opens none: what the server
    gets is `outgoing`, whatever it asks for, and only while there is something."""

    outgoing: Iterable[bytes | memoryview] | None = None
    _watch: Watch | None = None

    def watch_with(self, watch: Watch) -> None:
        """From now on; nothing may be under way. What `watch` raises ends the connection."""
        if self._rfile:  # its own, whose time limit would be an error
            self._rfile.close()
        self._rfile: Any = io.BufferedReader(_Patient(self._sock, watch))
        self._sock.settimeout(_TICK_SECONDS)
        self._read_timeout = self._write_timeout = self._current_timeout = _TICK_SECONDS
        self._watch = watch

    def execute_prepared(self, query: str) -> list[int]:
        """Run a query whose rows come as the server holds them, not as text. The types of its columns by number, as
        `pymysql.constants.FIELD_TYPE` has them; the rows' packets are what `arrived` brings next."""
        self._execute_command(COMMAND.COM_STMT_PREPARE, query.encode())
        answer = self._read_packet()
        answer.advance(1)
        number, columns = answer.read(4), answer.read_uint16()
        self._read_columns(columns)
        self._execute_command(COMMAND.COM_STMT_EXECUTE, number + b"\0\1\0\0\0")  # once, and without a cursor
        types = self._read_columns(self._read_packet().read_length_encoded_integer())
        self._prepared = number
        return types

    def _read_columns(self, count: int) -> list[int]:
        types = [int(self._read_packet(FieldDescriptorPacket).type_code) for _ in range(count)]
        self._read_packet()  # the end of the list
        return types

    def arrived(self, most: int) -> bytes:
        """What has come from the server since the last look, up to `most` bytes; waits for at least one. b"" when the
        connection has ended."""
        found: bytes = self._rfile.read1(most)
        return found

    def close_prepared(self) -> None:
        """When all of its rows have been taken."""
        self._execute_command(COMMAND.COM_STMT_CLOSE, self._prepared)  # not answered

    def _write_bytes(self, data: bytes | memoryview) -> None:
        if self._watch is None:
            super()._write_bytes(data)
            return
        view = memoryview(data)
        self._watch.begin()
        try:
            while view:
                try:
                    view = view[self._sock.send(view) :]
                    self._watch.begin()
                except TimeoutError:
                    _tick(self._watch)
        except OSError as error:
            self._force_close()
            raise pymysql.err.OperationalError(
                CR.CR_SERVER_GONE_ERROR, f"the server has gone away ({error})"
            ) from error
        except BaseException:
            self._force_close()
            raise

    def _read_packet(self, *arguments: Any) -> Any:
        packet = super()._read_packet(*arguments)
        outgoing, self.outgoing = self.outgoing, None
        if outgoing is None or not packet.is_load_local_packet():
            return packet
        try:
            for piece in outgoing:
                view = memoryview(piece)
                for start in range(0, len(view), _PACKET_BYTES):
                    self.write_packet(view[start : start + _PACKET_BYTES])
        except BaseException:
            if self.open:
                self.write_packet(b"")
                with contextlib.suppress(pymysql.err.Error):  # the caller's error is the cause
                    super()._read_packet()
            raise
        self.write_packet(b"")
        return super()._read_packet()


class _NoClearText:
    """Refuses to send a password as it is."""

    def __init__(self, _connection: object) -> None: ...

    def authenticate(self, _packet: object) -> NoReturn:
        raise pymysql.err.OperationalError(2061, "the server asks for the password in clear text")


def patience(wire: Wire, settings: Settings, seconds: float) -> Patience:
    """For waits on the server at the other end of `wire`."""
    return Patience(seconds, server=f"MySQL at {address(settings)}", look=_Looks(settings, wire))


class _Looks:
    """Asks over another connection what the server does for the one of `wire`."""

    def __init__(self, settings: Settings, wire: Wire) -> None:
        self._settings = settings
        ((self._server, self._number),) = _rows(wire, f"select {_THIS_SERVER}, connection_id()")

    def __call__(self, seconds: float) -> Sign:
        try:
            wire = connected(self._settings, "headwater: is the server alive", max(1.0, seconds))
            try:
                ((server,),) = _rows(wire, f"select {_THIS_SERVER}")
                found = _rows(
                    wire, "select command, state from information_schema.processlist where id = %s", [self._number]
                )
            finally:
                wire.close()
        except (pymysql.err.Error, OSError) as error:
            # Too many connections, another password meanwhile: it answers.
            return Sign.NONE if "timed out" in str(error) else Sign.AT_WORK
        # Another server behind the same address knows nothing of the session.
        is_awaited = all(command == "Sleep" or state in _WRITING for command, state in found)
        return Sign.AWAITS_US if server == self._server and is_awaited else Sign.AT_WORK


def _rows(wire: Wire, query: str, values: list[Any] | None = None) -> tuple[tuple[Any, ...], ...]:
    with wire.cursor() as cursor:
        cursor.execute(query, values)
        rows: tuple[tuple[Any, ...], ...] = cursor.fetchall()
        return rows


def connected(settings: Settings, application: str, seconds: float) -> Wire:
    """A connection that waits for the server so long at a time."""
    options: dict[str, Any] = {}
    if is_encrypted(settings):
        options = {
            "ssl_ca": settings.ssl_ca,
            "ssl_cert": settings.ssl_cert,
            "ssl_key": settings.ssl_key,
            "ssl_verify_cert": settings.ssl_verify_cert,
            "ssl_verify_identity": settings.ssl_verify_cert and settings.ssl_verify_identity,
        }
        if settings.ssl_verify_cert and settings.ssl_ca is None:
            options = {"ssl": _trusting_the_system(settings)}
    else:
        options = {"ssl_disabled": True, "auth_plugin_map": {b"mysql_clear_password": _NoClearText}}
    wire = Wire(
        host=settings.host,
        port=settings.port,
        unix_socket=settings.unix_socket,
        user=settings.user,
        password=settings.password or "",
        charset="utf8mb4",
        autocommit=True,
        binary_prefix=True,
        program_name=application,
        connect_timeout=seconds,
        read_timeout=seconds,
        write_timeout=seconds,
        client_flag=CLIENT.LOCAL_FILES,
        defer_connect=True,
        **options,
    )
    wire.connect(None if settings.unix_socket else _socket(settings.host, settings.port, seconds))
    return wire


def _trusting_the_system(settings: Settings) -> ssl.SSLContext:
    trusting = ssl.create_default_context()
    trusting.check_hostname = settings.ssl_verify_identity
    if settings.ssl_cert:
        trusting.load_cert_chain(settings.ssl_cert, settings.ssl_key)
    return trusting


def is_encrypted(settings: Settings) -> bool:
    return settings.ssl or bool(settings.ssl_ca or settings.ssl_cert)


def _socket(host: str, port: int, seconds: float) -> socket.socket:
    """One that notices within some minutes when the other side has gone."""
    made = socket.create_connection((host, port), seconds)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, number in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, option):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), number)
    return made
