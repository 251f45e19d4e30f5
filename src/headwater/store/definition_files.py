"""A plugin's definition from a file or an address, as `add --from-ref` takes it: YAML or JSON in the hub's shape."""

from __future__ import annotations

from pathlib import Path

from headwater.base import yaml
from headwater.base.errors import EnvironmentProblemError, InputError, Where
from headwater.model.plugin import Definition, PluginKind
from headwater.store import lock_files

_SECONDS = 10
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
    import urllib.request  # noqa: PLC0415 - costs 100 ms, and few definitions come from an address

    try:
        with urllib.request.urlopen(address, timeout=_SECONDS) as answer:  # noqa: S310 - the scheme is checked above
            content: bytes = answer.read()
    except OSError as error:
        raise EnvironmentProblemError(
            "cannot-download", f"cannot read `{address}`", why=str(error), hint="download it, and name the file"
        ) from error
    return yaml.decode(content, address)
