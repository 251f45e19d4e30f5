"""Where the environments of plugins stand, and whether one is what the project asks for.

    <home>/<section>/<venv_name>/venv            a link to the environment in use
    <home>/<section>/<venv_name>/venvs/<build>   environments: the one in use, and the one before it
    <home>/<section>/<venv_name>/.lock           held by whoever builds

An environment is complete before the link points to it, and a process started from it keeps the files it was
started with. Nothing here starts a process; `run.install` builds.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import secrets
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from headwater.base.errors import InputError
from headwater.model.plugin import PluginKind
from headwater.store import pins

MARKER = ".headwater-fingerprint"


class Requirement(Struct, frozen=True, kw_only=True):
    """What an environment has to hold. `args` are the words of `pip_url`, variables expanded. `python` is what the
    plugin asks for: a version, a program's name or its path; empty for the Python that runs us.
    `supported_pythons` are versions (`3.9`) to choose from when ours is not among them."""

    root: str
    home: str
    kind: PluginKind
    venv_name: str
    variant: str | None
    args: tuple[str, ...]
    constraints: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    python: str = ""
    supported_pythons: tuple[str, ...] = ()


def folder(home: Path, kind: PluginKind, venv_name: str) -> Path:
    """All that is kept for one environment."""
    return home / kind.section / venv_name


def venv(home: Path, kind: PluginKind, venv_name: str) -> Path:
    return folder(home, kind, venv_name) / "venv"


def executable(home: Path, kind: PluginKind, venv_name: str, name: str) -> Path:
    """The program `name` of an environment; it need not exist."""
    return venv(home, kind, venv_name) / "bin" / name


def lock(home: Path, kind: PluginKind, venv_name: str) -> Path:
    return folder(home, kind, venv_name) / ".lock"


def split_args(pip_url: str) -> tuple[str, ...]:
    """The installer's words in a `pip_url`. Raises InputError (`pip-url-invalid`) for an open quote."""
    try:
        return tuple(shlex.split(pip_url))
    except ValueError as error:
        raise InputError("pip-url-invalid", f"cannot read the `pip_url` `{pip_url}`", why=str(error)) from error


def python_request(wanted: Requirement) -> str:
    """The Python asked for; empty when the one that runs us will do."""
    if wanted.python:
        return wanted.python
    ours = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if wanted.supported_pythons and ours not in wanted.supported_pythons:
        newest = sorted(wanted.supported_pythons, key=_version_key, reverse=True)
        return "|".join(newest)
    return ""


def inputs(wanted: Requirement) -> str:
    """A digest of all that decides which packages are chosen, the same on every machine: a Python given as a path
    counts by its name, files named in the arguments by their content."""
    digest = hashlib.sha256()
    for part in (wanted.args, wanted.constraints, wanted.overrides):
        _feed(digest, part)
    _feed(digest, (Path(python_request(wanted)).name,))
    for word in _file_words(wanted.args):
        file = Path(wanted.root, word)
        _feed(digest, (file.read_text("utf-8", "replace") if file.is_file() else "",))
    return digest.hexdigest()[:24]


def pin_file(wanted: Requirement) -> Path:
    return pins.path(Path(wanted.root), wanted.kind, wanted.venv_name, wanted.variant)


def fitting_pins(wanted: Requirement) -> pins.Pins | None:
    """The project's pins for these requirements, None when there are none or they are of other requirements."""
    found = pins.read(pin_file(wanted))
    return found if found and found.fit(inputs(wanted)) else None


def fingerprint(wanted: Requirement, pinned: pins.Pins | None) -> str:
    """What an environment built now would be. Two builds with one fingerprint hold the same packages, as far as
    these are pinned."""
    ours = "" if python_request(wanted) else f"{sys.version_info[0]}.{sys.version_info[1]}"
    digest = hashlib.sha256()
    _feed(digest, (inputs(wanted), python_request(wanted), ours, pinned.digest if pinned else ""))
    return digest.hexdigest()


def is_current(wanted: Requirement) -> bool:
    """Whether the environment in use is the one wanted and its Python still exists. Starts nothing: ~0.2 ms."""
    return installed_fingerprint(Path(wanted.home), wanted.kind, wanted.venv_name) == fingerprint(
        wanted, fitting_pins(wanted)
    )


def installed_fingerprint(home: Path, kind: PluginKind, venv_name: str) -> str | None:
    """The fingerprint of the environment in use, None when there is none or its Python is gone."""
    place = venv(home, kind, venv_name)
    try:
        text = (place / MARKER).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return text if (place / "bin" / "python").exists() else None


def new_build(home: Path, kind: PluginKind, venv_name: str, mark: str) -> Path:
    """A path for a build that no other build has. Nothing is made."""
    return folder(home, kind, venv_name) / "venvs" / f"{mark[:12]}-{secrets.token_hex(3)}"


def swap(home: Path, kind: PluginKind, venv_name: str, build: Path, mark: str, *, keep_previous: bool = True) -> None:
    """Put a finished build into use, atomically; hold the lock. The one before is kept for processes that still
    run from it, older ones are removed."""
    (build / MARKER).write_text(f"{mark}\n", "ascii")
    link = venv(home, kind, venv_name)
    before = link.resolve().name if link.is_symlink() and keep_previous else None
    if link.exists() and not link.is_symlink():
        # A real folder stands where the link goes: a project moved over from another program.
        link.rename(build.parent / f"moved-{secrets.token_hex(3)}")
    fresh = link.with_name(f".venv-{secrets.token_hex(3)}")
    fresh.symlink_to(os.path.relpath(build, link.parent))
    fresh.replace(link)
    for other in build.parent.iterdir():
        if other.name not in (build.name, before):
            shutil.rmtree(other, ignore_errors=True)


def remove(home: Path, kind: PluginKind, venv_name: str) -> None:
    """Remove an environment with all that is kept for it. Idempotent."""
    shutil.rmtree(folder(home, kind, venv_name), ignore_errors=True)


def _feed(digest: hashlib._Hash, parts: Sequence[str]) -> None:
    for part in parts:
        digest.update(part.encode() + b"\0")
    digest.update(b"\1")


def _file_words(args: Sequence[str]) -> list[str]:
    """The requirement and constraint files named in arguments."""
    named = [after for word, after in itertools.pairwise(args) if word in FILE_OPTIONS]
    joined = [word.split("=", 1)[1] for word in args if word.split("=", 1)[0] in FILE_OPTIONS and "=" in word]
    return named + joined


FILE_OPTIONS = ("-c", "--constraint", "--constraints", "-r", "--requirement", "--requirements", "--override")


def _version_key(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))
