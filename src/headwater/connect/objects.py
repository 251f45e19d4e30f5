"""A prefix of an object store: S3 and what speaks like it, Google Cloud Storage, Azure Blob Storage."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar
from urllib.parse import urlsplit

import pyarrow as pa
from msgspec import Struct
from pyarrow import fs

from headwater.base import object_errors
from headwater.base.errors import EnvironmentProblemError, InputError

SCHEMES = ("s3", "gs", "gcs", "az", "abfs", "abfss")
T = TypeVar("T")

_AT_ONCE = 8  # requests
_CONNECT_SECONDS, _REQUEST_SECONDS = 10, 60


class Credentials(Struct, frozen=True, kw_only=True):
    """Who asks an object store. What is None is found by the store's own library: environment, machine role."""

    aws_access_key_id: str | None = None
    aws_secret_access_key: str | None = None
    aws_session_token: str | None = None
    aws_region: str | None = None
    aws_endpoint_url: str | None = None
    gcs_access_token: str | None = None
    gcs_endpoint_url: str | None = None
    azure_storage_account: str | None = None
    azure_storage_key: str | None = None
    azure_sas_token: str | None = None
    azure_tenant_id: str | None = None
    azure_client_id: str | None = None
    azure_client_secret: str | None = None
    azure_endpoint_url: str | None = None


class Access(Credentials, frozen=True, kw_only=True):
    """The place, a folder or as `s3://bucket/prefix`, and who asks there."""

    destination_path: str = "output"


SECRETS = (
    *("aws_secret_access_key", "aws_session_token", "gcs_access_token"),
    *("azure_storage_key", "azure_sas_token", "azure_client_secret"),
)

_HINTS = object_errors.Hints(
    bucket="make the bucket, or correct `destination_path`, region and endpoint",
    region="headwater config set LOADER aws_region <region>",
    access="check the keys, and that they may list, read, write and delete there: headwater config list LOADER",
)


class Bucket:
    """Raises EnvironmentProblemError: `no-such-bucket`, `wrong-region`, `store-refused`, `credentials-expired`,
    `store-unreachable`, `store-failed`.

    An object is there as a whole or not at all, and seen by whoever lists after it was put. There is no renaming: a
    move copies within the store and deletes; in between both are there.
    """

    def __init__(self, access: Access) -> None:
        self.address = access.destination_path.rstrip("/")
        scheme, _, rest = self.address.partition("://")
        authority, _, prefix = rest.partition("/")
        self._secrets = [value for name in SECRETS if (value := getattr(access, name))]
        with self._asked():
            store, container = _store(scheme, authority, access)
            self._store = store
            self._root = "/".join(part for part in (container, prefix.strip("/")) if part)
            if store.get_file_info(container).type == fs.FileType.NotFound:
                raise object_errors.no_bucket(self.address, _HINTS)

    def read(self, path: str) -> bytes | None:
        with self._asked():
            try:
                with self._store.open_input_stream(self._at(path)) as stream:
                    return bytes(stream.read())
            except FileNotFoundError:
                return None

    def write(self, path: str, data: bytes) -> None:
        with self.sink(path) as stream:
            stream.write(data)

    @contextmanager
    def sink(self, path: str) -> Iterator[pa.NativeFile]:
        with self._asked():
            try:
                with self._store.open_output_stream(self._at(path)) as stream:
                    yield stream
            except BaseException:
                self._forget(path)  # closing a stream puts what it has
                raise

    def names(self, folder: str) -> list[str]:
        selector = fs.FileSelector(self._at(folder), recursive=True, allow_not_found=True)
        with self._asked():
            found = self._store.get_file_info(selector)
        start = len(self._root) + 1
        return sorted(info.path[start:] for info in found if info.type == fs.FileType.File)

    def move(self, moves: Iterable[tuple[str, str]]) -> None:
        self._each(self._move, list(moves))

    def delete(self, paths: Iterable[str]) -> None:
        self._each(self._delete, list(paths))

    def prune(self, _folder: str) -> None:
        """Nothing to do: a store has no folders."""

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"

    def _each(self, do: Callable[[T], None], what: list[T]) -> None:
        if len(what) < 2:
            for one in what:
                do(one)
            return
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for _ in pool.map(do, what):
                pass

    def _move(self, pair: tuple[str, str]) -> None:
        source, target = map(self._at, pair)
        with self._asked():
            if self._store.get_file_info(source).type == fs.FileType.NotFound:
                return
            self._store.copy_file(source, target)
            self._forget(pair[0])

    def _delete(self, path: str) -> None:
        with self._asked():
            self._forget(path)

    def _forget(self, path: str) -> None:
        try:
            self._store.delete_file(self._at(path))
        except FileNotFoundError:
            return

    @contextmanager
    def _asked(self) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            raise self._trouble(error) from None  # its text may hold what must not be shown

    def _trouble(self, error: Exception) -> EnvironmentProblemError:
        return object_errors.problem(self.address, str(error), _HINTS, secrets=self._secrets)


