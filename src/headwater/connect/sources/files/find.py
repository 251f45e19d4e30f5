"""From settings to files: which streams there are and which files each has, in a fixed order."""

from __future__ import annotations

import fnmatch
import glob
import zipfile
from pathlib import Path, PurePosixPath

import msgspec
from msgspec import Struct

from headwater.base.errors import EnvironmentProblemError, InputError
from headwater.base.text import did_you_mean, listed
from headwater.connect.sources.files.dialect import FORMATS, Dialect, dialect, format_of
from headwater.connect.sources.files.places import Places, Remote, is_remote
from headwater.connect.sources.files.settings import Settings, StreamSettings

PACKAGE = "package://"
# What a name ends with to how the file is packed.
PACKINGS = {"gz": "gz", "gzip": "gz", "zst": "zst", "zstd": "zst", "bz2": "bz2", "xz": "xz", "zip": "zip"}


class DataFile(Struct, frozen=True, kw_only=True):
    """A file, or one member of a zip file. `key` names it in the state: relative to the project where it can be.

    `sets_aside`: a line that can't be read is no reason to stop; it is told beside the rows. `path` of a file of
    another machine (`remote`) is its name, and where it lies when it `is_copy`."""

    key: str
    path: Path
    member: str | None
    packing: str | None
    format: str
    dialect: Dialect
    optional: bool
    max_unpacked_bytes: int
    max_unpack_ratio: int
    sets_aside: bool = False
    remote: Remote | None = None
    is_copy: bool = False

    @property
    def shown(self) -> str:
        """Where it is, for a person."""
        return str(self.path) if self.remote is None else self.key

    @property
    def label(self) -> str:
        """What an error calls it."""
        return self.key


class StreamFiles(Struct, frozen=True, kw_only=True):
    name: str
    keys: tuple[str, ...]
    files: tuple[DataFile, ...]


def streams(settings: Settings, places: Places, *, sets_aside: bool = False) -> list[StreamFiles]:
    """Every stream with its files, sorted by name and by key.

    Raises InputError when a pattern matches nothing (unless `optional`), a format is unknown, or nothing is set; and as
    a place does.
    """
    patterns = ([settings.path] if settings.path else []) + list(settings.paths)
    if not patterns and not settings.streams:
        raise InputError(
            "setting-missing",
            "the files source has no `path`, `paths` or `streams`",
            hint="headwater config set tap-files path 'data/*.csv'",
        )
    found: dict[str, dict[str, DataFile]] = {}
    keys = {name: tuple(columns) for name, columns in settings.keys.items()}
    for pattern in patterns:
        for file in _files(settings, StreamSettings(name="", path=pattern), places):
            found.setdefault(_stem(file), {})[file.key] = file
    for stream in settings.streams:
        found.setdefault(stream.name, {}).update({file.key: file for file in _files(settings, stream, places)})
        if stream.keys:
            keys[stream.name] = tuple(stream.keys)
    for name in keys:
        if name not in found:
            near = did_you_mean(name, found)
            hint = f"did you mean `{near}`?" if near else f"the streams are {listed(sorted(found))}"
            raise InputError("unknown-stream", f"`keys` names the stream `{name}`, which does not exist", hint=hint)
    return [
        StreamFiles(
            name=name,
            keys=keys.get(name, ()),
            files=tuple(msgspec.structs.replace(files[key], sets_aside=sets_aside) for key in sorted(files)),
        )
        for name, files in sorted(found.items())
    ]


def _files(settings: Settings, stream: StreamSettings, places: Places) -> list[DataFile]:
    matches: list[tuple[str, Path, Remote | None]]
    if is_remote(stream.path):
        matches = [(one.found.key, Path(one.found.name), one) for one in places.find(stream.path)]
    else:
        matches = [(key, path, None) for key, path in _matches(settings, stream.path)]
    if not matches and not _is_optional(settings, stream):
        raise InputError(
            "no-file-found",
            f"no file matches `{stream.path}`",
            why=None if "://" in stream.path else f"looked in {settings.root or Path.cwd()}",
            hint=_look_for(stream.path),
        )
    return [file for key, path, remote in matches for file in _members(settings, stream, key, path, remote)]


def _look_for(path: str) -> str:
    if path.startswith(PACKAGE):
        return "headwater install"
    return "check the address and who may see it" if is_remote(path) else f"ls {path}"


