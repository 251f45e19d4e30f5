"""Files in an object store: S3 and what speaks like it, Google Cloud Storage, Azure Blob Storage. An object's ETag
says whether it is still the same."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO, cast

import obstore
from obstore import exceptions
from obstore.store import AzureStore, GCSStore, ObjectStore, S3Store

from headwater.base import object_errors
from headwater.base.errors import InputError
from headwater.connect.objects import SECRETS
from headwater.connect.sources.files.globs import fixed_part, is_pattern, matcher
from headwater.connect.sources.files.places import Found, is_another
from headwater.connect.sources.files.settings import Settings

_RETRY: Any = {"max_retries": 5, "retry_timeout": timedelta(seconds=60)}
_CLIENT: Any = {"allow_http": True, "connect_timeout": "10s", "timeout": "600s", "user_agent": "headwater"}
_HINTS = object_errors.Hints(
    bucket="correct the bucket in `path`, the region and the endpoint",
    region="headwater config set EXTRACTOR aws_region <region>",
    access="check the keys, and that they may list and read there: headwater config list EXTRACTOR",
)


def place(settings: Settings, pattern: str) -> Store:
    """As in `places.PlaceModule`."""
    scheme, _, rest = pattern.partition("://")
    authority = rest.partition("/")[0]
    secrets = [value for name in SECRETS if (value := getattr(settings, name))]
    return Store(f"{scheme}://{authority}", _store(settings, scheme, authority), secrets)


class Store:
    """A `places.Place`."""

    def __init__(self, root: str, store: ObjectStore, secrets: list[str]) -> None:
        self._root = root
        self._store = store
        self._secrets = secrets

    def find(self, pattern: str) -> list[Found]:
        path = pattern.removeprefix(self._root).lstrip("/")
        with self._asked():
            try:
                found = [self._found(obstore.head(self._store, path))] if path else []
            except FileNotFoundError:
                found = []
            if found or not is_pattern(path):
                return found
            is_match = matcher(path).match
            listed = obstore.list(self._store, prefix=fixed_part(path) or None)
            names = (meta for page in listed for meta in page if is_match(meta["path"]))
            return sorted(map(self._found, names), key=lambda one: one.address)

    def open(self, found: Found, *, seeks: bool = False) -> BinaryIO:
        path = found.address.removeprefix(self._root).lstrip("/")
        with self._asked():
            try:
                if seeks:
                    return cast("BinaryIO", _Seeking(obstore.open_reader(self._store, path)))
                options: Any = {"if_match": found.tag} if found.tag else None
                chunks = obstore.get(self._store, path, options=options).stream(min_chunk_size=1 << 20)
            except (FileNotFoundError, exceptions.PreconditionError) as error:
                raise is_another(found) from error
        return cast("BinaryIO", io.BufferedReader(_Chunks(self, iter(chunks)), 1 << 20))

    def close(self) -> None:
        """Nothing is held open."""

    def next_of(self, chunks: Iterator[Any]) -> bytes:
        with self._asked():
            return bytes(next(chunks, b""))

    def _found(self, meta: Any) -> Found:
        at: datetime = meta["last_modified"]
        address = f"{self._root}/{meta['path']}"
        return Found(
            address=address,
            key=address,
            name=meta["path"].rpartition("/")[2],
            size=meta["size"],
            mtime_ns=int((at - _EPOCH) / timedelta(microseconds=1)) * 1000,
            tag=meta["e_tag"] or "",
        )

    @contextmanager
    def _asked(self) -> Iterator[None]:
        try:
            yield
        except (exceptions.BaseError, OSError) as error:
            if isinstance(error, FileNotFoundError) and not object_errors.is_no_bucket(str(error)):
                raise
            raise object_errors.problem(self._root, str(error), _HINTS, secrets=self._secrets) from None


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Chunks(io.RawIOBase):
    def __init__(self, store: Store, chunks: Iterator[Any]) -> None:
        self._store = store
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._rest or self._store.next_of(self._chunks)
        data, self._rest = data[: len(buffer)], data[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)


class _Seeking(io.RawIOBase):
    def __init__(self, reader: Any) -> None:
        self._reader = reader

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._reader.seek(offset, whence))

    def tell(self) -> int:
        return int(self._reader.tell())

    def readinto(self, buffer: Any) -> int:
        data = bytes(self._reader.read(len(buffer)))
        buffer[: len(data)] = data
        return len(data)


def _store(settings: Settings, scheme: str, authority: str) -> ObjectStore:
    try:
        if scheme == "s3":
            return _s3(settings, _bucket(scheme, authority))
        if scheme in ("gs", "gcs"):
            return _gcs(settings, _bucket(scheme, authority))
        return _azure(settings, scheme, authority)
    except exceptions.BaseError as error:
        raise InputError(
            "bad-address",
            f"`{scheme}://{authority}` can't be opened",
            why=str(error).splitlines()[0],
            hint="check the settings of the store: headwater config list EXTRACTOR",
        ) from error


def _bucket(scheme: str, name: str) -> str:
    if not name:
        raise InputError("bad-address", f"`{scheme}://` names no bucket", hint=f"write {scheme}://BUCKET/PATH")
    return name


def _s3(settings: Settings, bucket: str) -> ObjectStore:
    given = {
        "access_key_id": settings.aws_access_key_id,
        "secret_access_key": settings.aws_secret_access_key,
        "session_token": settings.aws_session_token,
        "region": settings.aws_region,
        "endpoint": settings.aws_endpoint_url,
    }
    return S3Store(bucket, **_set(given), client_options=_CLIENT, retry_config=_RETRY)


def _gcs(settings: Settings, bucket: str) -> ObjectStore:
    given: dict[str, Any] = {}
    if settings.gcs_endpoint_url:
        nobody = {"client_email": "", "private_key": "", "private_key_id": ""}
        account = {**nobody, "gcs_base_url": settings.gcs_endpoint_url.rstrip("/"), "disable_oauth": True}
        given["service_account_key"] = json.dumps(account)
    elif token := settings.gcs_access_token:
        # When it ends, only its giver knows: the store says so then.
        given["credential_provider"] = lambda: {"token": token, "expires_at": None}
    return GCSStore(bucket, **given, client_options=_CLIENT, retry_config=_RETRY)


def _azure(settings: Settings, scheme: str, authority: str) -> ObjectStore:
    container, _, host = authority.rpartition("@") if "@" in authority else (authority, "", "")
    account = settings.azure_storage_account or host.partition(".")[0]
    if not account:
        raise InputError(
            "bad-address",
            f"`{scheme}://{authority}` names no storage account",
            hint="set `azure_storage_account`, or write abfs://CONTAINER@ACCOUNT.dfs.core.windows.net/…",
        )
    endpoint = settings.azure_endpoint_url
    given = {
        "account_name": account,
        "account_key": settings.azure_storage_key,
        "sas_key": settings.azure_sas_token.lstrip("?") if settings.azure_sas_token else None,
        "tenant_id": settings.azure_tenant_id,
        "client_id": settings.azure_client_id,
        "client_secret": settings.azure_client_secret,
        "endpoint": f"{endpoint.rstrip('/')}/{account}" if endpoint else None,
    }
    return AzureStore(_bucket(scheme, container), **_set(given), client_options=_CLIENT, retry_config=_RETRY)


def _set(given: dict[str, str | None]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}
