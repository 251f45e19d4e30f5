"""Object stores for states, found as Meltano finds them: from `state_backend.…` settings, else from the machine."""

from __future__ import annotations

import configparser
import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote

from msgspec import Struct
from obstore.store import AzureStore, GCSStore, ObjectStore, S3Store

from headwater.base.errors import InputError

_RETRY: Any = {"max_retries": 7, "retry_timeout": timedelta(seconds=30)}
_CLIENT: Any = {"allow_http": True, "connect_timeout": "10s", "timeout": "30s", "user_agent": "headwater"}
S3_AT_AMAZON = "https://s3.amazonaws.com"


class Found(Struct, frozen=True):
    """A store and what must never be shown of it."""

    store: ObjectStore
    secrets: tuple[str, ...]


def s3(parts: SplitResult, settings: Mapping[str, Any], environ: Mapping[str, str]) -> Found:
    """`s3://[KEY:SECRET@]BUCKET/PREFIX`. Without keys: the environment, then a profile, then the machine's role.
    Raises InputError (`bad-state-backend`)."""
    bucket = _container(parts)
    key = settings.get("aws_access_key_id") or unquote(parts.username or "")
    secret = settings.get("aws_secret_access_key") or unquote(parts.password or "")
    if bool(key) != bool(secret):
        missing = "aws_secret_access_key" if key else "aws_access_key_id"
        raise _bad(f"`state_backend.s3.{missing}` is missing", "set both keys, or none to use those of the machine")
    given: dict[str, Any] = {}
    profile = _profile(environ)
    if key:
        given = {"access_key_id": key, "secret_access_key": secret}
    elif not any(environ.get(name) for name in _AWS_ELSEWHERE):
        given = _keys(profile, environ)
    endpoint = settings.get("endpoint_url") or environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL")
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or profile.get("region")
    if endpoint:
        given["endpoint"] = str(endpoint).rstrip("/")
    elif not region:
        region = bucket_region(bucket)
    given["region"] = region or "us-east-1"
    secrets = tuple(str(given[name]) for name in ("secret_access_key", "session_token") if name in given)
    return Found(S3Store(bucket, **given, client_options=_CLIENT, retry_config=_RETRY), secrets)


def gcs(parts: SplitResult, settings: Mapping[str, Any], environ: Mapping[str, str]) -> Found:
    """`gs://BUCKET/PREFIX`. Without a service account: application default credentials."""
    path = settings.get("application_credentials_path") or settings.get("application_credentials")
    text = settings.get("application_credentials_json")
    given: dict[str, Any] = {}
    if path and text:
        raise _bad(
            "both `application_credentials_path` and `application_credentials_json` are set",
            "headwater config unset meltano state_backend.gcs.application_credentials_path",
        )
    if path:
        try:
            text = Path(path).expanduser().read_text()
        except OSError as error:
            raise _bad(
                f"the credentials in `{path}` can't be read",
                "correct `state_backend.gcs.application_credentials_path`",
                why=error.strerror,
            ) from error
    if text:
        given["service_account_key"] = _service_account(text)
    elif host := environ.get("STORAGE_EMULATOR_HOST"):  # Google's own name for it
        base = host if "://" in host else f"http://{host}"
        nobody = {"client_email": "", "private_key": "", "private_key_id": ""}
        given["service_account_key"] = json.dumps({**nobody, "gcs_base_url": base, "disable_oauth": True})
    return Found(GCSStore(_container(parts), **given, client_options=_CLIENT, retry_config=_RETRY), ())


def azure(parts: SplitResult, settings: Mapping[str, Any], environ: Mapping[str, str]) -> Found:
    """`azure://CONTAINER/PREFIX`, with an account's URL and the machine's own identity, or a connection string."""
    container = _container(parts)
    if url := settings.get("storage_account_url"):
        account = str(url).partition("://")[2].partition(".")[0]
        given: dict[str, Any] = {"account_name": account, "endpoint": str(url).rstrip("/")}
        if _azure_cli(environ):
            given["use_azure_cli"] = True
    elif text := settings.get("connection_string"):
        given = connection(str(text))
    else:
        raise _bad(
            "nothing says which storage account it is",
            "headwater config set meltano state_backend.azure.connection_string … "
            "(or state_backend.azure.storage_account_url)",
        )
    secrets = tuple(given[name] for name in ("account_key", "sas_key") if name in given)
    return Found(AzureStore(container, **given, client_options=_CLIENT, retry_config=_RETRY), secrets)


