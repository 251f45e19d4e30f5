"""A plugin's definition from a file or an address, as `add --from-ref` takes it: YAML or JSON in the hub's shape."""

from __future__ import annotations

from pathlib import Path

from headwater.base import yaml
from headwater.base.errors import EnvironmentProblemError, InputError, Where
from headwater.base.redact import without_credentials
from headwater.model.plugin import Definition, PluginKind
from headwater.store import lock_files

_SECONDS = 20
_BYTES = 2_000_000
_NEEDED = ("name", "namespace")


def read(place: str, *, kind: PluginKind) -> Definition:
    """The definition at a path or at an http(s) address; `kind` counts where it names none.

    Raises InputError (`not-a-definition`, `lock-file-invalid`, `file-not-found`), EnvironmentProblemError
    (`cannot-download`).
    """
    document = yaml.parse(_download(place), place) if place.startswith(("http://", "https://")) else _of_file(place)
    data = document.data
    if not isinstance(data, dict) or any(not data.get(key) for key in _NEEDED):
        raise InputError(
            "not-a-definition",
            "this is no plugin definition",
            where=Where(place),
            why=f"it needs at least {' and '.join(f'`{key}`' for key in _NEEDED)}",
            hint="copy one from a lock file below plugins/ and change it",
        )
    return lock_files.from_builtins(dict(data), where=document.where(()), kind=kind)


def _of_file(place: str) -> yaml.Document:
    path = Path(place)
    if not path.is_file():
        raise InputError("file-not-found", f"there is no file `{place}`", hint="correct --from-ref")
    return yaml.read(path)


def _download(address: str) -> str:
    from headwater.base import http  # noqa: PLC0415 - costs 100 ms, and few definitions come from an address

    try:
        with http.Client(seconds=_SECONDS) as client:
            answer = client.get(address, limit=_BYTES, headers={})
        why = None if answer.status == 200 else f"status {answer.status}"
    except http.NoAnswerError as error:
        why = str(error)
    if why is not None:
        raise EnvironmentProblemError(
            "cannot-download",
            f"cannot read `{without_credentials(address)}`",
            why=why,
            hint="download it, and name the file",
        )
    content = answer.body
    return yaml.decode(content, address)
