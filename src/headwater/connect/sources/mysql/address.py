"""Where the server is, in the words of the destination, which connects."""

from __future__ import annotations

from pathlib import Path

from headwater.connect.destinations.mysql.settings import Settings as Address
from headwater.connect.sources.mysql.settings import Settings

_TEXT = "-----BEGIN"


def address_of(settings: Settings, folder: Path) -> Address:
    """Certificates that are given as text are put into files below `folder`, which is private."""
    return Address(
        host=settings.host,
        port=settings.port,
        unix_socket=settings.unix_socket,
        user=settings.user,
        password=settings.password,
        ssl=settings.ssl,
        ssl_ca=_file(settings.ssl_ca, folder, "ca.pem"),
        ssl_cert=_file(settings.ssl_cert, folder, "cert.pem"),
        ssl_key=_file(settings.ssl_key, folder, "key.pem"),
        ssl_verify_cert=settings.ssl_verify_cert,
        ssl_verify_identity=settings.ssl_verify_identity,
    )


def _file(given: str | None, folder: Path, name: str) -> str | None:
    if given is None or not given.lstrip().startswith(_TEXT):
        return given
    path = folder / "tls" / name
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(given.replace("\\n", "\n").strip() + "\n")
    return str(path)