def _is_optional(settings: Settings, stream: StreamSettings) -> bool:
    return settings.optional if stream.optional is None else stream.optional


def _matches(settings: Settings, pattern: str) -> list[tuple[str, Path]]:
    """Pairs of state key and path."""
    if pattern.startswith(PACKAGE):
        inside = pattern.removeprefix(PACKAGE)
        return [
            (f"{PACKAGE}{path.relative_to(folder).as_posix()}", path)
            for folder in _site_packages(settings, pattern)
            for path in _glob(folder, inside)
        ]
    root = Path(settings.root).absolute()
    return [(_key(root, path), path) for path in _glob(root, pattern)]


def _site_packages(settings: Settings, pattern: str) -> list[Path]:
    folders = sorted(Path(settings.venv).glob("lib/python*/site-packages")) if settings.venv else []
    if not folders:
        raise EnvironmentProblemError(
            "not-installed",
            f"`{pattern}` points into the plugin's environment, which is not there",
            why="a `package://` path needs `pip_url` set to the package that brings the files",
            hint="headwater install",
        )
    return folders


def _glob(root: Path, pattern: str) -> list[Path]:
    literal = root / pattern
    if literal.is_file():  # a name may hold `[` or `*` itself
        return [literal]
    names = glob.glob(pattern, root_dir=root, recursive=True)  # noqa: PTH207 - Path.glob refuses absolute patterns
    return sorted(path for name in names if (path := root / name).is_file())


def _key(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def _members(settings: Settings, stream: StreamSettings, key: str, path: Path, remote: Remote | None) -> list[DataFile]:
    packing = PACKINGS.get(path.suffix.lower().lstrip("."))
    if packing != "zip":
        named = path.with_suffix("") if packing else path
        return [_data_file(settings, stream, key, path, named.name, remote, packing=packing)]
    names = _member_names(key, path, remote, stream.member or settings.member)
    return [
        _data_file(settings, stream, f"{key}!{name}" if len(names) > 1 else key, path, name, remote, packing="zip")
        for name in names
    ]


def _member_names(key: str, path: Path, remote: Remote | None, pattern: str | None) -> list[str]:
    try:
        with (
            remote.place.open(remote.found, seeks=True) if remote else path.open("rb") as raw,
            zipfile.ZipFile(raw) as archive,
        ):
            names = sorted(item.filename for item in archive.infolist() if not item.is_dir())
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError("unreadable-file", f"`{key}` is not a zip file that can be read", why=str(error)) from error
    wanted = [name for name in names if fnmatch.fnmatch(name, pattern or "*") and not _is_litter(name)]
    if not wanted:
        raise InputError(
            "no-file-found",
            f"`{key}` has no member that matches `{pattern or '*'}`",
            why=f"it holds {listed(names)}" if names else "it is empty",
            hint="set `member` to a pattern that matches",
        )
    return wanted


def _is_litter(name: str) -> bool:
    """Finder and the like leave such members in archives."""
    parts = PurePosixPath(name).parts
    return "__MACOSX" in parts or parts[-1].startswith(".")


def _data_file(
    settings: Settings,
    stream: StreamSettings,
    key: str,
    path: Path,
    name: str,
    remote: Remote | None,
    *,
    packing: str | None,
) -> DataFile:
    kind = format_of(stream.format or settings.format, name, key)
    return DataFile(
        key=key,
        path=path,
        member=name if packing == "zip" else None,
        packing=packing,
        format="csv" if kind == "tsv" else kind,
        dialect=dialect(settings, stream, kind),
        optional=_is_optional(settings, stream),
        max_unpacked_bytes=settings.max_unpacked_bytes,
        max_unpack_ratio=settings.max_unpack_ratio,
        remote=remote,
    )


def _stem(file: DataFile) -> str:
    """`data/flights.csv.zip` → `flights`; the members of a zip file with more than one go by their own names."""
    many = file.member is not None and "!" in file.key
    name = PurePosixPath(file.member).name if many and file.member else file.path.name
    parts = name.split(".")
    while len(parts) > 1 and parts[-1].lower() in {*FORMATS, *PACKINGS, "txt", "dat"}:
        parts.pop()
    return ".".join(parts)