_DEVELOPMENT = {
    "account_name": "devstoreaccount1",
    # The public key of every emulator.
    "account_key": "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
    "endpoint": "http://127.0.0.1:10000/devstoreaccount1",
}


def connection(text: str) -> dict[str, Any]:
    """What a connection string says. Raises InputError (`bad-state-backend`)."""
    pairs = (piece.partition("=") for piece in text.split(";") if piece.strip())
    found = {name.strip().lower(): value.strip() for name, _, value in pairs}
    if found.get("usedevelopmentstorage") == "true":
        return dict(_DEVELOPMENT)
    account, endpoint = found.get("accountname"), found.get("blobendpoint")
    if account is None and endpoint:
        account = endpoint.partition("://")[2].partition(".")[0]
    key, token = found.get("accountkey"), found.get("sharedaccesssignature")
    if not account or not (key or token):
        raise _bad(
            "the connection string names no account, or neither key nor signature",
            "copy it from the storage account: Security + networking, Access keys",
        )
    protocol = found.get("defaultendpointsprotocol", "https")
    suffix = found.get("endpointsuffix", "core.windows.net")
    given = {"account_name": account, "endpoint": (endpoint or f"{protocol}://{account}.blob.{suffix}").rstrip("/")}
    return given | ({"account_key": key} if key else {"sas_key": (token or "").lstrip("?")})


def bucket_region(bucket: str, *, at: str = S3_AT_AMAZON) -> str | None:
    """Where a bucket of Amazon's lies, which it tells to anybody. None when it does not answer."""
    request = urllib.request.Request(f"{at}/{bucket}", method="HEAD")  # noqa: S310 - the address is a constant
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - likewise
            return str(answer.headers.get("x-amz-bucket-region") or "") or None
    except urllib.error.HTTPError as error:
        return error.headers.get("x-amz-bucket-region")
    except OSError:
        return None


# With one of these, the store's library finds the keys itself.
_AWS_ELSEWHERE = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


def _profile(environ: Mapping[str, str]) -> dict[str, str]:
    """What the files of the AWS command line say of the profile that is chosen."""
    name = environ.get("AWS_PROFILE") or "default"
    folder = Path(environ.get("HOME") or "/") / ".aws"
    files = {
        environ.get("AWS_CONFIG_FILE") or folder / "config": name if name == "default" else f"profile {name}",
        environ.get("AWS_SHARED_CREDENTIALS_FILE") or folder / "credentials": name,
    }
    found: dict[str, str] = {}
    for path, section in files.items():
        parser = configparser.RawConfigParser()
        try:
            parser.read(Path(path).expanduser())
        except configparser.Error as error:
            raise _bad(f"`{path}` can't be read", "correct the file", why=str(error)) from error
        if parser.has_section(section):
            found |= dict(parser.items(section))
    return found


def _keys(profile: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    names = {"aws_access_key_id": "access_key_id", "aws_secret_access_key": "secret_access_key"}
    if all(name in profile for name in names):
        token = {"session_token": profile["aws_session_token"]} if "aws_session_token" in profile else {}
        return {ours: profile[theirs] for theirs, ours in names.items()} | token
    for way in ("role_arn", "sso_session", "sso_start_url", "credential_process", "login_session"):
        if way in profile:
            name = environ.get("AWS_PROFILE") or "default"
            raise _bad(
                f"the AWS profile `{name}` has no keys of its own (`{way}`)",
                f'eval "$(aws configure export-credentials --profile {name} --format env)"',
            )
    return {}


def _azure_cli(environ: Mapping[str, str]) -> bool:
    """Whether a person is signed in here: a machine that has an identity of its own is asked for that."""
    if any(environ.get(name) for name in ("AZURE_CLIENT_ID", "IDENTITY_ENDPOINT", "AZURE_FEDERATED_TOKEN_FILE")):
        return False
    profile = Path(environ.get("HOME") or "/") / ".azure" / "azureProfile.json"
    return profile.exists() and shutil.which("az", path=environ.get("PATH")) is not None


def _service_account(text: str) -> str:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or "private_key" not in found:
        raise _bad(
            "the credentials for Google Cloud Storage are no service account's",
            "make a key of a service account, or leave the setting out to use application default credentials",
        )
    return text


def _container(parts: SplitResult) -> str:
    name = parts.netloc.rpartition("@")[2]
    if not name:
        raise _bad(f"`{parts.scheme}://` names no bucket", f"write {parts.scheme}://BUCKET/PREFIX")
    return name


def _bad(what: str, hint: str, *, why: str | None = None) -> InputError:
    return InputError("bad-state-backend", what, why=why, hint=hint)