def _store(scheme: str, authority: str, access: Access) -> tuple[fs.FileSystem, str]:
    """The store and the name of the bucket in it. Raises InputError (`bad-address`)."""
    if scheme == "s3":
        return _s3(access), _bucket(scheme, authority)
    if scheme in ("gs", "gcs"):
        return _gcs(access), _bucket(scheme, authority)
    container, _, host = authority.rpartition("@") if "@" in authority else (authority, "", "")
    account = access.azure_storage_account or host.partition(".")[0]
    if not account:
        raise InputError(
            "bad-address",
            f"`{scheme}://{authority}` names no storage account",
            hint="set `azure_storage_account`, or write abfs://CONTAINER@ACCOUNT.dfs.core.windows.net/…",
        )
    return _azure(access, account), _bucket(scheme, container)


def _bucket(scheme: str, name: str) -> str:
    if not name:
        raise InputError("bad-address", f"`{scheme}://` names no bucket", hint=f"write {scheme}://BUCKET/PREFIX")
    return name


def _s3(access: Access) -> fs.FileSystem:
    return fs.S3FileSystem(
        access_key=access.aws_access_key_id,
        secret_key=access.aws_secret_access_key,
        session_token=access.aws_session_token,
        region=access.aws_region,
        endpoint_override=access.aws_endpoint_url,
        connect_timeout=_CONNECT_SECONDS,
        request_timeout=_REQUEST_SECONDS,
        allow_delayed_open=True,  # a small object is one request
    )


def _gcs(access: Access) -> fs.FileSystem:
    given: dict[str, object] = {}
    if access.gcs_endpoint_url:
        parts = urlsplit(access.gcs_endpoint_url)
        given = {"scheme": parts.scheme, "endpoint_override": parts.netloc, "anonymous": not access.gcs_access_token}
    if access.gcs_access_token:
        # When it ends, only its giver knows: the store says so then.
        given |= {
            "access_token": access.gcs_access_token,
            "credential_token_expiration": dt.datetime(9999, 1, 1, tzinfo=dt.UTC),
        }
    return fs.GcsFileSystem(retry_time_limit=dt.timedelta(seconds=_REQUEST_SECONDS), **given)


def _azure(access: Access, account: str) -> fs.FileSystem:
    given: dict[str, str | None] = {
        "account_key": access.azure_storage_key,
        "sas_token": access.azure_sas_token,
        "tenant_id": access.azure_tenant_id,
        "client_id": access.azure_client_id,
        "client_secret": access.azure_client_secret,
    }
    if access.azure_endpoint_url:
        parts = urlsplit(access.azure_endpoint_url)
        given |= {"blob_storage_authority": parts.netloc, "dfs_storage_authority": parts.netloc}
        given |= {"blob_storage_scheme": parts.scheme, "dfs_storage_scheme": parts.scheme}
    return fs.AzureFileSystem(account, **{name: value for name, value in given.items() if value is not None})
